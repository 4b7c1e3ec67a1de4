"""The views of campaigns: shares with their counts, times, costs, and the worst first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from exporter.domain.model import NANOS_PER_UNIT, SECOND_US
from exporter.domain.snapshot import HOUR_US, CampaignName, Hour, Kind, Objective, SeriesKey, Snapshot
from exporter.status.campaigns import estimate_quantile, misses_objective, view_campaigns
from exporter.status.counter_history import Increase
from exporter.status.model import CampaignView, Hours, Share

NOW = 500_000 * HOUR_US + HOUR_US // 2
OTP, SALE = 1, 2
BUCKETS = 16

SNAPSHOT = Snapshot(
    1,
    0,
    campaigns={OTP: CampaignName("main", "otp"), SALE: CampaignName("main", "sale")},
    objectives={
        "otp": Objective(30 * SECOND_US, 0.95),
        "sale": Objective(HOUR_US, 0.9),
    },
    taken_at=NOW,
)


def make_increase(campaign_id: int, kind: Kind, amount: int, label1: str = "", label2: str = "") -> Increase:
    """The increase of one series over the last hour."""
    return Increase(NOW - HOUR_US, {SeriesKey(campaign_id, kind, label1, label2): amount})


def merge(*parts: Increase) -> Increase:
    """All increases in one."""
    return Increase(NOW - HOUR_US, {key: amount for part in parts for key, amount in part.amounts.items()})


def view_all(
    snapshot: Snapshot = SNAPSHOT, *day: Increase, recent: Increase | None = None
) -> list[CampaignView]:
    """The views of all campaigns, the worst first."""
    nothing = Increase(NOW, {})
    return view_campaigns(snapshot, merge(*day) if day else nothing, recent or nothing, ["1h", "24h"])


def view_otp(snapshot: Snapshot = SNAPSHOT, *day: Increase, recent: Increase | None = None) -> CampaignView:
    """The view of the campaign `otp`."""
    return next(view for view in view_all(snapshot, *day, recent=recent) if view.campaign == "otp")


def test_an_unknown_value_is_none_and_not_zero() -> None:
    """For a campaign without any data yet."""
    view = view_otp()
    assert (view.delivered, view.in_time, view.cost, view.hours) == ((), (), {}, None)
    assert view.delivery_p50_seconds is view.delivery_p95_seconds is None
    assert view.oldest_pending_timestamp_seconds is None


def test_a_delivery_ratio_has_the_count_of_its_messages() -> None:
    """In the order of the windows, without windows that have no messages to judge."""
    snapshot = replace(SNAPSHOT, delivery_ratios={(OTP, "24h"): 0.5}, judged={(OTP, "24h"): 12})
    assert view_otp(snapshot).delivered == (Share("24h", 0.5, 12),)


def test_currencies_are_not_added_up() -> None:
    """Each has its own amount of the day."""
    hryvnia = make_increase(OTP, Kind.COST_NANOS, 3 * NANOS_PER_UNIT // 2, "UAH")
    euro = make_increase(OTP, Kind.COST_NANOS, NANOS_PER_UNIT, "EUR")
    assert view_otp(SNAPSHOT, hryvnia, euro).cost == {"UAH": 1.5, "EUR": 1.0}


def test_pending_are_the_messages_without_a_final_status() -> None:
    """By their current status."""
    counts = {"new": 1, "scheduled": 2, "processing": 4, "other": 8, "delivered": 16, "expired": 32}
    values = {SeriesKey(OTP, Kind.MESSAGES, word): count for word, count in counts.items()}
    assert view_otp(replace(SNAPSHOT, values=values)).pending == 15


def test_in_time_is_the_share_of_judged_messages_that_did_not_miss() -> None:
    """In the last 30 minutes and in the day."""
    judged, missed = make_increase(OTP, Kind.SLO_MESSAGES, 200), make_increase(OTP, Kind.SLO_MISSED, 10)
    view = view_otp(SNAPSHOT, judged, missed, recent=make_increase(OTP, Kind.SLO_MESSAGES, 4))
    assert view.in_time == (Share("30m", 1.0, 4), Share("24h", 0.95, 200))


@pytest.mark.parametrize(
    ("messages", "missed", "bad"),
    [(0, 0, False), (3, 1, False), (4, 4, False), (40, 20, True), (300, 60, True), (2_940, 300, False)],
)
def test_an_objective_is_missed_when_chance_can_not_explain_it(
    messages: int, missed: int, *, bad: bool
) -> None:
    """With an objective of 90 %: the same cases as in the test of the alert."""
    assert misses_objective(messages, missed, 0.9) is bad


def test_campaigns_that_miss_their_objective_come_first_then_the_busiest() -> None:
    """Even when the failing one has little traffic."""
    busy = make_increase(SALE, Kind.TRACKED, 100_000, "drop")
    assert [view.campaign for view in view_all(SNAPSHOT, busy)] == ["sale", "otp"]
    failing = merge(make_increase(OTP, Kind.SLO_MESSAGES, 20), make_increase(OTP, Kind.SLO_MISSED, 20))
    worst_first = view_all(SNAPSHOT, busy, recent=failing)
    assert [(view.campaign, view.misses_objective) for view in worst_first] == [
        ("otp", True),
        ("sale", False),
    ]


def fill_buckets(**counts: int) -> list[int]:
    """Counts by bucket: `b0` is the first."""
    return [counts.get(f"b{index}", 0) for index in range(BUCKETS)]


@pytest.mark.parametrize(
    ("q", "counts", "seconds"),
    [
        (0.5, fill_buckets(), None),
        (0.5, fill_buckets(b0=10), 0.5),
        (0.5, fill_buckets(b0=5, b5=5), 1.0),
        (0.75, fill_buckets(b0=5, b5=5), 22.5),
        (0.95, fill_buckets(b6=100), 58.5),
        (0.95, fill_buckets(b0=1, b15=99), 259_200.0),
    ],
)
def test_quantiles_are_those_of_prometheus(q: float, counts: list[int], seconds: float | None) -> None:
    """Linear within a bucket, and the last bound for everything beyond it."""
    assert estimate_quantile(q, counts) == pytest.approx(seconds)


def test_times_are_of_the_deliveries_of_both_sources() -> None:
    """Polls and webhooks together."""
    polled = make_increase(OTP, Kind.DURATION_BUCKET, 3, "poll", "0")
    claimed = make_increase(OTP, Kind.DURATION_BUCKET, 1, "webhook", "0")
    view = view_otp(SNAPSHOT, polled, claimed)
    assert (view.deliveries, view.delivery_p50_seconds) == (4, 0.5)


def test_hours_end_with_the_current_one_and_count_those_that_can_be_judged() -> None:
    """An hour is judged when its last message is past the deadline."""
    hours = (*[Hour(0, 0)] * 21, Hour(5, 4), Hour(7, 7), Hour(2, 0))
    snapshot = replace(SNAPSHOT, hours={OTP: hours, SALE: hours})
    by_name = {view.campaign: view.hours for view in view_all(snapshot)}
    began_seconds = (NOW - HOUR_US // 2 - 23 * HOUR_US) / SECOND_US
    sent, delivered = (0,) * 21 + (5, 7, 2), (0,) * 21 + (4, 7, 0)
    assert by_name == {
        "otp": Hours(began_seconds, sent, delivered, judged=23),
        "sale": Hours(began_seconds, sent, delivered, judged=22),
    }
