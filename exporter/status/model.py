"""The overview: frozen values whose attributes are the keys of `/api/v1/status`.

Names, types and docstrings are the public API: `openapi.json` has the schema
generated from them, and a test compares the two. Times are Unix seconds; an
unknown value is None, never 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from exporter.domain.limiter import CircuitState
from exporter.status.message import KEYS, RequestView


class State(StrEnum):
    """What the exporter does, or what is wrong: the worst first."""

    STARTING = "starting"
    STOPPING = "stopping"
    STALLED = "stalled"
    STORE_FULL = "store_full"
    KEY_REFUSED = "key_refused"
    PROVIDER_FAILING = "provider_failing"
    RATE_LIMITED = "rate_limited"
    ANSWER_UNUSABLE = "answer_unusable"
    DROP_UNREADABLE = "drop_unreadable"
    DROP_BLOCKED = "drop_blocked"
    OBJECTIVE_MISSED = "objective_missed"
    BEHIND = "behind"
    CONFIGURATION_REFUSED = "configuration_refused"
    NO_IDS = "no_ids"
    WAITING = "waiting"
    QUIET = "quiet"
    RECEIVING = "receiving"


class Severity(StrEnum):
    """How severe a problem is."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem."""

    __pydantic_config__ = KEYS

    code: State
    """The state that it causes."""
    severity: Severity
    """Whether it keeps the exporter from its work (`error`) or not (`warning`)."""
    summary: str
    """What is wrong, in one or two sentences."""
    advice: str
    """What to do about it."""
    account: str | None
    """The account that has it; null for a problem of the whole exporter."""


@dataclass(frozen=True, slots=True)
class ConfigurationWarning:
    """One thing in a configuration file that works and should be fixed."""

    __pydantic_config__ = KEYS

    file: str
    """The file, as on the command line."""
    line: int
    """The line in it, from 1."""
    key: str
    """The key, such as `accounts[0].auth.api_key`."""
    message: str
    """What should be fixed, as the end of a sentence."""
    hint: str
    """How to fix it."""
    code: str
    """The code that docs/errors.md explains."""


@dataclass(frozen=True, slots=True)
class AccountView:
    """One account at the provider."""

    __pydantic_config__ = KEYS

    account: str
    """Its name in the configuration."""
    up: bool | None
    """Whether the latest answer was usable; null before the first."""
    flow: CircuitState
    """`flowing`; `outage`: only probes are sent; `revoked`: only probes, since the key is not valid."""
    last_success_timestamp_seconds: float | None
    """When the latest usable answer came; null before the first."""
    requests_per_second: float
    """Requests per second, over the last minute."""
    allowed_requests_per_second: float
    """The rate that is allowed now."""
    configured_requests_per_second: float
    """The rate that was agreed with the provider."""
    paused_until_timestamp_seconds: float | None
    """Until when the provider asked us to pause; null while there is no pause."""
    next_probe_seconds: float | None
    """How long until the next probe; null while requests flow."""
    due: dict[str, int]
    """Messages that are due for a poll, by priority."""
    lag_seconds: dict[str, float]
    """How late the latest poll was, by priority; without priorities that had none yet."""
    requests: dict[str, int]
    """Requests since the start of the process, by outcome."""


@dataclass(frozen=True, slots=True)
class Share:
    """A share of messages."""

    __pydantic_config__ = KEYS

    window: str
    """The time that it covers; for `in_time` at most the lifetime of the process."""
    ratio: float
    """From 0 to 1."""
    messages: int
    """The number of messages that it is a share of; never 0."""


@dataclass(frozen=True, slots=True)
class Hours:
    """Consecutive hours, by the time of sending."""

    __pydantic_config__ = KEYS

    began_timestamp_seconds: float
    """When the first one began."""
    sent: tuple[int, ...]
    """Messages sent in each."""
    delivered: tuple[int, ...]
    """How many of those are delivered by now."""
    judged: int
    """The number of hours, from the first on, whose messages are all past the campaign's deadline."""


