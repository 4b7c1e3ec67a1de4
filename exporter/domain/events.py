"""What happens to a message, and what follows from it: values only, `lifecycle` has the rules."""

from __future__ import annotations

from typing import NamedTuple

from exporter.domain.model import Answer, Message, Outcome, Verdict, Via
from exporter.domain.snapshot import Kind
from exporter.domain.states import Status


class Observed(NamedTuple):
    """The provider reported a message's status: in the answer to a poll, or by a trusted webhook."""

    row: int
    at: int
    uptime_us: int
    """The account's provider uptime, see `limiter.AccountLimiter`."""
    answer: Answer
    via: Via = Via.POLL
    occurred_at: int = 0
    """When the status came about, by the provider's clock; 0 when it gave no time."""


class WebhookEvent(NamedTuple):
    """What a webhook says about one message."""

    message_id: str
    """Already checked by `message_ids`."""
    status: Status
    occurred_at: int = 0
    """When the status came about, by the provider's clock; 0 when it is missing or can't be read."""
    cost_nanos: int | None = None
    """None when the webhook has no usable cost."""


class StatusClaimed(NamedTuple):
    """An untrusted webhook claims a final status, which only a poll can confirm."""

    row: int
    at: int
    uptime_us: int
    status: Status
    """One of FINAL_BY_PROVIDER."""


class PollFailed(NamedTuple):
    """A poll brought no status."""

    row: int
    at: int
    uptime_us: int
    outcome: Outcome


class Tick(NamedTuple):
    """Only time has passed."""

    row: int
    at: int
    uptime_us: int


Event = Observed | StatusClaimed | PollFailed | Tick


class Count(NamedTuple):
    """One series of the message's campaign, and by how much it changes."""

    kind: Kind
    label1: str
    label2: str
    amount: int


class Step(NamedTuple):
    """What one event does: the message after it, and what is counted."""

    message: Message
    counts: tuple[Count, ...] = ()
    newly_delivered: bool = False
    newly_finished: bool = False
    fell_back: bool = False
    """The provider's answer about a finished message shows a used fallback."""
    verdict: Verdict = Verdict.NONE
    """The verdict, when this step brought it."""
    conflict: bool = False
    """The provider contradicted itself."""
    webhook_first: bool | None = None
    """When a poll brought a final status: whether a webhook had reported the same before. Else None."""
