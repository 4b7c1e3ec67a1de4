"""The process is killed at any moment: limits and counters survive."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from exporter.domain.model import SECOND_US, Outcome, Reply, Status
from exporter.domain.snapshot import Kind
from tests.engine.provider import (
    Provider,
    answer_delivered,
    answer_under_way,
    answer_with,
    count_most_within,
    find_closest_seconds,
    make_reply,
    refuse_connection,
)
from tests.engine.rig import start_rig
from tests.engine.settings import make_settings
from tests.kit.virtual import EPOCH_US, VIRTUAL

pytestmark = VIRTUAL

MINUTES = 60


async def test_forty_crashes_at_random_moments(tmp_path: Path) -> None:
    """I5 and I6 as the provider sees them, no counter falls, and every message finishes once."""
    chance = random.Random(8)

    def answer(_: str) -> Reply:
        roll = chance.random()
        if roll < 0.2:
            return Reply(Outcome.SERVER_ERROR)
        return make_reply(Status.DELIVERED if roll > 0.8 else Status.PROCESSING)

    provider = Provider(answer)
    settings = make_settings(rate=20, profiles={"default": {"max_interval": "5s"}})
    async with start_rig(tmp_path, provider, settings) as rig:
        for run in range(40):
            # When the store takes a moment, crashes happen in the middle of its work too.
            rig.slow_down(chance.choice([0.0, 0.000_2]))
            await rig.send(chance.randrange(30), prefix=f"l{run}")
            await rig.pass_time(chance.choice([0.1, 1, 3, 10, 30]) * chance.random())
            rig.slow_down(0.0)
            shown = dict(rig.snapshot.values)
            await rig.crash()
            await asyncio.sleep(chance.choice([0, 0.1, 5]))
            await rig.start()
            for key, value in shown.items():
                assert key.kind is Kind.MESSAGES or rig.snapshot.values.get(key, 0) >= value
            await rig.check_counts()
        provider.answer = answer_delivered
        await rig.wait_until(lambda: rig.pending == 0, 2 * MINUTES)
        await rig.check_counts()
        assert rig.count_finished("delivered") == rig.count_finished() == rig.sum_series(Kind.TRACKED)
        assert find_closest_seconds(provider.requests) >= 1
        for seconds in (1, 5, 30):
            assert count_most_within(provider.requests, seconds) <= 20 * seconds + 2


async def test_what_is_overdue_after_a_restart_is_spread_by_the_rate(tmp_path: Path) -> None:
    """A thousand messages became due while nothing ran: no request in the first second, no burst later."""
    provider = Provider(answer_under_way)
    async with start_rig(tmp_path, provider) as rig:
        await rig.send(1_000)
        await rig.pass_time(20)
        await rig.crash()
        await asyncio.sleep(3_600)
        began = rig.now_seconds
        await rig.start()
        await rig.pass_time(30)
        requests = provider.list_since(began)
        assert requests[0].at_seconds - began >= 1
        assert count_most_within(requests, 1) <= 11
        assert len(requests) > 280


@pytest.mark.parametrize("after_seconds", [1.1, 8])
async def test_a_pause_that_the_provider_asked_for_survives(tmp_path: Path, after_seconds: float) -> None:
    """Retry-After: 60, and crashes soon after it: silence for the whole minute, then about half the rate."""
    provider = Provider(answer_with(Outcome.RATE_LIMITED, 60))
    async with start_rig(tmp_path, provider) as rig:
        await rig.send(1_000, age_seconds=5)
        await rig.wait_until(lambda: bool(provider.requests), 5)
        limited_at = provider.requests[0].at_seconds
        await rig.pass_time(after_seconds)
        provider.answer = answer_under_way
        sent_before = len(provider.requests)
        for _ in range(5):
            await rig.crash()
            await rig.start()
            await rig.pass_time(9)
        assert len(provider.requests) == sent_before
        await rig.pass_time(30)
        after = provider.requests[sent_before:]
        assert 60 <= after[0].at_seconds - limited_at < 63
        # Half the rate, and what a minute gives back of it.
        assert count_most_within(after, 5) <= 6.5 * 5 + 1


async def test_backoff_survives(tmp_path: Path) -> None:
    """Messages that failed often wait for their time, and are not polled at once after a restart."""
    chance = random.Random(9)
    provider = Provider(answer_with(Outcome.SERVER_ERROR))
    async with start_rig(tmp_path, provider) as rig:
        # One after the other, so that the circuit stays closed by a good answer now and then.
        provider.answer = lambda _: (
            answer_under_way("") if chance.random() < 0.3 else Reply(Outcome.SERVER_ERROR)
        )
        await rig.send(50)
        await rig.pass_time(10 * MINUTES)
        provider.answer = refuse_connection
        await rig.crash()
        began = rig.now_seconds
        await rig.start()
        due_at = {message.message_id: message.due_at for message in await rig.read_messages()}
        provider.answer = answer_under_way
        await rig.pass_time(40 * MINUTES)
        first: dict[str, float] = {}
        for at_seconds, message_id in provider.list_since(began):
            first.setdefault(message_id, at_seconds)
        assert len(first) == 50
        for message_id, at_seconds in first.items():
            due_seconds = max((due_at[message_id] - EPOCH_US) / SECOND_US, began + 1)
            assert due_seconds <= at_seconds < due_seconds + 6


async def test_the_provider_uptime_survives(tmp_path: Path) -> None:
    """An outage before a crash counts against no message after it."""
    provider = Provider(refuse_connection)
    async with start_rig(tmp_path, provider, make_settings(campaigns={"otp": "otp"})) as rig:
        await rig.send(10, "otp")
        await rig.pass_time(20 * MINUTES)
        await rig.crash()
        await rig.start()
        provider.answer = answer_under_way
        await rig.pass_time(1 * MINUTES)
        assert rig.count_finished() == 0
        await rig.pass_time(2 * MINUTES)
        assert rig.count_finished("expired") == 10


async def test_an_orderly_stop_under_load_saves_all_answers(tmp_path: Path) -> None:
    """Each answer that came before the stop is in the store after it, also those that waited for a commit."""
    provider = Provider(answer_under_way, latency_seconds=0.01)
    async with start_rig(tmp_path, provider, make_settings(rate=200)) as rig:
        await rig.send(1_000, age_seconds=5)
        cut = 0
        for run in range(5):
            await rig.pass_time(1)
            rig.slow_down(0.01)
            await rig.pass_time(0.2 + run / 300)
            rig.slow_down(0.0)
            cut += provider.in_flight
            await rig.stop()
            await rig.start()
            assert sum(message.polls for message in await rig.read_messages()) == len(provider.requests) - cut
        await rig.check_counts()
