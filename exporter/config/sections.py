"""The sections of the configuration file, as frozen models with an attribute for each key.

The attributes are called what the keys are called; those that hold a duration
are integer microseconds. These models check each value, and the values of one
section against each other. What one section says about another is checked in
`references`, on the file itself, so that one wrong value never hides another
problem.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from exporter.config.complete import BUILT_IN_PROFILES
from exporter.config.fields import (
    AfterReading,
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
    Pause,
    PeerNetwork,
    PositiveDuration,
    PriorityName,
    Rate,
    Ratio,
    Text,
    TrustMode,
    refuse,
)
from exporter.errors import Code
from exporter.model import SECOND_US, Policy, Priority
from exporter.secret import Secret, SecretFile, SecretSource

_DAY_US = 86_400 * SECOND_US


def _written(default: str) -> dict[str, Any]:
    """Let the JSON schema show a default as it would be written."""
    return {"default": default}


def optional_in_file(*keys: str) -> Callable[[dict[str, Any]], None]:
    """Let the JSON schema know which keys `completed` fills in."""

    def change(schema: dict[str, Any]) -> None:
        schema["required"] = [key for key in schema["required"] if key not in keys]

    return change


class Section(BaseModel):
    """A mapping of the file: unknown keys are problems, and no error repeats a value."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Auth(Section):
    """How to show the provider who asks."""

    method: AuthMethod = "header"
    api_key: Secret | None = None
    api_key_file: FilePath | None = Field(default=None, validate_default=True)
    username: Text | None = Field(default=None, validate_default=True)
    password_file: FilePath | None = Field(default=None, validate_default=True)

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
    base_url: BaseUrl
    auth: Auth
    requests_per_second: Rate = 10.0
    max_in_flight: Count = 10
    timeout: PositiveDuration = Field(default=10 * SECOND_US, json_schema_extra=_written("10s"))
    currency: Currency = "UAH"
    ca_file: FilePath | None = None

    def secret(self) -> SecretSource:
        """Where the API key, or with method basic the password, is read from before each use."""
        if self.auth.api_key is not None:
            return self.auth.api_key
        if self.auth.password_file is not None:
            return SecretFile(self.auth.password_file, f"password_file of account {self.name}")
        return SecretFile(self.auth.api_key_file or Path(), f"api_key_file of account {self.name}")


class Profile(Section):
    """How eagerly to look at messages, and what "in time" means for them."""

    model_config = ConfigDict(json_schema_extra=optional_in_file(*BUILT_IN_PROFILES["default"]))

    first_poll: Pause
    interval: Pause
    max_interval: Pause
    give_up_after: Pause
    deadline: Pause
    objective: Ratio
    priority: PriorityName

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

    model_config = ConfigDict(json_schema_extra=optional_in_file("profile"))

    name: Name
    profile: Text
    account: Text | None = None
    """Set whenever there are messages."""
    messages: tuple[MessageId, ...] = Field(default=(), repr=False)


class Drop(Section):
    """A directory that files with ids are dropped into."""

    model_config = ConfigDict(json_schema_extra=optional_in_file("account"))

    directory: FilePath
    account: Text
    campaign: Name = "default"
    after: AfterReading = "move"
    settle: Duration = Field(default=2 * SECOND_US, json_schema_extra=_written("2s"))


class Storage(Section):
    """Where the state lives, and how long finished messages stay in it."""

    path: FilePath = Path("/var/lib/smsbat-exporter")
    dsn_file: FilePath | None = None
    retention: PositiveDuration = Field(default=7 * _DAY_US, json_schema_extra=_written("7d"))
    on_corrupt: CorruptPolicy = "refuse"

    @field_validator("dsn_file")
    @classmethod
    def _not_yet(cls, value: Path | None) -> Path | None:
        if value is not None:
            raise refuse("this version has the embedded store only", hint="remove dsn_file and write path")
        return value


class Limits(Section):
    """What memory and series are bounded by."""

    max_tracked: BigCount = 1_000_000
    max_campaigns: Count = 500


class Webhook(Section):
    """The listener for the provider's own news."""

    listen: ListenAddress
    token_file: FilePath
    mode: TrustMode = "verify"
    track_unknown: Flag = False
    campaign: Name = "webhook"
    trusted_proxies: tuple[PeerNetwork, ...] = ()
    allowed_senders: tuple[PeerNetwork, ...] = ()

    def token(self) -> SecretFile:
        """What a sender must know."""
        return SecretFile(self.token_file, "token_file of webhook")


class Intake(Section):
    """Taking ids in over HTTP."""

    token_file: FilePath

    def token(self) -> SecretFile:
        """What a client must know."""
        return SecretFile(self.token_file, "token_file of intake")


class Exposition(Section):
    """What `/metrics` shows beyond the plain samples."""

    exemplars: Flag = False
    created: Flag = False
