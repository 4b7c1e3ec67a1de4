"""Reloads under load: no limit is forgotten, and no message."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from exporter.domain.model import NewMessage, Source
from exporter.domain.snapshot import Kind
from tests.engine.provider import Provider, closest_seconds, delivered, most_within, refused, under_way
from tests.engine.rig import running
from tests.engine.settings import settings_of
from tests.kit.virtual import VIRTUAL

pytestmark = VIRTUAL

MINUTES = 60


async def test_a_thousand_reloads_under_load(tmp_path: Path) -> None:
    """I5 and I6 hold over all of them, and every message is asked about to its end."""
    chance = random.Random(17)
    provider = Provider(under_way)
    profile = {"first_poll": "2s", "interval": "2s", "max_interval": "4s"}
    settings = [settings_of(rate=40, max_in_flight=n, profiles={"default": profile}) for n in (10, 3)]
    async with running(tmp_path, provider, settings[0]) as rig:
        rig.slow_down(0.000_1)
        for reload in range(1_000):
            if reload % 20 == 0:
                await rig.send(6, prefix=f"r{reload}")
            rig.reload(settings[reload % 2])
            await rig.pass_time(chance.choice([0.01, 0.1, 0.4]) * chance.random())
        await rig.pass_time(30)
        assert set(provider.asked()) == {message.message_id for message in await rig.stored()}
        provider.answer = delivered
        await rig.until(lambda: rig.pending == 0, 1 * MINUTES)
        assert rig.finished("delivered") == rig.counted(Kind.TRACKED) == 300
        assert closest_seconds(provider.requests) >= 1
        for seconds in (1, 10):
            assert most_within(provider.requests, seconds) <= 40 * seconds + 4


async def test_a_source_that_is_cancelled_in_a_commit_loses_no_message(tmp_path: Path) -> None:
    """What is durable is also on the agenda and in the counters, even if nobody waits for it any more."""
    provider = Provider(under_way)
    async with running(tmp_path, provider) as rig:
        rig.slow_down(0.002)
        for number in range(20):
            batch = [NewMessage(f"n{number}-{i}", "default", "main") for i in range(5)]
            bringing = asyncio.get_running_loop().create_task(rig.tracker.track(batch, Source.DROP))
            await asyncio.sleep(0.001)
            bringing.cancel()
            await asyncio.wait({bringing})
        rig.slow_down(0.0)
        await rig.pass_time(30)
        assert rig.counted(Kind.TRACKED) == rig.pending == len(provider.asked()) == 100


async def test_limits_that_the_provider_set_survive_a_reload(tmp_path: Path) -> None:
    """An outage stays one: reloading is no way around the probe each 30 s."""
    provider = Provider(refused)
    async with running(tmp_path, provider) as rig:
        await rig.send(100)
        await rig.pass_time(1 * MINUTES)
        asked = len(provider.requests)
        for _ in range(100):
            rig.reload()
            await rig.pass_time(3)
        assert len(provider.requests) - asked <= 11


async def test_new_rates_and_profiles_hold_at_once(tmp_path: Path) -> None:
    """A reload changes how many requests go out from then on, and when messages are looked at next."""
    provider = Provider(under_way)
    async with running(tmp_path, provider) as rig:
        await rig.send(1_000)
        await rig.pass_time(20)
        rig.reload(settings_of(rate=2))
        await rig.pass_time(1)
        changed_at = rig.now_seconds
        await rig.pass_time(30)
        assert len(provider.since(changed_at)) == 60


async def test_an_account_that_is_taken_out_is_neither_asked_nor_shown(tmp_path: Path) -> None:
    """Its messages wait; put back, they are asked about again, and only then."""
    providers = {"main": Provider(under_way), "second": Provider(under_way)}
    async with running(tmp_path, providers) as rig:
        await rig.send(10, account="second")
        await rig.pass_time(20)
        rig.reload(settings_of("main"))
        await rig.pass_time(1)
        taken_out_at = rig.now_seconds
        await rig.pass_time(2 * MINUTES)
        assert not providers["second"].since(taken_out_at)
        shown = {s.labels.get("account") for f in rig.instruments.registry.collect() for s in f.samples}
        assert "second" not in shown
        rig.reload(settings_of("main", "second"))
        await rig.pass_time(1 * MINUTES)
        assert len({request.message_id for request in providers["second"].since(taken_out_at)}) == 10


async def test_an_account_that_comes_back_after_a_restart_has_its_messages(tmp_path: Path) -> None:
    """Left out at a start, put back by a reload: its messages are on the agenda, and its clock goes on."""
    providers = {"main": Provider(under_way), "second": Provider(under_way)}
    async with running(tmp_path, providers) as rig:
        await rig.send(10, account="second")
        await rig.pass_time(2 * MINUTES)
        await rig.crash()
        rig.settings = settings_of("main")
        await rig.start()
        await rig.pass_time(1 * MINUTES)
        came_back_at = rig.now_seconds
        rig.reload(settings_of("main", "second"))
        await rig.pass_time(3 * MINUTES)
        requests = providers["second"].since(came_back_at)
        assert len({request.message_id for request in requests}) == 10
        assert (
            rig.tracker.accounts["second"].limiter.uptime_us(rig.clock.monotonic()) > 4 * MINUTES * 1_000_000
        )
        assert closest_seconds(providers["second"].requests) >= 1
