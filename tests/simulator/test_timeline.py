"""Timelines of messages, one by one and in the mass."""

from collections import Counter
from itertools import pairwise
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.domain.model import SECOND_US
from exporter.domain.states import Status
from exporter.simulator.scenarios import NORMAL, SCENARIOS, Effects
from exporter.simulator.timeline import NEVER_AT, Timeline, TrafficKind, draw, plan_timeline

MINUTE_US = 60 * SECOND_US
SAMPLE = 4000
EFFECTS = st.builds(Effects, st.booleans(), st.integers(1, 20), st.integers(1, 10), st.booleans())
TIMELINES = st.builds(
    plan_timeline,
    st.sampled_from(TrafficKind),
    st.builds(draw, st.integers(0, 1 << 64), st.integers(0, 1 << 40)),
    EFFECTS,
    st.just(0),
)
RANKS = {Status.SCHEDULED: 0, Status.PROCESSING: 1}


def plan_many(kind: TrafficKind, effects: Effects = NORMAL) -> list[Timeline]:
    """The timelines of many messages sent at instant 0."""
    return [plan_timeline(kind, draw(1, index), effects, 0) for index in range(SAMPLE)]


def in_time(timelines: list[Timeline], deadline_us: int) -> float:
    """The share delivered by the deadline."""
    return sum(timeline.status_at(deadline_us) is Status.DELIVERED for timeline in timelines) / len(timelines)


def delivery_seconds(timelines: list[Timeline]) -> list[float]:
    """Times to delivery of the delivered ones."""
    return [
        timeline.final_at / SECOND_US
        for timeline in timelines
        if timeline.final is Status.DELIVERED and timeline.final_at < NEVER_AT
    ]


@given(TIMELINES, st.lists(st.integers(0, 10_000 * MINUTE_US), min_size=2).map(sorted))
def test_a_status_only_moves_forward(timeline: Timeline, times: list[int]) -> None:
    """Scheduled, processing, one final status: never back, and never from one end to another."""
    statuses = [timeline.status_at(now) for now in times]
    for before, after in pairwise(statuses):
        assert before is after or RANKS.get(before, 2) < RANKS.get(after, 2)


@given(TIMELINES, st.integers(0, 10_000 * MINUTE_US))
def test_channels_tell_the_same_story_as_the_status(timeline: Timeline, now: int) -> None:
    """The channel in use has the message's status; before it stands a failed one, after it an unused one."""
    channels = dict(timeline.channels_at(now))
    if not timeline.viber_first:
        assert channels == {}
        assert timeline.fallbacks_at(now) == ()
        return
    assert timeline.fallbacks_at(now) == tuple(pair for pair in channels.items() if pair[0] != "viber")
    if channels.get("sms", "not_used") == "not_used":
        assert channels["viber"] == timeline.status_at(now).word
    else:
        assert channels == {"viber": "undeliverable", "sms": timeline.status_at(now).word}


def test_one_time_passwords_take_seconds() -> None:
    """The median is about four seconds, and at least 95 % are there within 30."""
    timelines = plan_many(TrafficKind.OTP)
    assert 3 < median(delivery_seconds(timelines)) < 5
    assert in_time(timelines, 30 * SECOND_US) > 0.95


def test_orders_take_tens_of_seconds_and_some_fall_back() -> None:
    """The median is half a minute, 95 % are there within five minutes, and a fifth came by SMS."""
    timelines = plan_many(TrafficKind.ORDER)
    assert 20 < median(delivery_seconds(timelines)) < 60
    assert in_time(timelines, 5 * MINUTE_US) > 0.95
    assert 0.15 < sum(timeline.fallback_at < NEVER_AT for timeline in timelines) / SAMPLE < 0.25


def test_campaigns_take_minutes_to_an_hour() -> None:
    """The median is about ten minutes, and 90 % are there within an hour."""
    timelines = plan_many(TrafficKind.CAMPAIGN)
    assert 6 * 60 < median(delivery_seconds(timelines)) < 14 * 60
    assert in_time(timelines, 60 * MINUTE_US) > 0.9


