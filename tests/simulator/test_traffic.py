"""Live traffic: how much, of what, when."""

import asyncio
from collections import Counter

from exporter.domain.model import SECOND_US
from exporter.simulator.sent_messages import SentMessages
from exporter.simulator.traffic import (
    CAMPAIGN_KINDS,
    DAY_SECONDS,
    OTP_PER_SECOND,
    PROMOTIONS,
    Traffic,
    run_traffic,
)
from tests.simulator.rig import HandClock

HOUR_SECONDS = 3600


def run(traffic: Traffic, clock: HandClock, seconds: int) -> list[Counter[str]]:
    """What is sent in each of `seconds` ticks, counted by campaign."""
    ticks = []
    for _ in range(seconds):
        clock.passed_us += SECOND_US
        ticks.append(Counter({campaign: len(ids) for campaign, ids in traffic.tick()}))
    return ticks


def test_all_three_kinds_are_sent() -> None:
    """An hour of calm holds one-time passwords, orders and campaigns, each under its kind's name."""
    clock = HandClock()
    sent = SentMessages(1, clock)
    traffic = Traffic(sent, seed=1)
    total = sum(run(traffic, clock, HOUR_SECONDS), Counter[str]())
    assert total.total() == len(sent)
    assert total.keys() <= CAMPAIGN_KINDS.keys()
    assert {CAMPAIGN_KINDS[campaign] for campaign in total} == set(CAMPAIGN_KINDS.values())


def test_passwords_come_steadily_with_bursts() -> None:
    """No minute of an hour is without; the fullest holds several times the usual number."""
    clock = HandClock()
    ticks = run(Traffic(SentMessages(1, clock), seed=1), clock, HOUR_SECONDS)
    minutes = [sum(tick["otp"] for tick in ticks[start : start + 60]) for start in range(0, HOUR_SECONDS, 60)]
    usual = OTP_PER_SECOND * 60
    assert min(minutes) > usual / 2
    assert max(minutes) > 2 * usual


def test_orders_come_in_waves_of_a_day() -> None:
    """Three in the afternoon is many times as busy as three in the morning."""
    clock = HandClock()
    traffic = Traffic(SentMessages(1, clock), seed=1)
    clock.passed_us = 3 * HOUR_SECONDS * SECOND_US
    afternoon = sum(run(traffic, clock, 600), Counter[str]())["orders"]
    clock.passed_us += DAY_SECONDS // 2 * SECOND_US
    traffic.tick()
    night = sum(run(traffic, clock, 600), Counter[str]())["orders"]
    assert afternoon > 4 * night > 0


def test_the_campaign_scenario_sends_a_big_burst_at_once() -> None:
    """It doesn't wait for the next campaign's hour, outdoes the calm before, and is all one campaign."""
    clock = HandClock()
    sent = SentMessages(1, clock)
    traffic = Traffic(sent, seed=1)
    calm = sum(run(traffic, clock, 3000), Counter[str]())
    sent.switch_scenario("campaign")
    burst = sum(run(traffic, clock, 60), Counter[str]())
    promoted = {campaign: burst[campaign] for campaign in PROMOTIONS if burst[campaign]}
    assert list(promoted.values()) == [50_000]
    assert calm.total() < 50_000


def test_equal_seeds_send_equal_traffic() -> None:
    """A demonstration can be repeated."""
    runs = []
    for _ in range(2):
        clock = HandClock()
        runs.append(run(Traffic(SentMessages(1, clock), seed=9), clock, 300))
    assert runs[0] == runs[1]


def test_a_pause_is_not_made_up_for_in_one_flood() -> None:
    """After a suspended day there comes a minute's worth, not a day's."""
    clock = HandClock()
    traffic = Traffic(SentMessages(1, clock), seed=1)
    clock.passed_us += DAY_SECONDS * SECOND_US
    amounts = Counter({campaign: len(ids) for campaign, ids in traffic.tick()})
    assert amounts["otp"] < OTP_PER_SECOND * 60 * 6 * 1.5 + 1
    assert amounts["orders"] < 60


async def test_what_is_sent_is_passed_on_until_cancelled() -> None:
    """Each batch of ids reaches the callback with its campaign."""
    clock = HandClock()
    sent = SentMessages(1, clock)
    enough = asyncio.Event()
    passed_on: list[str] = []

    async def emit(campaign: str, ids: list[str]) -> None:
        assert {sent.campaign_of(sent.find(message_id)) for message_id in ids} == {campaign}
        passed_on.extend(ids)
        if len(passed_on) > 500:
            enough.set()
        await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        traffic = group.create_task(run_traffic(sent, emit))
        await enough.wait()
        traffic.cancel()
    assert len(passed_on) == len(set(passed_on))
