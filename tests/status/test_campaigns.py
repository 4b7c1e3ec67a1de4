"""Campaigns as people see them: shares with what they are of, times, money, and the worst first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from exporter.domain.model import NANOS_PER_UNIT, SECOND_US
from exporter.domain.snapshot import HOUR_US, CampaignName, Hour, Kind, Objective, SeriesKey, Snapshot
from exporter.status.campaigns import campaigns, misses, quantile
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


def grown(campaign_id: int, kind: Kind, amount: int, label1: str = "", label2: str = "") -> Increase:
    """One series that grew by so much since the hour before."""
    return Increase(NOW - HOUR_US, {SeriesKey(campaign_id, kind, label1, label2): amount})


def together(*parts: Increase) -> Increase:
    """All of them."""
    return Increase(NOW - HOUR_US, {key: amount for part in parts for key, amount in part.amounts.items()})


def seen(snapshot: Snapshot = SNAPSHOT, *day: Increase, lately: Increase | None = None) -> list[CampaignView]:
    """The views, the worst first."""
    nothing = Increase(NOW, {})
    return campaigns(snapshot, together(*day) if day else nothing, lately or nothing, ["1h", "24h"])


def otp(snapshot: Snapshot = SNAPSHOT, *day: Increase, lately: Increase | None = None) -> CampaignView:
    """The view of one campaign."""
    return next(view for view in seen(snapshot, *day, lately=lately) if view.campaign == "otp")


def test_what_is_not_known_is_none_and_no_zero() -> None:
    """A campaign about which nothing is known yet."""
    view = otp()
    assert (view.delivered, view.in_time, view.cost, view.hours) == ((), (), {}, None)
    assert view.delivery_p50_seconds is view.delivery_p95_seconds is None
    assert view.oldest_pending_timestamp_seconds is None


def test_delivery_stands_with_what_it_is_of() -> None:
    """In the order of the windows, without those that have nothing to judge."""
    snapshot = replace(SNAPSHOT, delivery_ratios={(OTP, "24h"): 0.5}, judged={(OTP, "24h"): 12})
    assert otp(snapshot).delivered == (Share("24h", 0.5, 12),)


def test_currencies_stand_side_by_side() -> None:
    """As amounts of the day, never as a sum."""
    hryvnia = grown(OTP, Kind.COST_NANOS, 3 * NANOS_PER_UNIT // 2, "UAH")
    euro = grown(OTP, Kind.COST_NANOS, NANOS_PER_UNIT, "EUR")
    assert otp(SNAPSHOT, hryvnia, euro).cost == {"UAH": 1.5, "EUR": 1.0}


def test_pending_is_what_is_neither_ended_nor_given_up() -> None:
    """By the current statuses, whenever they came about."""
    words = {"new": 1, "scheduled": 2, "processing": 4, "other": 8, "delivered": 16, "expired": 32}
    values = {SeriesKey(OTP, Kind.MESSAGES, word): count for word, count in words.items()}
    assert otp(replace(SNAPSHOT, values=values)).pending == 15


def test_in_time_is_what_did_not_miss_of_what_was_judged() -> None:
    """Lately and in the day."""
    judged, missed = grown(OTP, Kind.SLO_MESSAGES, 200), grown(OTP, Kind.SLO_MISSED, 10)
    view = otp(SNAPSHOT, judged, missed, lately=grown(OTP, Kind.SLO_MESSAGES, 4))
    assert view.in_time == (Share("30m", 1.0, 4), Share("24h", 0.95, 200))


@pytest.mark.parametrize(
    ("messages", "missed", "bad"),
    [(0, 0, False), (3, 1, False), (4, 4, False), (40, 20, True), (300, 60, True), (2_940, 300, False)],
)
def test_an_objective_is_missed_when_it_can_not_be_chance(messages: int, missed: int, *, bad: bool) -> None:
    """At an objective of 90 %: the cases that the alert is tested with."""
    assert misses(messages, missed, 0.9) is bad


def test_those_that_miss_their_objective_come_first_then_the_busiest() -> None:
    """However quiet the one that fails is."""
    busy = grown(SALE, Kind.TRACKED, 100_000, "drop")
    assert [view.campaign for view in seen(SNAPSHOT, busy)] == ["sale", "otp"]
    failing = together(grown(OTP, Kind.SLO_MESSAGES, 20), grown(OTP, Kind.SLO_MISSED, 20))
    worst_first = seen(SNAPSHOT, busy, lately=failing)
    assert [(view.campaign, view.misses_objective) for view in worst_first] == [
        ("otp", True),
        ("sale", False),
    ]


def buckets(**counts: int) -> list[int]:
    """Counts by bucket: `b0` is the first."""
    return [counts.get(f"b{index}", 0) for index in range(BUCKETS)]


@pytest.mark.parametrize(
    ("q", "counts", "seconds"),
    [
        (0.5, buckets(), None),
        (0.5, buckets(b0=10), 0.5),
        (0.5, buckets(b0=5, b5=5), 1.0),
        (0.75, buckets(b0=5, b5=5), 22.5),
        (0.95, buckets(b6=100), 58.5),
        (0.95, buckets(b0=1, b15=99), 259_200.0),
    ],
)
def test_quantiles_are_those_of_prometheus(q: float, counts: list[int], seconds: float | None) -> None:
    """Straight lines within a bucket, and the last bound for all that is beyond it."""
    assert quantile(q, counts) == pytest.approx(seconds)


def test_times_are_of_the_deliveries_of_both_sources() -> None:
    """Polls and webhooks together."""
    polled = grown(OTP, Kind.DURATION_BUCKET, 3, "poll", "0")
    told = grown(OTP, Kind.DURATION_BUCKET, 1, "webhook", "0")
    view = otp(SNAPSHOT, polled, told)
    assert (view.deliveries, view.delivery_p50_seconds) == (4, 0.5)


def test_hours_end_with_the_one_that_runs_and_know_what_can_be_judged() -> None:
    """An hour is judged when its last message is past the deadline."""
    hours = (*[Hour(0, 0)] * 21, Hour(5, 4), Hour(7, 7), Hour(2, 0))
    snapshot = replace(SNAPSHOT, hours={OTP: hours, SALE: hours})
    by_name = {view.campaign: view.hours for view in seen(snapshot)}
    began_seconds = (NOW - HOUR_US // 2 - 23 * HOUR_US) / SECOND_US
    sent, delivered = (0,) * 21 + (5, 7, 2), (0,) * 21 + (4, 7, 0)
    assert by_name == {
        "otp": Hours(began_seconds, sent, delivered, judged=23),
        "sale": Hours(began_seconds, sent, delivered, judged=22),
    }