@dataclass(frozen=True, slots=True)
class CampaignView:
    """One campaign of one account."""

    __pydantic_config__ = KEYS

    account: str
    """The account that it belongs to."""
    campaign: str
    """Its name."""
    misses_objective: bool
    """Whether it misses its objective now, by the rule of the alert SmsbatDeliveryRateLow."""
    deadline_seconds: float
    """The time from sending within which messages should be delivered, by its profile."""
    objective_ratio: float
    """The share of messages that should be delivered by then."""
    delivered: tuple[Share, ...]
    """By the configured windows, as smsbat_delivery_ratio; without windows that have no messages to judge."""
    in_time: tuple[Share, ...]
    """The share delivered in time, of the messages judged in the last 30 minutes and in the last day."""
    delivery_p50_seconds: float | None
    """Median time from sending to delivery, in the last day; null without deliveries."""
    delivery_p95_seconds: float | None
    """The same for 95 of 100 deliveries."""
    deliveries: int
    """The number of deliveries that these two are computed from."""
    cost: dict[str, float]
    """Cost of the messages finished in the last day, by currency. Never add up currencies."""
    tracked: int
    """Ids accepted in the last day."""
    finished: dict[str, int]
    """Messages finished in the last day, by status."""
    pending: int
    """Messages that are tracked and not finished."""
    oldest_pending_timestamp_seconds: float | None
    """When the oldest pending message was sent; null when none is pending."""
    hours: Hours | None
    """The last 24 hours, including the current one; null when nothing was sent in them."""


@dataclass(frozen=True, slots=True)
class DropView:
    """Dropped files, since the start of the process."""

    __pydantic_config__ = KEYS

    directories: dict[str, bool | None]
    """Whether each could be read at the latest scan; null before the first."""
    blocked: bool
    """Whether files wait because the limit of tracked messages is reached."""
    files: dict[str, int]
    """By result, as in smsbat_drop_files_total."""
    lines: dict[str, int]
    """Entries of files by result, as in smsbat_drop_lines_total."""


@dataclass(frozen=True, slots=True)
class IntakeView:
    """Ids posted over HTTP, since the start of the process."""

    __pydantic_config__ = KEYS

    enabled: bool
    """Whether it is configured."""
    messages: dict[str, int]
    """By result."""


@dataclass(frozen=True, slots=True)
class WebhookView:
    """The provider's webhooks, since the start of the process."""

    __pydantic_config__ = KEYS

    enabled: bool
    """Whether they are configured."""
    mode: Literal["verify", "trust"] | None
    """`verify` or `trust`; null where not enabled."""
    addresses: tuple[str, ...]
    """Where the listener for them is bound."""
    events: dict[str, int]
    """By result."""


@dataclass(frozen=True, slots=True)
class Overview:
    """The whole exporter, at one time."""

    __pydantic_config__ = KEYS

    state: State
    """The worst problem, or the work in progress when there is none."""
    summary: str
    """The same in words."""
    advice: str
    """What to do; empty when there is nothing to do."""
    problems: tuple[Problem, ...]
    """All problems, the worst first."""
    configuration_warnings: tuple[ConfigurationWarning, ...]
    """What `check-config` warned of when the configuration was read: it works, but should be fixed."""
    version: str
    """The version of the exporter."""
    demo_speed: float | None
    """In the demo, how many times as fast its time passes; else null."""
    timestamp_seconds: float
    """When this overview was built."""
    started_timestamp_seconds: float
    """When this process started."""
    uptime_seconds: float
    """How long this process has been running."""
    counters_created_timestamp_seconds: float
    """When the durable counters started at 0."""
    counted_since_timestamp_seconds: float
    """Since when `in_time`, times, cost, `tracked` and `finished` are counted: a day ago, or up to an
    hour earlier; or the start of the process."""
    configuration_taken_timestamp_seconds: float | None
    """When the configuration in force was read."""
    pending: int
    """Messages that are tracked and not finished."""
    max_tracked: int
    """The maximum of pending messages."""
    accounts: tuple[AccountView, ...]
    """In the order of the configuration."""
    campaigns: tuple[CampaignView, ...]
    """Those that miss their objective first, then the busiest."""
    failures: tuple[RequestView, ...]
    """The latest failed requests, newest first."""
    failures_since_timestamp_seconds: float
    """Since when every failed request is remembered."""
    drop: DropView
    """Dropped files."""
    intake: IntakeView
    """Ids posted over HTTP."""
    webhook: WebhookView
    """Final statuses by webhook."""
