"""The sections of the configuration file, as frozen models with an attribute for each key.

The attributes are called what the keys are called; those that hold a duration
are integer microseconds. These models check each value, and the values of one
section against each other. Sections are checked against each other in
`cross_checks`, on the file itself, so that one wrong value never hides another
problem.

The text below a key is for users: `make docs` prints it in the example, in the
documentation and in `schema.json`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from exporter.config.defaults import BUILT_IN_PROFILES
from exporter.config.fields import (
    AtLeastOneSecond,
    BaseUrl,
    BigCount,
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
    Rate,
    Ratio,
    Text,
    refuse,
)
from exporter.domain.model import Policy, Priority
from exporter.runtime.errors import Code
from exporter.runtime.secrets import Secret, SecretFile, SecretSource


class Section(BaseModel):
    """A mapping of the file: unknown keys are problems, and no error repeats a value."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def make_optional(*keys: str) -> ConfigDict:
    """Mark keys as optional in the JSON Schema, because `defaults.complete` fills them in."""

    def mark_optional(schema: dict[str, Any]) -> None:
        schema["required"] = [key for key in schema["required"] if key not in keys]

    return ConfigDict(json_schema_extra=mark_optional)


class Auth(Section):
    """How to authenticate to the provider."""

    # What `_check_method` and `_check_one_key` check, for editors.
    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"method": {"const": "basic"}}, "required": ["method"]},
            "then": {
                "required": ["username", "password_file"],
                "properties": {"api_key": False, "api_key_file": False},
            },
            "else": {
                "oneOf": [{"required": ["api_key"]}, {"required": ["api_key_file"]}],
                "properties": {"username": False, "password_file": False},
            },
        }
    )

    method: Literal["header", "key-as-password", "basic"] = "header"
    """`header`: the key in X-Authorization-Key. `key-as-password`: HTTP Basic with the user @ and the key as
    the password. `basic`: HTTP Basic with `username` and `password_file`."""
    api_key: Secret | None = None
    """The key itself, instead of its file; with a warning, and only if others can't read this file (mode
    0640), or if the value is exactly one environment variable."""
    api_key_file: FilePath | None = Field(default=None, validate_default=True)
    """The file with the key, on one line. Read again when it changes; may be a symbolic link."""
    username: Text | None = Field(default=None, validate_default=True)
    """The user, for the method `basic`."""
    password_file: FilePath | None = Field(default=None, validate_default=True)
    """The file with the user's password, for the method `basic`. Read like `api_key_file`."""

    @field_validator("api_key", "api_key_file", "username", "password_file")
    @classmethod
    def _check_method(cls, value: object, info: ValidationInfo) -> object:
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
    def _check_one_key(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        # A bad method or api_key is a problem of its own, and isn't in `data`.
        if info.data.get("method", "basic") == "basic" or "api_key" not in info.data:
            return value
        if value is None and info.data["api_key"] is None:
            method = info.data["method"]
            raise refuse(f"is missing; method {method} needs it", code=Code.CONFIG_MISSING)
        if value is not None and info.data["api_key"] is not None:
            hint = "keep api_key_file and remove api_key"
            raise refuse("conflicts with api_key", hint=hint, code=Code.CONFIG_CLASH)
        return value


class Account(Section):
    """One account at the provider."""

    name: Name
    """The label `account` of the metrics."""
    base_url: BaseUrl
    """The provider's address, as your account manager gives it. Only https, except for loopback addresses."""
    auth: Auth
    """How to authenticate to the provider."""
    requests_per_second: Rate = 10.0
    """As agreed with the provider. After an answer 429 the exporter slows down for a while."""
    max_in_flight: Count = 10
    """Requests at the same time."""
    timeout: PositiveDuration = Field(default="10s", validate_default=True)
    """For a whole request."""
    currency: Currency = "UAH"
    """The currency of a cost when the answer has none."""
    ca_file: FilePath | None = None
    """Certificates to trust instead of those of the system, in PEM form."""

    def secret(self) -> SecretSource:
        """The source of the API key or, with method basic, of the password; read before each use."""
        if self.auth.api_key is not None:
            return self.auth.api_key
        if self.auth.password_file is not None:
            return SecretFile(self.auth.password_file, f"password_file of account {self.name}")
        return SecretFile(self.auth.api_key_file or Path(), f"api_key_file of account {self.name}")


class Profile(Section):
    """How often to poll messages, and what "in time" means for them."""

    model_config = make_optional(*BUILT_IN_PROFILES["default"])

    first_poll: AtLeastOneSecond
    """From sending to the first poll."""
    interval: AtLeastOneSecond
    """From the first poll to the second. Then each pause is half as long again, up to `max_interval`."""
    max_interval: AtLeastOneSecond
    """The longest pause between two polls. Not less than `interval`."""
    give_up_after: AtLeastOneSecond
    """The age at which a message is no longer polled: it counts as expired."""
    deadline: AtLeastOneSecond
    """A message is in time when it is delivered by this age. Not more than `give_up_after`."""
    objective: Ratio
    """The share of messages that should be in time; alerts compare with it."""
    priority: Literal["high", "normal", "low"]
    """Which messages are polled first when there are more than the rate allows."""

    @field_validator("max_interval")
    @classmethod
    def _check_max_interval(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("interval", 0):
            raise refuse("{value} is less than interval", code=Code.CONFIG_CLASH)
        return value

    @field_validator("give_up_after")
    @classmethod
    def _check_give_up_after(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("first_poll", 0):
            hint = "a message would be given up before its first poll"
            raise refuse("{value} is less than first_poll", hint=hint, code=Code.CONFIG_CLASH)
        return value

    @field_validator("deadline")
    @classmethod
    def _check_deadline(cls, value: int, info: ValidationInfo) -> int:
        if value > info.data.get("give_up_after", value):
            hint = "a message that was given up is not polled"
            raise refuse("{value} is more than give_up_after", hint=hint, code=Code.CONFIG_CLASH)
        return value

    def policy(self) -> Policy:
        """Return the profile as a policy of the schedule."""
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
    """A campaign that needs a profile, or whose message ids are listed here."""

    model_config = make_optional("profile")

    name: Name
    """The label `campaign` of the metrics."""
    profile: Text
    """Left out: the profile of the same name, or else `default`."""
    # Set whenever there are messages.
    account: Text | None = None
    """The account of these `messages`. Needed only if there are several accounts."""
    messages: tuple[MessageId, ...] = Field(default=(), repr=False)
    """Message ids to track."""


class Drop(Section):
    """A directory for files with message ids."""

    model_config = make_optional("account")

    directory: FilePath
    """The directory to read files from."""
    account: Text
    """The account of these messages. Needed only if there are several accounts."""
    campaign: Name = "default"
    """The campaign of files in the directory itself; a subdirectory is a campaign of its own name."""
    after: Literal["move", "delete", "keep"] = "move"
    """What to do with a file that was read. `move`: to done/ or failed/. `keep`: for read-only volumes."""
    settle: Duration = Field(default="2s", validate_default=True)
    """A file is complete when it hasn't changed for this long."""


class Storage(Section):
    """Where the state is stored, and how long finished messages are kept."""

    path: FilePath = Path("/var/lib/smsbat-exporter")
    """The directory of the state, on a local disk."""
    dsn_file: FilePath | None = Field(default=None, json_schema_extra={"not": {}})
    """The file with the address of a PostgreSQL database, instead of `path`. Not in this version."""
    retention: PositiveDuration = Field(default="7d", validate_default=True)
    """How long finished messages are kept. Not less than the longest of `windows`."""
    on_corrupt: Literal["refuse", "fresh"] = "refuse"
    """When the state is damaged. `refuse`: don't start. `fresh`: start at zero and keep the old file."""

    @field_validator("dsn_file")
    @classmethod
    def _check_dsn_file(cls, value: Path | None) -> Path | None:
        if value is not None:
            raise refuse("this version has the embedded store only", hint="remove dsn_file and write path")
        return value


class Limits(Section):
    """Limits of memory and series."""

    max_tracked: BigCount = 1_000_000
    """Unfinished messages at the same time; above this, files wait."""
    max_campaigns: Count = 500
    """Per account; further campaigns are counted as `_other`."""


class Webhook(Section):
    """The listener for the provider's webhooks."""

    listen: ListenAddress
    """The address to listen on."""
    token_file: FilePath
    """The file with the token that a sender must know, on one line."""
    mode: Literal["verify", "trust"] = "verify"
    """`verify`: a webhook only triggers a poll. `trust`: a webhook counts at once."""
    track_unknown: Flag = False
    """Whether to track an unknown message id from a webhook; needs exactly one account."""
    campaign: Name = "webhook"
    """The campaign of messages that a webhook added."""
    trusted_proxies: tuple[PeerNetwork, ...] = ()
    """Networks of proxies whose X-Forwarded-For is trusted."""
    allowed_senders: tuple[PeerNetwork, ...] = ()
    """Networks that may send webhooks. Left out: any."""

    def token(self) -> SecretFile:
        """The token that a sender must know."""
        return SecretFile(self.token_file, "token_file of webhook")


class Intake(Section):
    """Accepting message ids over HTTP."""

    token_file: FilePath
    """The file with the token that a client must know, on one line."""

    def token(self) -> SecretFile:
        """The token that a client must know."""
        return SecretFile(self.token_file, "token_file of intake")


class Exposition(Section):
    """What `/metrics` shows beyond the plain samples."""

    exemplars: Flag = False
    """Show message ids with the buckets of durations (OpenMetrics only)."""
    created: Flag = False
    """Show when each counter was created; adds a series for each."""
