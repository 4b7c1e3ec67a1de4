"""What a webhook means for a message: which event it is, if any, and which result it has.

A webhook is unsigned, so it is trusted only where the settings say so. In the
mode `verify` it only claims a final status, which a poll then has to confirm;
other statuses are not worth a poll.
"""

from __future__ import annotations

from exporter.domain.events import Observed, StatusClaimed, WebhookEvent
from exporter.domain.lifecycle import MOVES
from exporter.domain.model import FINAL_BY_PROVIDER, SECOND_US, Answer, Message, Via, WebhookResult

AHEAD_US = 60 * SECOND_US
"""The provider's clock may be ahead of ours by this much."""


def to_event(
    message: Message, webhook: WebhookEvent, at: int, uptime_us: int, *, trusted: bool
) -> Observed | StatusClaimed | None:
    """The event that a webhook is for a message which it may be about; `at` is when it arrived."""
    if trusted:
        occurred_at = webhook.occurred_at if _is_plausible(webhook.occurred_at, message.sent_at, at) else 0
        answer = Answer(webhook.status, cost_nanos=webhook.cost_nanos)
        return Observed(message.row, at, uptime_us, answer, Via.WEBHOOK, occurred_at)
    if webhook.status in FINAL_BY_PROVIDER:
        return StatusClaimed(message.row, at, uptime_us, webhook.status)
    return None


def classify_unchanged(message: Message, webhook: WebhookEvent) -> WebhookResult:
    """The result of a webhook that leaves the message as it is."""
    if webhook.status in {message.status, abs(message.claimed_status)}:
        return WebhookResult.DUPLICATE
    # Not final, but further than the known status: accepted, and left to the planned polls.
    further = webhook.status in MOVES[message.status] and webhook.status not in FINAL_BY_PROVIDER
    return WebhookResult.ACCEPTED if further else WebhookResult.STALE


def classify_changed(webhook: WebhookEvent, event: Observed | StatusClaimed) -> WebhookResult:
    """The result of a webhook that changes the message."""
    undated = isinstance(event, Observed) and not event.occurred_at and webhook.status in FINAL_BY_PROVIDER
    return WebhookResult.IMPLAUSIBLE if undated else WebhookResult.ACCEPTED


def estimate_sent_at(webhook: WebhookEvent, at: int, oldest_us: int) -> int:
    """The latest time at which a message, first named by a webhook, was sent; at most `oldest_us` ago."""
    return min(webhook.occurred_at, at) if _is_plausible(webhook.occurred_at, at - oldest_us, at) else at


def _is_plausible(occurred_at: int, not_before_at: int, at: int) -> bool:
    # The provider writes whole seconds: a delivery in the second of its sending seems to come before it.
    return not_before_at - not_before_at % SECOND_US <= occurred_at <= at + AHEAD_US
