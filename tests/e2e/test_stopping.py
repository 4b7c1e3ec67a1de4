"""Signals that stop the daemon: without loss, or at once with a second signal; `bench life` says how soon."""

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
    """A daemon's folder; at the end the provider has no faults any more."""
    yield Home(tmp_path / "home", provider.url, rate=200, in_flight=IN_FLIGHT)
    provider.heal()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_daemon_stops_on_a_signal(home: Home, number: signal.Signals) -> None:
    """0, and its last line says that everything is saved."""
    with home.start() as daemon:
        address = address_of(daemon)
        daemon.signal(number)
        assert daemon.ends() == 0
        assert [line["event"] for line in daemon.events()] == ["starting", "ready", "stopping", "stopped"]
        assert ask(address, "/metrics").status == 0


def test_a_busy_daemon_stops_on_a_signal_and_its_next_run_continues(home: Home, provider: Provider) -> None:
    """0 under full load; its results are there after the restart, the rest follows."""
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


def test_a_hanging_provider_does_not_delay_stopping(tmp_path: Path) -> None:
    """0, with every slot taken by a request that is never answered and may take an hour."""
    with simulated(tmp_path) as provider:
        provider.fault("hang")
        home = Home(tmp_path / "home", provider.url, rate=200, in_flight=IN_FLIGHT, profiles={"otp": "otp"})
        home.config.write_text(home.config.read_text().replace("    auth:", "    timeout: 1h\n    auth:"))
        home.put("otp/ids.txt", id_lines(provider.send("otp", "otp", 100)))
        with home.start() as daemon:
            address = address_of(daemon)
            until(lambda: provider.requests() >= IN_FLIGHT, "all slots are taken")
            assert ask(address, "/-/healthy").status == 200
            daemon.signal(signal.SIGTERM)
            assert daemon.ends() == 0
            assert "Traceback" not in daemon.said()
        assert provider.most_in_flight() == IN_FLIGHT


def test_a_second_signal_kills_it_at_once(home: Home) -> None:
    """Both signals wait for a process that is stopped, and take effect when it continues."""
    with home.start() as daemon:
        address_of(daemon)
        daemon.signal(signal.SIGSTOP, signal.SIGTERM, signal.SIGINT, signal.SIGCONT)
        assert daemon.ends() == -signal.SIGKILL
