"""The view of the whole: frozen values whose attributes are the keys of `/api/v1/status`.

Names, types and docstrings are the public API: `openapi.json` holds the schema
made of them, and a test compares. Instants are Unix seconds; what is not known
is None, never 0.
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
    """How much a problem asks for somebody."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is not as it should be."""

    __pydantic_config__ = KEYS

    code: State
    """The state that it is."""
    severity: Severity
    """Whether it keeps the exporter from its work (`error`) or not (`warning`)."""
    summary: str
    """What is wrong, in a sentence or two."""
    advice: str
    """What to do about it."""
    account: str | None
    """The account that it is about; null when it is about the whole."""


@dataclass(frozen=True, slots=True)
class ConfigurationWarning:
    """One thing in a configuration file that works and should be fixed."""

    __pydantic_config__ = KEYS

    file: str
    """The file, as the command line has it."""
    line: int
    """The line in it, from 1."""
    key: str
    """The key, such as `accounts[0].auth.api_key`."""
    message: str
    """What should be fixed, as the end of a sentence."""
    hint: str
    """How."""
    code: str
    """What docs/errors.md explains it under."""


@dataclass(frozen=True, slots=True)
class AccountView:
    """One account at the provider."""

    __pydantic_config__ = KEYS

    account: str
    """Its name in the configuration."""
    up: bool | None
    """Whether the latest answer was usable; null before the first."""
    flow: CircuitState
    """`flowing`; `outage`: only probes go out; `revoked`: only probes, since no key works."""
    last_success_timestamp_seconds: float | None
    """When the latest usable answer came; null before the first."""
    requests_per_second: float
    """Requests of the last minute, by the second."""
    allowed_requests_per_second: float
    """What may be sent now."""
    configured_requests_per_second: float
    """What was agreed with the provider."""
    paused_until_timestamp_seconds: float | None
    """Until when nothing is asked because the provider said so; null while there is no pause."""
    next_probe_seconds: float | None
    """How long until the provider is tried again; null while requests flow."""
    due: dict[str, int]
    """Messages whose time to be asked about has come, by priority."""
    lag_seconds: dict[str, float]
    """How late the latest request was, by priority; without those that had none yet."""
    requests: dict[str, int]
    """Requests since the start of the process, by outcome."""


@dataclass(frozen=True, slots=True)
class Share:
    """A share of some messages."""

    __pydantic_config__ = KEYS

    window: str
    """The time that it is of. Of `in_time`: or the lifetime of the process, where that is shorter."""
    ratio: float
    """From 0 to 1."""
    messages: int
    """How many messages it is a share of: never 0."""


@dataclass(frozen=True, slots=True)
class Hours:
    """Hours in a row, by when messages were sent."""

    __pydantic_config__ = KEYS

    began_timestamp_seconds: float
    """When the first one began."""
    sent: tuple[int, ...]
    """Messages sent in each."""
    delivered: tuple[int, ...]
    """Of those, delivered by now."""
    judged: int
    """In so many of them, from the first on, all that was sent is older than the campaign's deadline."""


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
    """The time from sending within which its profile wants messages delivered."""
    objective_ratio: float
    """The share of messages that its profile wants delivered by then."""
    delivered: tuple[Share, ...]
    """By the configured windows, as smsbat_delivery_ratio; without those with nothing to be judged."""
    in_time: tuple[Share, ...]
    """Of the messages judged in the last 30 minutes and in the last day, those delivered in time."""
    delivery_p50_seconds: float | None
    """Median time from sending to delivery, of the deliveries of the last day; null without any."""
    delivery_p95_seconds: float | None
    """The same for 95 of 100 deliveries."""
    deliveries: int
    """How many deliveries these two are of."""
    cost: dict[str, float]
    """Cost of the messages finished in the last day, by currency. Never add currencies up."""
    tracked: int
    """Ids accepted in the last day."""
    finished: dict[str, int]
    """Messages finished in the last day, by status."""
    pending: int
    """Messages that are tracked and not finished."""
    oldest_pending_timestamp_seconds: float | None
    """When the oldest pending message was sent; null when none is pending."""
    hours: Hours | None
    """The last 24, the one that runs included; null when nothing was sent in them."""


@dataclass(frozen=True, slots=True)
class DropView:
    """Taking in dropped files, since the start of the process."""

    __pydantic_config__ = KEYS

    directories: dict[str, bool | None]
    """Whether each could be read at the last pass; null before the first."""
    blocked: bool
    """Whether files wait because the limit of tracked messages is reached."""
    files: dict[str, int]
    """By what became of them, as in smsbat_drop_files_total."""
    lines: dict[str, int]
    """Entries of files by what became of them, as in smsbat_drop_lines_total."""


@dataclass(frozen=True, slots=True)
class IntakeView:
    """Ids over HTTP, since the start of the process."""

    __pydantic_config__ = KEYS

    enabled: bool
    """Whether it is configured."""
    messages: dict[str, int]
    """By what became of them."""


@dataclass(frozen=True, slots=True)
class WebhookView:
    """The provider's webhooks, since the start of the process."""

    __pydantic_config__ = KEYS

    enabled: bool
    """Whether they are configured."""
    mode: Literal["verify", "trust"] | None
    """`verify` or `trust`; null where not enabled."""
    addresses: tuple[str, ...]
    """Where they are taken."""
    events: dict[str, int]
    """By what became of them."""


@dataclass(frozen=True, slots=True)
class Overview:
    """The whole, at one moment."""

    __pydantic_config__ = KEYS

    state: State
    """The worst problem, or what goes on when there is none."""
    summary: str
    """The same in words."""
    advice: str
    """What to do; empty when there is nothing to do."""
    problems: tuple[Problem, ...]
    """All that is not as it should be, the worst first."""
    configuration_warnings: tuple[ConfigurationWarning, ...]
    """What worked and should be fixed in the configuration when it was read, as `check-config` says it."""
    version: str
    """Of the exporter."""
    demo_speed: float | None
    """In the demo, how many times as fast its time passes; null outside of it."""
    timestamp_seconds: float
    """When this was true."""
    started_timestamp_seconds: float
    """When this process began."""
    uptime_seconds: float
    """How long it runs."""
    counters_created_timestamp_seconds: float
    """When the durable counters began at 0."""
    counted_since_timestamp_seconds: float
    """From when on `in_time`, times, cost, `tracked` and `finished` are counted: a day ago, or
    up to an hour more; or the start of the process."""
    configuration_taken_timestamp_seconds: float | None
    """When the configuration in force was read."""
    pending: int
    """Messages that are tracked and not finished."""
    max_tracked: int
    """How many there may be at most."""
    accounts: tuple[AccountView, ...]
    """In the order of the configuration."""
    campaigns: tuple[CampaignView, ...]
    """Those that miss their objective first, then the busiest."""
    failures: tuple[RequestView, ...]
    """The latest failed requests, newest first."""
    failures_since_timestamp_seconds: float
    """From when on every failed request is remembered."""
    drop: DropView
    """Taking in dropped files."""
    intake: IntakeView
    """Taking in ids over HTTP."""
    webhook: WebhookView
    """WebhookProcessor of ends by webhook."""
