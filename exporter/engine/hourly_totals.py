"""What each campaign sent in each hour, for the status page; no counter depends on it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from exporter.domain.aggregates import Cohort, CohortKey
from exporter.domain.snapshot import HOUR_US

HOURS = 24


class Hour(NamedTuple):
    """What a campaign sent in one hour of the day (UTC)."""

    sent: int
    delivered: int
    """How many of those are delivered by now."""


_IDLE = Hour(0, 0)


class HourlyTotals:
    """Written by the event loop."""

    def __init__(self) -> None:
        self._hours: dict[int, dict[int, Hour]] = defaultdict(dict)

    def add(self, cohorts: Iterable[tuple[CohortKey, Cohort]]) -> None:
        """Add what was committed."""
        for key, change in cohorts:
            if change.sent or change.delivered:
                hours = self._hours[key.campaign_id]
                began_at = key.began_at - key.began_at % HOUR_US
                sent, delivered = hours.get(began_at, _IDLE)
                hours[began_at] = Hour(sent + change.sent, delivered + change.delivered)

    def prune(self, before: int) -> None:
        """Drop hours that ended before `before`."""
        for hours in self._hours.values():
            for began_at in [b for b in hours if b + HOUR_US < before]:
                del hours[began_at]

    def list_day(self, campaign_id: int, now: int) -> list[Hour]:
        """The last `HOURS` hours including the current one, oldest first; may be called from any thread."""
        hours = self._hours.get(campaign_id, {})
        this_hour = now - now % HOUR_US
        return [hours.get(this_hour - age * HOUR_US, _IDLE) for age in reversed(range(HOURS))]
