"""The configuration file as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Self

from pydantic import Field, PrivateAttr, ValidationInfo, field_validator, model_validator

from exporter.config.defaults import complete
from exporter.config.fields import Name, RatioWindow, refuse
from exporter.config.models import (
    Account,
    Campaign,
    Drop,
    Exposition,
    Intake,
    Limits,
    Profile,
    Section,
    Storage,
    Webhook,
    make_optional,
)
from exporter.config.problem import Problem
from exporter.config.units import Window
from exporter.domain.model import NewMessage, Policy
from exporter.runtime.errors import Code


class Settings(Section):
    """The whole file, checked and completed."""

    model_config = make_optional("profiles")

    accounts: tuple[Account, ...] = Field(min_length=1)
    """Accounts at the provider."""
    # The built-in and the written ones, complete.
    profiles: Mapping[Name, Profile]
    """How often to poll messages, and what "in time" means for them. `otp`, `default` and `campaign` are
    built in; the keys that you write replace theirs. A new profile starts from `default`."""
    campaigns: tuple[Campaign, ...] = ()
    """Only campaigns that need a profile, or whose message ids are written here; others are created by their
    first message. A campaign that is not listed has the profile of the same name, or else `default`."""
    drop: tuple[Drop, ...] = ()
    """Directories for files with message ids."""
    storage: Storage = Field(default_factory=Storage)
    """Where the state is stored, and how long finished messages are kept."""
    windows: tuple[RatioWindow, ...] = Field(
        default=("5m", "1h", "24h"),
        validate_default=True,
        min_length=1,
        max_length=10,
        json_schema_extra={"uniqueItems": True},
    )
    """Time windows of the ratio gauges. Each adds series for every campaign."""
    limits: Limits = Field(default_factory=Limits)
    """Limits of memory and series."""
    webhook: Webhook | None = None
    """The listener for the provider's webhooks. Left out: none."""
    intake: Intake | None = None
    """Accepting message ids over HTTP. Left out: they are not accepted."""
    exposition: Exposition = Field(default_factory=Exposition)
    """What `/metrics` shows beyond the plain samples."""

    _warnings: tuple[Problem, ...] = PrivateAttr(default=())

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, tree: Any) -> Any:  # noqa: ANN401 - pydantic hands over whatever there is
        return complete(tree) if isinstance(tree, dict) else tree

    @field_validator("windows")
    @classmethod
    def _check_windows(cls, value: tuple[Window, ...], info: ValidationInfo) -> tuple[Window, ...]:
        if len({window.duration_us for window in value}) < len(value):
            raise refuse("lists the same window twice", code=Code.CONFIG_TWICE)
        storage = info.data.get("storage")
        if storage is not None and max(window.duration_us for window in value) > storage.retention:
            hint = "older messages are deleted"
            raise refuse("has a window longer than storage.retention", hint=hint, code=Code.CONFIG_CLASH)
        return value

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What works but should be fixed; two files that say the same are equal in spite of it."""
        return self._warnings

    def set_warnings(self, warnings: tuple[Problem, ...]) -> Self:
        """Set `warnings`, and return these settings."""
        self._warnings = warnings
        return self

    @cached_property
    def policies(self) -> Mapping[str, Policy]:
        """The policy of each profile, and of each listed campaign, by name; the campaign wins."""
        of_profiles = {name: profile.policy() for name, profile in self.profiles.items()}
        of_campaigns = {campaign.name: of_profiles[campaign.profile] for campaign in self.campaigns}
        return of_profiles | of_campaigns

    def policy_for(self, campaign: str) -> Policy:
        """Find a campaign's policy: its listed profile, else the profile of the same name, else `default`."""
        return self.policies.get(campaign) or self.policies["default"]

    def list_messages(self) -> Iterator[NewMessage]:
        """List the message ids that are written in the file itself."""
        for campaign in self.campaigns:
            for message_id in campaign.messages:
                yield NewMessage(message_id, campaign.name, campaign.account or "")
