"""The provider can't be reached, fails or hangs: nothing is lost, and only probes go out until it is back."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from exporter.domain.model import Outcome, Reply
from exporter.domain.snapshot import Kind
from tests.engine.provider import (
    HANGING,
    Provider,
    answer_delivered,
    answer_under_way,
    answer_with,
    count_most_within,
    find_closest_seconds,
    find_widest_gap_seconds,
    refuse_connection,
)
from tests.engine.rig import start_rig
from tests.engine.settings import make_settings
from tests.kit.virtual import VIRTUAL

pytestmark = VIRTUAL

MINUTES = 60
HOURS = 3_600
OTP = make_settings(campaigns={"otp": "otp"})


@pytest.mark.parametrize("messages", [200, 1], ids=["200 messages", "one message"])
async def test_ten_minutes_of_refused_connections_expire_nothing_and_cost_a_probe_each_30_s(
    tmp_path: Path, messages: int
) -> None:
    """Passwords are given up after 2 minutes, but not in an outage: all are pending after it, and counted."""
    provider = Provider(refuse_connection)
    async with start_rig(tmp_path, provider, OTP) as rig:
        await rig.send(messages, "otp")
        await rig.pass_time(2 * MINUTES)
        assert rig.read_gauge("smsbat_circuit_open") == 1
        assert rig.read_gauge("smsbat_api_up") == 0
        await rig.pass_time(8 * MINUTES)
        assert count_most_within(provider.list_since(1 * MINUTES), 29.9) == 1
        assert find_widest_gap_seconds(provider.list_since(1 * MINUTES)) < 40
        assert (rig.count_finished(), rig.pending) == (0, messages)
        assert rig.api_requests == {"connect": len(provider.requests)}
        provider.answer = answer_delivered
        await rig.wait_until(lambda: rig.pending == 0, 30 + 10 + messages / 10)
        assert rig.count_finished("delivered") == rig.count_finished() == messages
        assert rig.read_gauge("smsbat_api_up") == 1
        await rig.pass_time(1)
        assert rig.read_gauge("smsbat_circuit_open") == 0
        assert find_closest_seconds(provider.requests) >= 1


async def test_the_rate_is_back_as_soon_as_a_probe_is_answered(tmp_path: Path) -> None:
    """No poll waits for the next probe once one is answered, even if that finishes its message."""
    provider = Provider(refuse_connection)
    async with start_rig(tmp_path, provider) as rig:
        await rig.send(50)
        await rig.pass_time(5 * MINUTES)
        provider.answer = answer_delivered
        await rig.wait_until(lambda: rig.count_finished() == 1, 31)
        await rig.pass_time(6)
        assert rig.count_finished() == 50


async def test_a_failing_message_alone_opens_no_circuit_if_it_may_be_its_own_fault(tmp_path: Path) -> None:
    """A 500 can be about one message: it is polled at growing intervals, and the circuit stays closed."""
    provider = Provider(answer_with(Outcome.SERVER_ERROR))
    async with start_rig(tmp_path, provider) as rig:
        await rig.send(1)
        await rig.pass_time(10 * MINUTES)
        assert rig.read_gauge("smsbat_circuit_open") == 0
        assert len(provider.requests) >= 6
        assert rig.pending == 1


async def test_each_30_s_of_an_outage_another_message_is_the_probe(tmp_path: Path) -> None:
    """One message that the provider never answers about does not hide that it is back."""
    provider = Provider(refuse_connection)
    async with start_rig(tmp_path, provider) as rig:
        await rig.send(30)
        await rig.pass_time(10 * MINUTES)
        probes = provider.list_since(1 * MINUTES)
        assert len({probe.message_id for probe in probes}) >= len(probes) * 0.8


async def test_a_hanging_provider_takes_nothing_from_another_account(tmp_path: Path) -> None:
    """While each request of one account takes its 10 s, the other has its full rate."""
    hanging, healthy = Provider(lambda _: HANGING), Provider(answer_under_way)
    settings = make_settings("hanging", "healthy")
    async with start_rig(tmp_path, {"hanging": hanging, "healthy": healthy}, settings) as rig:
        await rig.send(500, account="hanging")
        await rig.send(2_000, account="healthy")
        await rig.pass_time(100)
        full_rate = 10 * (100 - 5)
        assert len(healthy.requests) == pytest.approx(full_rate, abs=2)
        assert hanging.in_flight <= 10
        assert len(hanging.requests) >= 10
        assert (
            rig.instruments.registry.get_sample_value(
                "smsbat_api_requests_total", {"account": "hanging", "outcome": "timeout"}
            )
            == len(hanging.requests) - hanging.in_flight
        )


async def test_an_hour_of_every_second_answer_a_500_loses_nothing(tmp_path: Path) -> None:
    """All messages finish; those that got a 500 were polled again."""
    chance = random.Random(1)
    provider = Provider(lambda _: answer_or_fail(chance))
    async with start_rig(tmp_path, provider, make_settings(rate=5)) as rig:
        for batch in range(60):
            await rig.send(10, prefix=f"b{batch}")
            await rig.pass_time(60)
        provider.answer = answer_delivered
        await rig.wait_until(lambda: rig.pending == 0, 40 * MINUTES)
        assert rig.count_finished("delivered") == rig.count_finished() == rig.sum_series(Kind.TRACKED) == 600
        assert find_closest_seconds(provider.requests) >= 1


async def test_a_provider_that_fails_half_the_time_is_polled_at_the_full_rate(tmp_path: Path) -> None:
    """It works: no request is held back, and half of the polls bring a status."""
    chance = random.Random(1)
    provider = Provider(lambda _: answer_or_fail(chance))
    async with start_rig(tmp_path, provider, make_settings(rate=10)) as rig:
        await rig.send(5_000, age_seconds=5)
        await rig.pass_time(200)
        assert len(provider.requests) == pytest.approx(2_000, abs=20)
        assert rig.count_finished("delivered") == pytest.approx(1_000, abs=100)


def answer_or_fail(chance: random.Random) -> Reply:
    """Answer a 500 every second time, else `delivered`."""
    return Reply(Outcome.SERVER_ERROR) if chance.random() < 0.5 else answer_delivered("")


async def test_an_outage_does_not_eat_the_time_that_a_message_has(tmp_path: Path) -> None:
    """A password that was a minute under way when the provider went away has its second minute after it."""
    provider = Provider(answer_under_way)
    async with start_rig(tmp_path, provider, OTP) as rig:
        await rig.send(20, "otp")
        await rig.pass_time(60)
        provider.answer = refuse_connection
        await rig.pass_time(20 * MINUTES)
        assert rig.count_finished() == 0
        provider.answer = answer_under_way
        await rig.wait_until(lambda: rig.read_gauge("smsbat_api_up") == 1, 31)
        await rig.pass_time(50)
        assert rig.count_finished() == 0
        await rig.pass_time(20)
        assert rig.count_finished("expired") == rig.count_finished() == 20


@pytest.mark.parametrize(("hours", "expired"), [(71, 0), (73, 5)])
async def test_no_outage_keeps_a_message_for_ever(tmp_path: Path, hours: int, expired: int) -> None:
    """72 hours longer than the profile says, whatever the provider uptime is: then it is given up, once."""
    provider = Provider(refuse_connection)
    async with start_rig(tmp_path, provider, OTP) as rig:
        await rig.send(5, "otp")
        await rig.pass_time(2 * MINUTES)
        await rig.crash()
        # Seconds of a running daemon cost real time; those of a stopped one are free.
        await asyncio.sleep(hours * HOURS)
        await rig.start()
        await rig.pass_time(1 * MINUTES)
        assert rig.count_finished("expired") == rig.count_finished() == expired
        assert rig.pending == 5 - expired
        assert rig.sum_series(Kind.SLO_UNOBSERVED) == 5