@pytest.mark.parametrize("kind", TrafficKind)
def test_a_few_per_cent_fail_and_a_few_in_a_thousand_hang(kind: TrafficKind) -> None:
    """One to six per cent end undelivered, in both ways; about 0.5 % never end."""
    timelines = plan_many(kind)
    ends = Counter(timeline.final for timeline in timelines if timeline.final_at < NEVER_AT)
    failed = ends[Status.UNDELIVERABLE] + ends[Status.PERMANENTERROR]
    assert 0.01 < failed / SAMPLE < 0.06
    assert ends[Status.PERMANENTERROR] > 0
    assert 0.002 < (SAMPLE - ends.total()) / SAMPLE < 0.01


@pytest.mark.parametrize("kind", TrafficKind)
def test_messages_have_one_to_three_parts(kind: TrafficKind) -> None:
    """All three occur, one part most often."""
    parts = Counter(timeline.parts for timeline in plan_many(kind))
    assert [number for number, _ in parts.most_common()] == [1, 2, 3]


def test_currencies_are_those_of_the_kind() -> None:
    """OTP is billed in UAH, orders in UAH or EUR, campaigns half in USD and half without a currency."""
    currencies = {
        kind: Counter(timeline.tariff.bill_currency for timeline in plan_many(kind)) for kind in TrafficKind
    }
    assert set(currencies[TrafficKind.OTP]) == {"UAH"}
    assert set(currencies[TrafficKind.ORDER]) == {"UAH", "EUR"}
    assert set(currencies[TrafficKind.CAMPAIGN]) == {"USD", ""}
    assert 0.45 < currencies[TrafficKind.CAMPAIGN]["USD"] / SAMPLE < 0.55


@given(TIMELINES)
def test_only_the_delivered_cost_anything(timeline: Timeline) -> None:
    """A failed message is billed with exactly nothing, a delivered one with something."""
    assert (timeline.bill_nanos > 0) == (timeline.final is Status.DELIVERED)


def test_a_viber_outage_makes_orders_miss_their_deadline() -> None:
    """In time falls from above 95 % to below 60 %; passwords sent by Viber suffer too."""
    effects = SCENARIOS["viber-outage"].effects
    assert in_time(plan_many(TrafficKind.ORDER, effects), 5 * MINUTE_US) < 0.6
    assert in_time(plan_many(TrafficKind.OTP, effects), 30 * SECOND_US) < 0.8
    assert not any(
        timeline.viber_first and not timeline.has_fallback and timeline.final is Status.DELIVERED
        for timeline in plan_many(TrafficKind.CAMPAIGN, effects)
    )


def test_slow_sms_takes_twenty_times_as_long() -> None:
    """Most passwords by SMS miss their 30 seconds."""
    timelines = plan_many(TrafficKind.OTP, SCENARIOS["slow-sms"].effects)
    slow = [timeline for timeline in timelines if not timeline.viber_first]
    assert 55 < median(delivery_seconds(slow)) < 95
    assert in_time(slow, 30 * SECOND_US) < 0.2


def test_a_cost_spike_changes_nothing_but_the_price() -> None:
    """Everything costs exactly ten times as much."""
    expensive = plan_many(TrafficKind.ORDER, SCENARIOS["cost-spike"].effects)
    for timeline, other in zip(plan_many(TrafficKind.ORDER), expensive, strict=True):
        assert other == timeline._replace(rate_nanos=10 * timeline.rate_nanos)


def test_in_the_hanging_scenario_nothing_ends() -> None:
    """All messages get to `processing` and stay there."""
    timelines = plan_many(TrafficKind.OTP, SCENARIOS["hanging"].effects)
    assert {timeline.status_at(NEVER_AT - 1) for timeline in timelines} == {Status.PROCESSING}
