"""Signals that end the daemon: with nothing lost, and at once when asked twice; how soon, `bench` tells."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.daemon import Home, address_of, id_lines, sum_of
from tests.kit.provider import Provider, simulated
from tests.kit.waiting import until
from tests.kit.web import ask

IN_FLIGHT = 10


@pytest.fixture
def home(tmp_path: Path, provider: Provider) -> Iterator[Home]:
    """A daemon's folder; at the end the provider is well again."""
    yield Home(tmp_path / "home", provider.url, rate=200, in_flight=IN_FLIGHT)
    provider.heal()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_daemon_ends_when_asked(home: Home, number: signal.Signals) -> None:
    """0, and its last line says that all is saved."""
    with home.start() as daemon:
        address = address_of(daemon)
        daemon.signal(number)
        assert daemon.ends() == 0
        assert [line["event"] for line in daemon.events()] == ["starting", "ready", "stopping", "stopped"]
        assert ask(address, "/metrics").status == 0


def test_a_busy_daemon_ends_when_asked_and_its_next_run_goes_on(home: Home, provider: Provider) -> None:
    """0 under full load; what it had learned is there again, the rest follows."""
    provider.fault("delay", delay_seconds=0.03)
    ids = provider.send("otp", "otp", 900)
    home.put("ids.txt", id_lines(ids))
    with home.start() as daemon:
        address = address_of(daemon)

        def busy() -> bool:
            return (sum_of(address, "smsbat_messages_finished_total") or 0) > 100

        until(busy, "a hundred have finished")
        finished = sum_of(address, "smsbat_messages_finished_total")
        assert finished is not None
        daemon.signal(signal.SIGTERM)
        assert daemon.ends() == 0
        assert "Traceback" not in daemon.said()
    assert finished < len(ids)
    with home.start() as daemon:
        address = address_of(daemon)
        known = sum_of(address, "smsbat_messages_finished_total")
        assert known is not None
        assert finished <= known
        assert sum_of(address, "smsbat_messages_tracked_total") == len(ids)


def test_a_hanging_provider_keeps_no_daemon_from_ending(tmp_path: Path) -> None:
    """0 with every slot taken by a request that is never answered, and may take an hour; and no slot more."""
    with simulated(tmp_path) as provider:
        provider.fault("hang")
        home = Home(tmp_path / "home", provider.url, rate=200, in_flight=IN_FLIGHT, profiles={"otp": "otp"})
        home.config.write_text(home.config.read_text().replace("    auth:", "    timeout: 1h\n    auth:"))
        home.put("otp/ids.txt", id_lines(provider.send("otp", "otp", 100)))
        with home.start() as daemon:
            address = address_of(daemon)
            until(lambda: provider.requests() >= IN_FLIGHT, "its slots are taken")
            assert ask(address, "/-/healthy").status == 200
            daemon.signal(signal.SIGTERM)
            assert daemon.ends() == 0
            assert "Traceback" not in daemon.said()
        assert provider.most_in_hand() == IN_FLIGHT


def test_a_second_signal_ends_it_at_once(home: Home) -> None:
    """Whatever the first one has begun: both wait for a process that is held, then it goes on."""
    with home.start() as daemon:
        address_of(daemon)
        daemon.signal(signal.SIGSTOP, signal.SIGTERM, signal.SIGINT, signal.SIGCONT)
        assert daemon.ends() == -signal.SIGKILL
