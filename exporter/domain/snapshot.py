"""What the store has committed, as `/metrics` shows it: series and their values.

A series is identified by its campaign, its kind and up to two label values; the
store keeps the same four columns and one integer. Kinds with a `_us` or
`_nanos` unit are divided only when they are printed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from exporter.domain.model import SECOND_US

HOUR_US = 3_600 * SECOND_US
HOURS = 24
BUCKETS_US = tuple(
    int(seconds * SECOND_US)
    for seconds in (1, 2.5, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 14400, 86400, 259200)
)
"""Upper bounds of the histogram of delivery times; the last bucket, +Inf, isn't listed."""


class Kind(IntEnum):
    """What a series counts; the numbers are stored, so they never change."""

    MESSAGES = 1  # first label: status; the only kind that can fall
    TRACKED = 2  # first label: source
    FINISHED = 3  # first label: status
    LATE = 4  # first label: status
    SLO_MESSAGES = 5
    SLO_MISSED = 6
    SLO_UNOBSERVED = 7
    COST_NANOS = 8  # first label: currency
    PARTS = 9
    FALLBACKS = 10  # labels: type, status
    CHANNELS = 11  # labels: channel, status
    DURATION_BUCKET = 12  # labels: via, index into BUCKETS_US (not cumulated; len(BUCKETS_US) is +Inf)
    DURATION_SUM_US = 13  # first label: via
    FIRST_KNOWLEDGE = 14  # first label: via; exposed summed over an account's campaigns


class SeriesKey(NamedTuple):
    """The identity of one stored series."""

    campaign_id: int
    kind: Kind
    label1: str = ""
    label2: str = ""


class CampaignName(NamedTuple):
    """The names that belong to a campaign id."""

    account: str
    campaign: str


class Objective(NamedTuple):
    """The deadline of a campaign's profile, and the share of messages that should meet it."""

    deadline_us: int
    objective_ratio: float


class Exemplar(NamedTuple):
    """The latest message that counted in a bucket of durations."""

    message_id: str
    duration_us: int
    at: int
    """When its final status was known."""


class Hour(NamedTuple):
    """What a campaign sent in one hour of the day (UTC)."""

    sent: int
    delivered: int
    """How many of those are delivered by now."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All state that `/metrics` exposes, as of one commit; never changed once made."""

    commit: int
    """Grows with each commit; equal numbers mean equal content."""
    created_at: int
    """When the counters began."""
    campaigns: Mapping[int, CampaignName] = field(default_factory=dict)
    values: Mapping[SeriesKey, int] = field(default_factory=dict)
    objectives: Mapping[str, Objective] = field(default_factory=dict)
    """By campaign name."""
    delivery_ratios: Mapping[tuple[int, str], float] = field(default_factory=dict)
    """By campaign id and window (as configured, `5m`); absent where there is nothing to judge."""
    fallback_ratios: Mapping[tuple[int, str], float] = field(default_factory=dict)
    oldest_pending_at: Mapping[int, int] = field(default_factory=dict)
    """By campaign id; absent where nothing is pending."""
    exemplars: Mapping[SeriesKey, Exemplar] = field(default_factory=dict)
    """By bucket of durations; only for deliveries that this process has seen."""
    taken_at: int = 0
    judged: Mapping[tuple[int, str], int] = field(default_factory=dict)
    """How many messages each of `delivery_ratios` is computed from."""
    hours: Mapping[int, tuple[Hour, ...]] = field(default_factory=dict)
    """By campaign id: the last `HOURS` hours including the current one, oldest first."""
