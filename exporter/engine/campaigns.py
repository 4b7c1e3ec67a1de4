"""The campaigns: their ids in the store, their policies, and how many there may be."""

from __future__ import annotations

from exporter.config import Settings
from exporter.domain.label_values import OVERFLOW_NAME, reject_label_value
from exporter.domain.model import Policy
from exporter.domain.snapshot import CampaignName


class Campaigns:
    """Campaigns by name and id; `policies` may be read from any thread, since it is only ever replaced."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ids: dict[CampaignName, int] = {}
        self._count: dict[str, int] = {}
        self.policies: dict[int, Policy] = {}
        """By campaign id."""

    def configure(self, settings: Settings) -> None:
        """Apply new profiles and limits."""
        self._settings = settings
        self.policies = {
            campaign_id: settings.policy_for(name.campaign) for name, campaign_id in self._ids.items()
        }

    def register(self, name: CampaignName, campaign_id: int) -> None:
        """Add a campaign of the store."""
        self._ids[name] = campaign_id
        self._count[name.account] = self._count.get(name.account, 0) + 1
        self.policies = {**self.policies, campaign_id: self._settings.policy_for(name.campaign)}

    def find_id(self, name: CampaignName) -> int | None:
        """The id of a campaign, or None when it is unknown."""
        return self._ids.get(name)

    def bound_name(self, name: CampaignName) -> CampaignName:
        """The name that a new campaign gets: its own, or `_other` when that is not possible."""
        room = self._count.get(name.account, 0) < self._settings.limits.max_campaigns
        allowed = room and not reject_label_value(name.campaign)
        return name if allowed else name._replace(campaign=OVERFLOW_NAME)
