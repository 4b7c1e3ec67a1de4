"""What happens to a message, and what a decision over it brings: values only, the rules are `lifecycle`'s."""

from __future__ import annotations

from typing import NamedTuple

from exporter.domain.contributions import Count
from exporter.domain.model import Answer, Message, Outcome, Status, Verdict, Via


class Observed(NamedTuple):
    """The provider said what became of a message: to a request of ours, or by a webhook that is trusted."""

    row: int
    at: int
    uptime_us: int
    """The account's answering clock, see `ratelimit.AccountLimiter`."""
    answer: Answer
    via: Via = Via.POLL
    occurred_at: int = 0
    """The provider's own time of the status, 0 when it gave none."""


class WebhookEvent(NamedTuple):
    """What a webhook says of one message."""

    message_id: str
    """Allow-listed."""
    status: Status
    occurred_at: int = 0
    """When the status came about, by the provider's clock; 0 when it isn't told in a way that we know."""
    cost_nanos: int | None = None
    """None when there is no usable cost."""


class StatusClaimed(NamedTuple):
    """A webhook told an end that only the provider's own answer may confirm."""

    row: int
    at: int
    uptime_us: int
    status: Status
    """One of FINAL_BY_PROVIDER."""


class PollFailed(NamedTuple):
    """A request for a message brought no status."""

    row: int
    at: int
    uptime_us: int
    outcome: Outcome


class Tick(NamedTuple):
    """Nobody asked; only time has passed."""

    row: int
    at: int
    uptime_us: int


Event = Observed | StatusClaimed | PollFailed | Tick


class Step(NamedTuple):
    """What one event does: the message after it, and all that it counts."""

    message: Message
    counts: tuple[Count, ...] = ()
    newly_delivered: bool = False
    newly_finished: bool = False
    fell_back: bool = False
    """The answer that completes a finished message shows a used fallback."""
    verdict: Verdict = Verdict.NONE
    """The verdict when this very step brought it."""
    conflict: bool = False
    """The provider contradicted itself."""
    planned: bool = False
    """The message has a new place in the schedule."""
    webhook_first: bool | None = None
    """When an answer told an end: whether a webhook had told the same before. Else None."""
