"""The workers, as a reload starts and stops them: pollers, the watch on key files, listed ids."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from exporter.domain.limiter import CircuitState
from exporter.domain.model import Outcome, Reply
from exporter.runtime.secrets import SecretFile
from exporter.workers import watch_key
from tests.engine.provider import Provider, answer_delivered
from tests.engine.rig import start_rig
from tests.kit.daemon import KEY, Home, sum_in
from tests.kit.live import asked, come_true, daemon_of, live_provider, stored
from tests.kit.virtual import VIRTUAL


@VIRTUAL
async def test_a_new_key_is_used_within_seconds_after_a_refusal(tmp_path: Path) -> None:
    """The file is read each second: polling doesn't wait for the next probe, a minute later."""
    key = tmp_path / "key"
    key.write_text("refused\n")
    provider = Provider(lambda _: Reply(Outcome.UNAUTHORIZED))
    async with start_rig(tmp_path / "state", provider) as rig, asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(watch_key(rig.account, SecretFile(key, "key"), rig.clock))
        await rig.send(20, age_seconds=10)
        await rig.pass_time(20)
        assert rig.account.limiter.circuit is CircuitState.UNAUTHORIZED
        refused = len(provider.requests)
        key.write_text("a new one\n")
        provider.answer = answer_delivered
        await rig.wait_until(lambda: len(provider.requests) > refused, 2)
        await rig.wait_until(lambda: rig.count_finished() == 20, 20)
        watching.cancel()


async def test_a_new_key_is_used_as_soon_as_the_file_has_it(tmp_path: Path) -> None:
    """A refusal is no failed attempt; with the new key every message is polled."""
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
    """Without a key nothing is sent, and the log doesn't say that one was refused; a key starts polling."""
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
            (logged,) = [one for one in caplog.records if one.__dict__.get("event") == "account_revoked"]
            assert logged.__dict__["fields"]["code"] == "SMSBAT-C017"
            assert "refuses" not in logged.getMessage()
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


async def test_a_list_longer_than_the_limit_is_tracked_as_room_comes(tmp_path: Path) -> None:
    """Only so many are pending at a time, and in the end each was polled."""
    async with live_provider() as provider:
        ids = [f"m{n:02}" for n in range(20)]
        home = Home(tmp_path, provider.url, listed={"default": ids})
        home.config.write_text(home.config.read_text() + "limits: {max_tracked: 6}\n")
        async with daemon_of(home):
            await come_true(lambda: {arrival.message_id for arrival in provider.arrivals} == set(ids))
        assert {message.message_id for message in stored(home)} == set(ids)


async def test_listed_ids_wait_for_room(tmp_path: Path) -> None:
    """While `max_tracked` messages are pending the other ids wait, and are tracked when there is room."""
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
