"""Reloads under load: no limit is lost, and no message."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from exporter.domain.model import NewMessage, Source
from exporter.domain.snapshot import Kind
from tests.engine.provider import (
    Provider,
    answer_delivered,
    answer_under_way,
    count_most_within,
    find_closest_seconds,
    refuse_connection,
)
from tests.engine.rig import start_rig
from tests.engine.settings import make_settings
from tests.kit.virtual import VIRTUAL

pytestmark = VIRTUAL

MINUTES = 60


async def test_a_thousand_reloads_under_load(tmp_path: Path) -> None:
    """I5 and I6 are kept over all of them, and every message is polled until it is finished."""
    chance = random.Random(17)
    provider = Provider(answer_under_way)
    profile = {"first_poll": "2s", "interval": "2s", "max_interval": "4s"}
    settings = [make_settings(rate=40, max_in_flight=n, profiles={"default": profile}) for n in (10, 3)]
    async with start_rig(tmp_path, provider, settings[0]) as rig:
        rig.slow_down(0.000_1)
        for reload in range(1_000):
            if reload % 20 == 0:
                await rig.send(6, prefix=f"r{reload}")
            rig.reload(settings[reload % 2])
            await rig.pass_time(chance.choice([0.01, 0.1, 0.4]) * chance.random())
        await rig.pass_time(30)
        assert set(provider.count_requests()) == {message.message_id for message in await rig.read_messages()}
        provider.answer = answer_delivered
        await rig.wait_until(lambda: rig.pending == 0, 1 * MINUTES)
        assert rig.count_finished("delivered") == rig.sum_series(Kind.TRACKED) == 300
        assert find_closest_seconds(provider.requests) >= 1
        for seconds in (1, 10):
            assert count_most_within(provider.requests, seconds) <= 40 * seconds + 4


async def test_a_source_that_is_cancelled_in_a_commit_loses_no_message(tmp_path: Path) -> None:
    """What is durable is also in the queue and in the counters, even when the caller was cancelled."""
    provider = Provider(answer_under_way)
    async with start_rig(tmp_path, provider) as rig:
        rig.slow_down(0.002)
        for number in range(20):
            batch = [NewMessage(f"n{number}-{i}", "default", "main") for i in range(5)]
            tracking = asyncio.get_running_loop().create_task(rig.tracker.track(batch, Source.DROP))
            await asyncio.sleep(0.001)
            tracking.cancel()
            await asyncio.wait({tracking})
        rig.slow_down(0.0)
        await rig.pass_time(30)
        assert rig.sum_series(Kind.TRACKED) == rig.pending == len(provider.count_requests()) == 100


async def test_limits_that_the_provider_set_survive_a_reload(tmp_path: Path) -> None:
    """An outage stays one: a reload sends no probe earlier."""
    provider = Provider(refuse_connection)
    async with start_rig(tmp_path, provider) as rig:
        await rig.send(100)
        await rig.pass_time(1 * MINUTES)
        sent_before = len(provider.requests)
        for _ in range(100):
            rig.reload()
            await rig.pass_time(3)
        assert len(provider.requests) - sent_before <= 11


async def test_new_rates_and_profiles_apply_at_once(tmp_path: Path) -> None:
    """A reload changes how many requests go out from then on, and when messages are polled next."""
    provider = Provider(answer_under_way)
    async with start_rig(tmp_path, provider) as rig:
        await rig.send(1_000)
        await rig.pass_time(20)
        rig.reload(make_settings(rate=2))
        await rig.pass_time(1)
        changed_at = rig.now_seconds
        await rig.pass_time(30)
        assert len(provider.list_since(changed_at)) == 60


async def test_an_account_that_is_removed_is_neither_polled_nor_shown(tmp_path: Path) -> None:
    """Its messages wait; when the account is back they are polled again, and only then."""
    providers = {"main": Provider(answer_under_way), "second": Provider(answer_under_way)}
    async with start_rig(tmp_path, providers) as rig:
        await rig.send(10, account="second")
        await rig.pass_time(20)
        rig.reload(make_settings("main"))
        await rig.pass_time(1)
        removed_at = rig.now_seconds
        await rig.pass_time(2 * MINUTES)
        assert not providers["second"].list_since(removed_at)
        shown = {s.labels.get("account") for f in rig.instruments.registry.collect() for s in f.samples}
        assert "second" not in shown
        rig.reload(make_settings("main", "second"))
        await rig.pass_time(1 * MINUTES)
        assert len({request.message_id for request in providers["second"].list_since(removed_at)}) == 10


async def test_an_account_that_comes_back_after_a_restart_has_its_messages(tmp_path: Path) -> None:
    """Left out at a start, back by a reload: its messages are polled, and its uptime is kept."""
    providers = {"main": Provider(answer_under_way), "second": Provider(answer_under_way)}
    async with start_rig(tmp_path, providers) as rig:
        await rig.send(10, account="second")
        await rig.pass_time(2 * MINUTES)
        await rig.crash()
        rig.settings = make_settings("main")
        await rig.start()
        await rig.pass_time(1 * MINUTES)
        came_back_at = rig.now_seconds
        rig.reload(make_settings("main", "second"))
        await rig.pass_time(3 * MINUTES)
        requests = providers["second"].list_since(came_back_at)
        assert len({request.message_id for request in requests}) == 10
        assert (
            rig.tracker.accounts["second"].limiter.get_uptime_us(rig.clock.monotonic())
            > 4 * MINUTES * 1_000_000
        )
        assert find_closest_seconds(providers["second"].requests) >= 1
