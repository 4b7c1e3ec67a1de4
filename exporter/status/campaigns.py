"""The campaigns of a snapshot as views, the worst first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from math import sqrt
from typing import NamedTuple

from exporter.domain.model import FINISHED, NANOS_PER_UNIT, SECOND_US, Status
from exporter.domain.snapshot import BUCKETS_US, HOUR_US, CampaignName, Kind, Objective, SeriesKey, Snapshot
from exporter.metrics.thresholds import DELIVERY_MIN_MISSED, DELIVERY_WINDOW, DELIVERY_Z
from exporter.status.counter_history import Increase
from exporter.status.model import CampaignView, Hours, Share

DAY = "24h"
_PENDING = frozenset(status.word for status in Status if status not in FINISHED)
_COUNTED = frozenset(
    {
        Kind.TRACKED,
        Kind.FINISHED,
        Kind.SLO_MESSAGES,
        Kind.SLO_MISSED,
        Kind.DURATION_BUCKET,
        Kind.COST_NANOS,
    }
)


class _Labelled(NamedTuple):
    """One series without its campaign."""

    kind: Kind
    label1: str
    label2: str
    amount: int


def view_campaigns(
    snapshot: Snapshot, day: Increase, recent: Increase, windows: Iterable[str]
) -> list[CampaignView]:
    """All campaigns; `recent` covers the window of the delivery alert, `windows` are those of ratios."""
    day_increases = _group_by_campaign(day.amounts)
    pending: dict[int, int] = defaultdict(int)
    for key, value in snapshot.values.items():
        if key.kind is Kind.MESSAGES and key.label1 in _PENDING:
            pending[key.campaign_id] += value
    shares = _Shares(snapshot, recent.amounts, tuple(windows))
    views = [
        _view_campaign(
            snapshot, campaign_id, name, day_increases.get(campaign_id, []), pending[campaign_id], shares
        )
        for campaign_id, name in snapshot.campaigns.items()
    ]
    return sorted(views, key=_sort_key)


def _sort_key(view: CampaignView) -> tuple[bool, int, str, str]:
    return not view.misses_objective, -view.tracked - view.pending, view.account, view.campaign


def _group_by_campaign(amounts: Mapping[SeriesKey, int]) -> dict[int, list[_Labelled]]:
    """The increases of the shown kinds, by campaign."""
    increases: dict[int, list[_Labelled]] = defaultdict(list)
    for (campaign_id, kind, label1, label2), amount in amounts.items():
        if amount and kind in _COUNTED:
            increases[campaign_id].append(_Labelled(kind, label1, label2, amount))
    return increases


class _Shares(NamedTuple):
    """The sources of a campaign's shares."""

    snapshot: Snapshot
    recent: Mapping[SeriesKey, int]
    windows: tuple[str, ...]

    def list_delivered(self, campaign_id: int) -> tuple[Share, ...]:
        """The delivery ratios by window, as in `/metrics`."""
        ratios, judged = self.snapshot.delivery_ratios, self.snapshot.judged
        places = ((campaign_id, window) for window in self.windows)
        return tuple(Share(place[1], ratios[place], judged[place]) for place in places if place in ratios)

    def count_judged(self, campaign_id: int) -> tuple[int, int]:
        """Messages judged recently, and those of them that missed."""
        messages = self.recent.get(SeriesKey(campaign_id, Kind.SLO_MESSAGES), 0)
        return messages, self.recent.get(SeriesKey(campaign_id, Kind.SLO_MISSED), 0)


def _view_campaign(  # noqa: PLR0913, PLR0917 - the data of one campaign, from five sources
    snapshot: Snapshot,
    campaign_id: int,
    name: CampaignName,
    increases: list[_Labelled],
    pending: int,
    shares: _Shares,
) -> CampaignView:
    objective = snapshot.objectives[name.campaign]
    sums: dict[Kind, int] = defaultdict(int)
    by_label: dict[Kind, dict[str, int]] = defaultdict(dict)
    buckets = [0] * (len(BUCKETS_US) + 1)
    for kind, label1, label2, amount in increases:
        sums[kind] += amount
        if kind is Kind.DURATION_BUCKET:
            buckets[int(label2)] += amount
        else:
            by_label[kind][label1] = amount
    recent, missed_recently = shares.count_judged(campaign_id)
    oldest_at = snapshot.oldest_pending_at.get(campaign_id)
    return CampaignView(
        account=name.account,
        campaign=name.campaign,
        misses_objective=misses_objective(recent, missed_recently, objective.objective_ratio),
        deadline_seconds=objective.deadline_us / SECOND_US,
        objective_ratio=objective.objective_ratio,
        delivered=shares.list_delivered(campaign_id),
        in_time=(
            *_share_in_time(DELIVERY_WINDOW, recent, missed_recently),
            *_share_in_time(DAY, sums[Kind.SLO_MESSAGES], sums[Kind.SLO_MISSED]),
        ),
        delivery_p50_seconds=estimate_quantile(0.5, buckets),
        delivery_p95_seconds=estimate_quantile(0.95, buckets),
        deliveries=sums[Kind.DURATION_BUCKET],
        cost={currency: nanos / NANOS_PER_UNIT for currency, nanos in by_label[Kind.COST_NANOS].items()},
        tracked=sums[Kind.TRACKED],
        finished=by_label[Kind.FINISHED],
        pending=pending,
        oldest_pending_timestamp_seconds=None if oldest_at is None else oldest_at / SECOND_US,
        hours=_view_hours(snapshot, campaign_id, objective),
    )


def _share_in_time(window: str, messages: int, missed: int) -> Iterator[Share]:
    if messages:
        yield Share(window, (messages - missed) / messages, messages)


def _view_hours(snapshot: Snapshot, campaign_id: int, objective: Objective) -> Hours | None:
    hours = snapshot.hours.get(campaign_id, ())
    sent = tuple([hour.sent for hour in hours])
    if not any(sent):
        return None
    began_at = snapshot.taken_at - snapshot.taken_at % HOUR_US - (len(hours) - 1) * HOUR_US
    judged = max(0, snapshot.taken_at - objective.deadline_us - began_at) // HOUR_US
    delivered = tuple([hour.delivered for hour in hours])
    return Hours(began_at / SECOND_US, sent, delivered, min(judged, len(hours)))


def misses_objective(messages: int, missed: int, objective_ratio: float) -> bool:
    """Whether so many missed deadlines can't be chance: the rule of the alert SmsbatDeliveryRateLow.

    Even the lower end of Wilson's interval for their share is more than the objective allows.
    """
    if missed < DELIVERY_MIN_MISSED.value:
        return False
    z2, share = DELIVERY_Z.value**2, missed / messages
    spread = DELIVERY_Z.value * sqrt(share * (1 - share) / messages + z2 / (4 * messages**2))
    return (share + z2 / (2 * messages) - spread) / (1 + z2 / messages) > 1 - objective_ratio


def estimate_quantile(q: float, buckets: list[int]) -> float | None:
    """Seconds, from counts by bucket, as PromQL's `histogram_quantile` does; None without any."""
    total = sum(buckets)
    if not total:
        return None
    rank = q * total
    index = next(i for i, cumulated in enumerate(accumulate(buckets)) if cumulated >= rank)
    if index == len(BUCKETS_US):
        # Slower than the last bound, by an unknown time.
        return BUCKETS_US[-1] / SECOND_US
    lower_us = BUCKETS_US[index - 1] if index else 0
    within = (rank - sum(buckets[:index])) / buckets[index]
    return (lower_us + within * (BUCKETS_US[index] - lower_us)) / SECOND_US
