"""The daemon as a whole, in this process: a reload changes all or nothing, and a stop loses no answer."""

from __future__ import annotations

import logging
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from tests.kit.daemon import Home, sum_in
from tests.kit.live import asked, come_true, daemon_of, live_provider, stored

BAD_CA_FILES = {"missing": None, "no certificate": "nothing of the kind\n"}


async def test_reloads_under_load_lose_no_message(tmp_path: Path) -> None:
    """Twenty reloads of two settings in turn: each message is polled until it is finished, none too soon."""
    async with live_provider() as provider:
        seen: Counter[str] = Counter()

        def word(message_id: str) -> str:
            seen[message_id] += 1
            return "delivered" if seen[message_id] >= 2 else "processing"

        provider.word = word
        home = Home(tmp_path, provider.url, rate=100, listed={"default": [f"m{n:03}" for n in range(100)]})
        async with daemon_of(home) as daemon:
            for reload in range(20):
                home.in_flight = 10 if reload % 2 else 3
                home.configure()
                assert (await asked(daemon, "/-/reload", "POST")).status == 200
                await come_true(lambda: len(provider.arrivals) >= 5 * reload)  # noqa: B023 - called at once
            await come_true(lambda: min(seen.values(), default=0) >= 2 and len(seen) == 100)
        messages = stored(home)
        assert len(messages) == 100
        assert not any(message.pending for message in messages)
        times: dict[str, list[float]] = {}
        for arrival in provider.arrivals:
            times.setdefault(arrival.message_id, []).append(arrival.at_seconds)
        assert min(b - a for ats in times.values() for a, b in pairwise(ats)) >= 1


@pytest.mark.parametrize("content", BAD_CA_FILES.values(), ids=BAD_CA_FILES)
async def test_a_ca_file_that_can_not_be_used_is_refused_and_changes_nothing(
    tmp_path: Path, content: str | None
) -> None:
    """The reload is refused with the place of the mistake, and the old configuration stays in force."""
    async with live_provider() as provider:
        home = Home(tmp_path, provider.url)
        if content is not None:
            (tmp_path / "ca.pem").write_text(content)
        good = home.config.read_text()
        async with daemon_of(home) as daemon:
            home.config.write_text(good.replace("    auth:", "    ca_file: ca.pem\n    auth:", 1))
            refused = await asked(daemon, "/-/reload", "POST")
            assert refused.status == 500
            assert "ca_file: can't be used" in refused.text
            metrics = (await asked(daemon, "/metrics")).text
            assert sum_in(metrics, "smsbat_exporter_config_last_reload_successful") == 0
            home.config.write_text(good)
            home.put("ids.txt", "late-1\n")
            await come_true(lambda: bool(provider.arrivals))


async def test_a_changed_storage_waits_for_a_restart_and_the_rest_applies(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A running daemon doesn't move its state: the log says so, and all other changes apply."""
    async with live_provider() as provider:
        home = Home(tmp_path, provider.url)
        async with daemon_of(home) as daemon:
            home.listed["default"] = ["listed-later"]
            home.configure()
            home.config.write_text(home.config.read_text().replace("path: state", "path: elsewhere"))
            with caplog.at_level(logging.WARNING, "smsbat"):
                assert (await asked(daemon, "/-/reload", "POST")).status == 200
            assert any("restart" in record.message for record in caplog.records)
            await come_true(lambda: bool(provider.arrivals))
        assert [message.message_id for message in stored(home)] == ["listed-later"]
        assert not (tmp_path / "elsewhere").exists()


async def test_a_stop_under_load_keeps_what_the_provider_answered(tmp_path: Path) -> None:
    """All answers but those still under way are in the store when `run` returns."""
    async with live_provider() as provider:
        provider.word = lambda _: "processing"
        home = Home(tmp_path, provider.url, rate=500, listed={"default": [f"m{n:04}" for n in range(2_000)]})
        async with daemon_of(home):
            await come_true(lambda: len(provider.arrivals) >= 300)
        polls = sum(message.polls for message in stored(home))
        assert len(provider.arrivals) - home.in_flight <= polls <= len(provider.arrivals)


async def test_pending_messages_are_polled_by_the_next_run(tmp_path: Path) -> None:
    """A stop and a start: counters continue, and no message is polled twice within a second."""
    async with live_provider() as provider:
        provider.word = lambda _: "processing"
        home = Home(tmp_path, provider.url, listed={"default": ["m1", "m2", "m3"]})
        async with daemon_of(home):
            await come_true(lambda: len(provider.arrivals) >= 3)
        provider.word = lambda _: "delivered"
        before = len(provider.arrivals)
        async with daemon_of(home) as daemon:
            metrics = (await asked(daemon, "/metrics")).text
            assert sum_in(metrics, "smsbat_messages_tracked_total") == 3
            await come_true(lambda: len(provider.arrivals) >= before + 3)
        latest = {arrival.message_id: arrival.at_seconds for arrival in provider.arrivals[:before]}
        for arrival in provider.arrivals[before : before + 3]:
            assert arrival.at_seconds - latest[arrival.message_id] >= 1
        assert not any(message.pending for message in stored(home))
