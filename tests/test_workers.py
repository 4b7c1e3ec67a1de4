"""What brings news, as a reload makes and unmakes it: pollers, the watch on keys, listed ids."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from exporter.domain.limiter import CircuitState
from exporter.domain.model import Outcome, Reply
from exporter.runtime.secrets import SecretFile
from exporter.workers import watch_key
from tests.engine.provider import Provider, delivered
from tests.engine.rig import running
from tests.kit.daemon import KEY, Home, sum_in
from tests.kit.live import asked, come_true, daemon_of, live_provider, stored
from tests.kit.virtual import VIRTUAL


@VIRTUAL
async def test_a_rotated_key_ends_a_revocation_within_seconds(tmp_path: Path) -> None:
    """The file is looked at each second: nobody waits for the next probe, a minute later."""
    key = tmp_path / "key"
    key.write_text("refused\n")
    provider = Provider(lambda _: Reply(Outcome.UNAUTHORIZED))
    async with running(tmp_path / "state", provider) as rig, asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(watch_key(rig.account, SecretFile(key, "key"), rig.clock))
        await rig.send(20, age_seconds=10)
        await rig.pass_time(20)
        assert rig.account.limiter.flow is CircuitState.UNAUTHORIZED
        refused = len(provider.requests)
        key.write_text("a new one\n")
        provider.answer = delivered
        await rig.until(lambda: len(provider.requests) > refused, 2)
        await rig.until(lambda: rig.finished() == 20, 20)
        watching.cancel()


async def test_a_rotated_key_is_tried_as_soon_as_it_is_in_the_file(tmp_path: Path) -> None:
    """While the key is refused nothing is an attempt; with the new one everything is asked about."""
    async with live_provider() as provider:
        good = "a-new-key"
        provider.status = lambda key: 200 if key == good else 401
        home = Home(tmp_path, provider.url, listed={"default": [f"m{n}" for n in range(20)]})
        async with daemon_of(home):
            await come_true(lambda: bool(provider.arrivals))
            home.key.write_text(f"{good}\n")
            await come_true(lambda: len({a.message_id for a in provider.arrivals if a.key == good}) == 20)
        assert not any(message.pending for message in stored(home))
        assert all(message.failures == 0 for message in stored(home))


async def test_an_unreadable_key_stops_the_account_until_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a key nothing is sent, and nobody is said to have refused it; with the file, everything is."""
    async with live_provider() as provider:
        home = Home(tmp_path, provider.url, listed={"default": ["m1", "m2"]})
        home.key.unlink()
        async with daemon_of(home) as daemon:

            async def unauthorized() -> float:
                metrics = (await asked(daemon, "/metrics")).text
                return sum_in(metrics, "smsbat_api_requests_total", outcome="unauthorized") or 0

            while not await unauthorized():
                pass
            assert not provider.arrivals
            (told,) = [one for one in caplog.records if one.__dict__.get("event") == "account_revoked"]
            assert told.__dict__["fields"]["code"] == "SMSBAT-C017"
            assert "refuses" not in told.getMessage()
            home.key.write_text(f"{KEY}\n")
            await come_true(lambda: len({arrival.message_id for arrival in provider.arrivals}) == 2)


async def test_listed_ids_are_tracked_once_however_often_they_are_read(tmp_path: Path) -> None:
    """Reloads and restarts bring the same ids again; known ones change nothing, new ones are taken."""
    async with live_provider() as provider:
        home = Home(tmp_path, provider.url, listed={"default": ["m1", "m2"]})
        for run in range(2):
            async with daemon_of(home) as daemon:
                await come_true(lambda: len({arrival.message_id for arrival in provider.arrivals}) >= 2)
                home.listed["default"] = ["m1", "m2", f"new-{run}"]
                home.configure()
                assert (await asked(daemon, "/-/reload", "POST")).status == 200
                await come_true(lambda: any(a.message_id == f"new-{run}" for a in provider.arrivals))  # noqa: B023 - called at once
        assert {m.message_id for m in stored(home)} == {"m1", "m2", "new-0", "new-1"}


async def test_a_list_longer_than_the_limit_goes_in_as_room_comes(tmp_path: Path) -> None:
    """Only so many are pending at a time, and in the end each was asked about."""
    async with live_provider() as provider:
        ids = [f"m{n:02}" for n in range(20)]
        home = Home(tmp_path, provider.url, listed={"default": ids})
        home.config.write_text(home.config.read_text() + "limits: {max_tracked: 6}\n")
        async with daemon_of(home):
            await come_true(lambda: {arrival.message_id for arrival in provider.arrivals} == set(ids))
        assert {message.message_id for message in stored(home)} == set(ids)


async def test_listed_ids_wait_for_room(tmp_path: Path) -> None:
    """While as many messages are pending as may be, the rest waits, and is taken when there is room."""
    async with live_provider() as provider:
        provider.word = lambda _: "processing"
        home = Home(tmp_path, provider.url, listed={"default": ["m1", "m2", "m3"]})
        limited = home.config.read_text() + "limits: {max_tracked: 3}\n"
        home.config.write_text(limited)
        async with daemon_of(home) as daemon:
            await come_true(lambda: len({arrival.message_id for arrival in provider.arrivals}) == 3)
            home.config.write_text(limited.replace("m1, m2, m3", "m4, m5"))
            assert (await asked(daemon, "/-/reload", "POST")).status == 200
            counted = len(provider.arrivals)
            await come_true(lambda: len(provider.arrivals) >= counted + 3)
            assert {arrival.message_id for arrival in provider.arrivals} == {"m1", "m2", "m3"}
            provider.word = lambda _: "delivered"
            await come_true(lambda: {"m4", "m5"} <= {a.message_id for a in provider.arrivals})
