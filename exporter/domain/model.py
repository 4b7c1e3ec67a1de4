"""The types of the domain: messages, answers, policies.

Points in time (`*_at`) are integer microseconds since the Unix epoch, durations
(`*_us`) integer microseconds, money (`*_nanos`) integer billionths of a
currency unit, so that sums are exact in every store.

Types with millions of values, or thousands of new ones a second, are named
tuples: making one costs a third of making a frozen dataclass.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import NamedTuple

from exporter.domain.states import ClaimState, Status

SECOND_US = 1_000_000
NANOS_PER_UNIT = 1_000_000_000


class Verdict(IntEnum):
    """Whether a message met its deadline; the numbers are stored, so they never change."""

    NONE = 0
    MET = 1
    MISSED = 2
    UNOBSERVED = 3
    EXEMPT = 4
    """Never judged, and without a duration: the time of sending is unknown."""


class Source(StrEnum):
    """Where an id came from: the label `source` of `smsbat_messages_tracked_total`."""

    CONFIG = "config"
    DROP = "drop"
    INTAKE = "intake"
    WEBHOOK = "webhook"


class Via(StrEnum):
    """How a status arrived: the label `source` of durations and first knowledge."""

    POLL = "poll"
    WEBHOOK = "webhook"


class WebhookResult(StrEnum):
    """The result of a webhook: the label `result` of `smsbat_webhook_events_total`."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    IMPLAUSIBLE = "implausible"
    """Accepted, but its own time is impossible: the time of its arrival is used."""
    INVALID = "invalid"
    OVERFLOW = "overflow"
    """Not accepted: too many are waiting, or there is no room on the disk."""
    STALE = "stale"
    """Older than the known status, or contradicting it."""
    UNAUTHORIZED = "unauthorized"
    UNKNOWN = "unknown"
    """About a message that isn't tracked."""


class Priority(IntEnum):
    """Which messages are polled first."""

    HIGH = 0
    NORMAL = 1
    LOW = 2

    @property
    def word(self) -> str:
        """The value of the label `priority`."""
        return self.name.lower()


class Outcome(StrEnum):
    """How one request to the provider ended: the label `outcome`."""

    OK = "ok"
    NOT_FOUND = "not_found"
    UNAUTHORIZED = "unauthorized"
    RATE_LIMITED = "rate_limited"
    CLIENT_ERROR = "client_error"
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    CONNECT = "connect"
    DNS = "dns"
    TLS = "tls"
    REDIRECT = "redirect"
    BAD_BODY = "bad_body"
    BAD_SCHEMA = "bad_schema"
    TOO_LARGE = "too_large"


class Answer(NamedTuple):
    """What the provider says about one message, allow-listed and bounded by `provider.parsing`."""

    status: Status
    unknown_word: str = ""
    """The provider's own word when `status` is OTHER, shape-checked; else empty."""
    parts: int = 0
    cost_nanos: int | None = None
    """None when the answer has no usable cost."""
    currency: str = ""
    """ISO-like code of three capitals, or empty: then the account's currency is used."""
    cost_invalid: bool = False
    fallbacks: tuple[tuple[str, str], ...] = ()
    """(type, status) of each fallback entry, bounded to known words and `other`."""
    channels: tuple[tuple[str, str], ...] = ()
    """(channel, status) of each extended status, bounded likewise."""

    @property
    def fell_back(self) -> bool:
        """Whether any fallback was used."""
        return any(status != "not_used" for _, status in self.fallbacks)


class Reply(NamedTuple):
    """The result of one request to the provider: never an exception."""

    outcome: Outcome
    answer: Answer | None = None
    """Present exactly when `outcome` is OK."""
    retry_after_us: int | None = None
    """The provider's Retry-After, clamped to 1 s..1 h; None when it is absent or can't be read."""
    duration_us: int = 0
    detail: str = ""
    """For the log: never a body, never a secret, never an id."""
    reused_connection_lost: bool = False
    """The peer closed an idle connection under this request: worth one silent retry."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How often to poll a message and what "in time" means: a profile, in microseconds."""

    first_poll_us: int
    interval_us: int
    max_interval_us: int
    give_up_after_us: int
    deadline_us: int
    objective_ratio: float
    priority: Priority


class NewMessage(NamedTuple):
    """One id to track, already checked by `message_ids`."""

    message_id: str
    campaign: str
    account: str
    sent_at: int | None = None
    """None for the time of acceptance."""


class Message(NamedTuple):
    """One tracked message, as the store holds it."""

    row: int
    account_id: int
    campaign_id: int
    message_id: str
    status: Status
    outcome: Status
    """The first final status, which was counted; NEW while pending."""
    verdict: Verdict
    sent_at: int
    accepted_at: int
    due_at: int
    """When to poll it next, on the queue clock (see `poll_queue`)."""
    polled_at: int
    """When it was polled last; 0 before the first poll."""
    finished_at: int
    """0 while pending."""
    uptime_at_accept_us: int
    """The account's provider uptime (see `limiter.AccountLimiter`) at acceptance."""
    polls: int
    """Polls that brought a status."""
    failures: int
    """Failed polls since the last one that brought a status."""
    refusals: int
    """Answers that reject this message (400, 410, 414, ...)."""
    priority: Priority
    """Its campaign's priority when its next poll was planned."""
    claimed_status: Status = Status.NEW
    """The final status that an untrusted webhook claimed last; NEW when `claim_state` is NONE."""
    claim_state: ClaimState = ClaimState.NONE
    webhook_cost_nanos: int | None = None
    """The cost from a webhook that brought the final status, while a poll must still bring the rest."""

    @property
    def pending(self) -> bool:
        """Whether the message still counts as pending."""
        return self.outcome is Status.NEW

    @property
    def fully_counted(self) -> bool:
        """Whether nothing about it is still to be counted, unless it comes late."""
        return self.outcome is not Status.NEW and self.webhook_cost_nanos is None

    @property
    def unsettled(self) -> bool:
        """Whether it must still be polled."""
        return not self.fully_counted or self.claim_state is ClaimState.OPEN
