"""The words of the domain: statuses, messages, events, policies.

Instants (`*_at`) are integer microseconds since the Unix epoch, durations
(`*_us`) integer microseconds, money (`*_nanos`) integer billionths of a
currency unit, so that sums are exact in every store.

Rows that exist by the million, or are made thousands of times a second, are
named tuples: a third of the cost of a frozen dataclass to make.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import NamedTuple

SECOND_US = 1_000_000
NANOS_PER_UNIT = 1_000_000_000


class Status(IntEnum):
    """What became of a message; the numbers are stored, so they never change."""

    NEW = 0
    SCHEDULED = 1
    PROCESSING = 2
    DELIVERED = 3
    UNDELIVERABLE = 4
    PERMANENTERROR = 5
    OTHER = 6
    EXPIRED = 7
    NOT_FOUND = 8
    REJECTED = 9

    @property
    def word(self) -> str:
        """The value of the label `status`."""
        return self.name.lower()


FINAL_BY_PROVIDER = frozenset({Status.DELIVERED, Status.UNDELIVERABLE, Status.PERMANENTERROR})
GIVEN_UP = frozenset({Status.EXPIRED, Status.NOT_FOUND, Status.REJECTED})
FINISHED = FINAL_BY_PROVIDER | GIVEN_UP


class Verdict(IntEnum):
    """How a message did against its deadline; the numbers are stored."""

    NONE = 0
    MET = 1
    MISSED = 2
    UNOBSERVED = 3
    EXEMPT = 4
    """Never judged, and without a duration: nobody told us when it was sent."""


class Source(StrEnum):
    """How an id came to us: the label `source` of `smsbat_messages_tracked_total`."""

    CONFIG = "config"
    DROP = "drop"
    INTAKE = "intake"
    WEBHOOK = "webhook"


class Via(StrEnum):
    """Who brought a status: the label `source` of durations and first knowledge."""

    POLL = "poll"
    WEBHOOK = "webhook"


class WebhookResult(StrEnum):
    """What became of a webhook: the label `result` of `smsbat_webhook_events_total`."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    IMPLAUSIBLE = "implausible"
    """Accepted, but its own time can't be: the time of its arrival counts."""
    INVALID = "invalid"
    OVERFLOW = "overflow"
    """Not taken: too much waits, or there is no room."""
    STALE = "stale"
    """Behind what is known, or against it."""
    UNAUTHORIZED = "unauthorized"
    UNKNOWN = "unknown"
    """About a message that isn't tracked."""


class Priority(IntEnum):
    """Which messages are asked about first."""

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
    """What the provider says of one message, whitelisted and bounded by `wire`."""

    status: Status
    unknown_word: str = ""
    """The provider's own word when `status` is OTHER, shape-checked; else empty."""
    parts: int = 0
    cost_nanos: int | None = None
    """None when the answer has no usable cost."""
    currency: str = ""
    """ISO-like code of three capitals, or empty: the account's currency holds."""
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
    """One request to the provider, ended: never an exception."""

    outcome: Outcome
    answer: Answer | None = None
    """Present exactly when `outcome` is OK."""
    retry_after_us: int | None = None
    """The provider's own wish, clamped to 1 s..1 h; None when absent or garbage."""
    duration_us: int = 0
    detail: str = ""
    """For the log: never a body, never a secret, never an id."""
    reused_connection_lost: bool = False
    """The peer closed an idle connection under this request: worth one silent retry."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How eagerly to look at a message and what "in time" means: a profile, in microseconds."""

    first_poll_us: int
    interval_us: int
    max_interval_us: int
    give_up_after_us: int
    deadline_us: int
    objective_ratio: float
    priority: Priority


class NewMessage(NamedTuple):
    """One id on its way in, already allow-listed."""

    message_id: str
    campaign: str
    account: str
    sent_at: int | None = None
    """None: the time of acceptance."""


class Message(NamedTuple):
    """One tracked message, as the store holds it."""

    row: int
    account_id: int
    campaign_id: int
    message_id: str
    status: Status
    outcome: Status
    """The first end, which was counted; NEW while pending."""
    verdict: Verdict
    sent_at: int
    accepted_at: int
    due_at: int
    polled_at: int
    """The latest look; 0 before the first."""
    finished_at: int
    """0 while pending."""
    uptime_at_accept_us: int
    """The account's answering clock (see `ratelimit.AccountLimiter`) at acceptance."""
    polls: int
    """Looks that the provider answered with a status."""
    failures: int
    """Looks that failed since the last answered one."""
    refusals: int
    """Answers that blame this very message (400, 410, 414, ...)."""
    revision: int
    """Counts plans: tells a live schedule entry from a superseded one."""
    claimed_status: int = 0
    """The final status that a webhook told and no answer has borne out yet; negative once one didn't."""
    webhook_cost_nanos: int = -1
    """The cost that came with the end that a webhook told, until a look has told the rest; else -1."""

    @property
    def pending(self) -> bool:
        """Whether the message still counts as pending."""
        return self.outcome is Status.NEW

    @property
    def unsettled(self) -> bool:
        """Whether the provider is still to be asked about it."""
        return self.outcome is Status.NEW or self.webhook_cost_nanos >= 0 or self.claimed_status > 0
