"""The sections of the configuration file, as frozen models with an attribute for each key.

The attributes are called what the keys are called; those that hold a duration
are integer microseconds. These models check each value, and the values of one
section against each other. What one section says about another is checked in
`references`, on the file itself, so that one wrong value never hides another
problem.

The text below a key is for users: `make docs` prints it in the example, in the
documentation and in `schema.json`.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from exporter.config import json_schema
from exporter.config.defaults import BUILT_IN_PROFILES
from exporter.config.fields import (
    AfterReading,
    AtLeastOneSecond,
    AuthMethod,
    BaseUrl,
    BigCount,
    CorruptPolicy,
    Count,
    Currency,
    Duration,
    FilePath,
    Flag,
    ListenAddress,
    MessageId,
    Name,
    PeerNetwork,
    PositiveDuration,
    PriorityName,
    Rate,
    Ratio,
    Text,
    TrustMode,
    refuse,
)
from exporter.domain.model import SECOND_US, Policy, Priority
from exporter.runtime.errors import Code
from exporter.runtime.secrets import Secret, SecretFile, SecretSource

_DAY_US = 86_400 * SECOND_US


class Section(BaseModel):
    """A mapping of the file: unknown keys are problems, and no error repeats a value."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Auth(Section):
    """How to show the provider who asks."""

    model_config = ConfigDict(json_schema_extra=json_schema.BY_METHOD)

    method: AuthMethod = "header"
    """`header`: the key in X-Authorization-Key. `key-as-password`: HTTP Basic with the user @ and the key as
    the password. `basic`: HTTP Basic with `username` and `password_file`."""
    api_key: Secret | None = None
    """The key itself, in place of its file; with a warning, and only where others can't read this file (mode
    0640), or where the value is an environment variable and nothing else."""
    api_key_file: FilePath | None = Field(default=None, validate_default=True)
    """The file with the key, in one line. Read again when it changes; may be a symbolic link."""
    username: Text | None = Field(default=None, validate_default=True)
    """The user, for the method `basic`."""
    password_file: FilePath | None = Field(default=None, validate_default=True)
    """The file with the user's password, for the method `basic`. Read like `api_key_file`."""

    @field_validator("api_key", "api_key_file", "username", "password_file")
    @classmethod
    def _belongs_to_method(cls, value: object, info: ValidationInfo) -> object:
        method = info.data.get("method")
        for_basic = info.field_name in {"username", "password_file"}
        if value is not None and method is not None and for_basic != (method == "basic"):
            hint = "remove it, or choose another method"
            raise refuse(f"is not used by method {method}", hint=hint, code=Code.CONFIG_CLASH)
        if value is None and for_basic and method == "basic":
            raise refuse("is missing; method basic needs it", code=Code.CONFIG_MISSING)
        return value

    @field_validator("api_key_file")
    @classmethod
    def _one_key(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        # A bad method or api_key is a problem of its own, and isn't in `data`.
        if info.data.get("method", "basic") == "basic" or "api_key" not in info.data:
            return value
        if value is None and info.data["api_key"] is None:
            method = info.data["method"]
            raise refuse(f"is missing; method {method} needs it", code=Code.CONFIG_MISSING)
        if value is not None and info.data["api_key"] is not None:
            hint = "keep api_key_file and remove api_key"
            raise refuse("stands beside api_key", hint=hint, code=Code.CONFIG_CLASH)
        return value


class Account(Section):
    """One account at the provider."""

    name: Name
    """The label `account` of the metrics."""
    base_url: BaseUrl
    """The provider's address, as the account manager gives it. Only https; http is for loopback addresses."""
    auth: Auth
    """How to show the provider who asks."""
    requests_per_second: Rate = 10.0
    """As agreed with the provider. When it answers 429, we slow down by ourselves for a while."""
    max_in_flight: Count = 10
    """Requests at the same time."""
    timeout: PositiveDuration = Field(default=10 * SECOND_US, json_schema_extra=json_schema.default("10s"))
    """For a request as a whole."""
    currency: Currency = "UAH"
    """Of the cost, where an answer names none."""
    ca_file: FilePath | None = None
    """Certificates to trust in place of those of the system, in PEM form."""

    def secret(self) -> SecretSource:
        """Where the API key, or with method basic the password, is read from before each use."""
        if self.auth.api_key is not None:
            return self.auth.api_key
        if self.auth.password_file is not None:
            return SecretFile(self.auth.password_file, f"password_file of account {self.name}")
        return SecretFile(self.auth.api_key_file or Path(), f"api_key_file of account {self.name}")


class Profile(Section):
    """How eagerly to look at messages, and what "in time" means for them."""

    model_config = ConfigDict(json_schema_extra=json_schema.optional(*BUILT_IN_PROFILES["default"]))

    first_poll: AtLeastOneSecond
    """From sending to the first look."""
    interval: AtLeastOneSecond
    """From the first look to the second. Then each pause is half as long again, up to `max_interval`."""
    max_interval: AtLeastOneSecond
    """The longest pause between two looks. Not less than `interval`."""
    give_up_after: AtLeastOneSecond
    """The age at which a message is no longer asked about: it counts as expired."""
    deadline: AtLeastOneSecond
    """A message is in time when it is delivered at this age. Not more than `give_up_after`."""
    objective: Ratio
    """The share of messages that should be in time: the goal that alerts compare with."""
    priority: PriorityName
    """Whose turn comes first when requests are short."""

    @field_validator("max_interval")
    @classmethod
    def _not_below_interval(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("interval", 0):
            raise refuse("{value} is less than interval", code=Code.CONFIG_CLASH)
        return value

    @field_validator("give_up_after")
    @classmethod
    def _after_first_poll(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("first_poll", 0):
            hint = "a message would be given up before the first look"
            raise refuse("{value} is less than first_poll", hint=hint, code=Code.CONFIG_CLASH)
        return value

    @field_validator("deadline")
    @classmethod
    def _before_giving_up(cls, value: int, info: ValidationInfo) -> int:
        if value > info.data.get("give_up_after", value):
            hint = "nobody looks at a message that was given up"
            raise refuse("{value} is more than give_up_after", hint=hint, code=Code.CONFIG_CLASH)
        return value

    def policy(self) -> Policy:
        """The profile in the terms of the schedule."""
        return Policy(
            first_poll_us=self.first_poll,
            interval_us=self.interval,
            max_interval_us=self.max_interval,
            give_up_after_us=self.give_up_after,
            deadline_us=self.deadline,
            objective_ratio=self.objective,
            priority=Priority[self.priority.upper()],
        )


class Campaign(Section):
    """A campaign that needs a profile of its own, or whose ids are listed here."""

    model_config = ConfigDict(json_schema_extra=json_schema.optional("profile"))

    name: Name
    """The label `campaign` of the metrics."""
    profile: Text
    """Left out: the profile of the campaign's own name, or else `default`."""
    # Set whenever there are messages.
    account: Text | None = None
    """Whose `messages` these are. Needed only where there are several accounts."""
    messages: tuple[MessageId, ...] = Field(default=(), repr=False)
    """Ids to follow."""


class Drop(Section):
    """A directory that files with ids are dropped into."""

    model_config = ConfigDict(json_schema_extra=json_schema.optional("account"))

    directory: FilePath
    """Where files appear."""
    account: Text
    """Whose messages these are. Needed only where there are several accounts."""
    campaign: Name = "default"
    """Of files in the directory itself; a subdirectory names its campaign."""
    after: AfterReading = "move"
    """What becomes of a file that was read. `move`: to done/ or failed/. `keep`: for read-only volumes."""
    settle: Duration = Field(default=2 * SECOND_US, json_schema_extra=json_schema.default("2s"))
    """A file is complete when it hasn't changed for this long."""


class Storage(Section):
    """Where the state lives, and how long finished messages stay in it."""

    path: FilePath = Path("/var/lib/smsbat-exporter")
    """The directory of the state, on a local disk."""
    dsn_file: FilePath | None = Field(default=None, json_schema_extra=json_schema.REFUSED)
    """The file with the address of a PostgreSQL database, in place of `path`. Not in this version."""
    retention: PositiveDuration = Field(default=7 * _DAY_US, json_schema_extra=json_schema.default("7d"))
    """How long finished messages are kept. Not less than the longest of `windows`."""
    on_corrupt: CorruptPolicy = "refuse"
    """When the state is damaged. `refuse`: don't start. `fresh`: begin at zero, beside the old file."""

    @field_validator("dsn_file")
    @classmethod
    def _not_yet(cls, value: Path | None) -> Path | None:
        if value is not None:
            raise refuse("this version has the embedded store only", hint="remove dsn_file and write path")
        return value


class Limits(Section):
    """What memory and series are bounded by."""

    max_tracked: BigCount = 1_000_000
    """Messages that are waited for at the same time; files wait when there is no room."""
    max_campaigns: Count = 500
    """For each account; the rest share the campaign `_other`."""


class Webhook(Section):
    """The listener for the provider's own news."""

    listen: ListenAddress
    """The address to listen on."""
    token_file: FilePath
    """The file with what a sender must know, in one line."""
    mode: TrustMode = "verify"
    """`verify`: news only makes us ask the provider. `trust`: news counts at once."""
    track_unknown: Flag = False
    """Whether news of an unknown id makes it a message of ours; needs exactly one account."""
    campaign: Name = "webhook"
    """The campaign of such messages."""
    trusted_proxies: tuple[PeerNetwork, ...] = ()
    """Networks of proxies whose X-Forwarded-For is believed."""
    allowed_senders: tuple[PeerNetwork, ...] = ()
    """Networks that may send. Left out: any."""

    def token(self) -> SecretFile:
        """What a sender must know."""
        return SecretFile(self.token_file, "token_file of webhook")


class Intake(Section):
    """Taking ids in over HTTP."""

    token_file: FilePath
    """The file with what a client must know, in one line."""

    def token(self) -> SecretFile:
        """What a client must know."""
        return SecretFile(self.token_file, "token_file of intake")


class Exposition(Section):
    """What `/metrics` shows beyond the plain samples."""

    exemplars: Flag = False
    """Show a message id with the buckets of durations (OpenMetrics only)."""
    created: Flag = False
    """Show when each counter was born, a series more for each."""
