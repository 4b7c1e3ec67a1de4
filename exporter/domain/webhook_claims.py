"""What a webhook means for a message: an event or nothing, and what became of it.

A webhook is unsigned, so it is believed only where the settings say so. In
`verify` it does no more than point at an end that is worth a look; what is
under way is not worth one.
"""

from __future__ import annotations

from exporter.domain.events import Observed, StatusClaimed, WebhookEvent
from exporter.domain.lifecycle import MOVES
from exporter.domain.model import FINAL_BY_PROVIDER, SECOND_US, Answer, Message, Via, WebhookResult

AHEAD_US = 60 * SECOND_US
"""The provider's clock may be ahead of ours by this much."""


def event_of(
    message: Message, news: WebhookEvent, at: int, uptime_us: int, *, trusted: bool
) -> Observed | StatusClaimed | None:
    """The event that `news`, which arrived `at` this instant, is for a message that it may be about."""
    if trusted:
        occurred_at = news.occurred_at if _plausible(news.occurred_at, message.sent_at, at) else 0
        answer = Answer(news.status, cost_nanos=news.cost_nanos)
        return Observed(message.row, at, uptime_us, answer, Via.WEBHOOK, occurred_at)
    if news.status in FINAL_BY_PROVIDER:
        return StatusClaimed(message.row, at, uptime_us, news.status)
    return None


def known(message: Message, news: WebhookEvent) -> WebhookResult:
    """What becomes of news that leaves a message as it is."""
    if news.status in {message.status, abs(message.claimed_status)}:
        return WebhookResult.DUPLICATE
    # Under way, further than we knew: taken note of, and left to the looks that are planned.
    further = news.status in MOVES[message.status] and news.status not in FINAL_BY_PROVIDER
    return WebhookResult.ACCEPTED if further else WebhookResult.STALE


def moved(news: WebhookEvent, event: Observed | StatusClaimed) -> WebhookResult:
    """What becomes of news that moves a message on."""
    undated = isinstance(event, Observed) and not event.occurred_at and news.status in FINAL_BY_PROVIDER
    return WebhookResult.IMPLAUSIBLE if undated else WebhookResult.ACCEPTED


def sent_at(news: WebhookEvent, at: int, oldest_us: int) -> int:
    """The latest that a message can have been sent that a webhook tells of first; `oldest_us` ago at most."""
    return min(news.occurred_at, at) if _plausible(news.occurred_at, at - oldest_us, at) else at


def _plausible(occurred_at: int, not_before_at: int, at: int) -> bool:
    # The provider writes whole seconds: a delivery within the second of its sending seems to be before it.
    return not_before_at - not_before_at % SECOND_US <= occurred_at <= at + AHEAD_US
