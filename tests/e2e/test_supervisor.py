"""What systemd hears of the daemon: that it is ready, and that it lives."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from exporter.runtime.systemd import Notifier
from tests.kit.daemon import Home, address_of
from tests.kit.processes import EXPORTER, Running, environment
from tests.kit.provider import Provider
from tests.kit.waiting import HANG_SECONDS
from tests.kit.web import ask


@contextmanager
def _listening(address: str) -> Iterator[socket.socket]:
    """A socket as systemd holds it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.settimeout(HANG_SECONDS)
        yield listener


def _started(home: Home, notify_socket: str, **more: str) -> Running:
    """A daemon that was told of a supervisor."""
    flags = [f"--config.file={home.config}", "--web.listen-address=127.0.0.1:0", "--log.format=json"]
    env = environment(NOTIFY_SOCKET=notify_socket, **more)
    return Running([*EXPORTER, "run", *flags], home.folder / "daemon.log", env=env)


@pytest.fixture
def home(tmp_path: Path, provider: Provider) -> Home:
    """A daemon's folder, ready to be used."""
    return Home(tmp_path / "home", provider.url)


def test_ready_means_that_a_scrape_is_answered(home: Home, tmp_path: Path) -> None:
    """The first news is READY=1, and whoever scrapes then gets an answer; signs of life follow."""
    address = str(tmp_path / "notify")
    with _listening(address) as listener, _started(home, address, WATCHDOG_USEC="60000000") as daemon:
        heard = [listener.recv(64)]
        while heard[-1] != b"READY=1":
            assert heard[-1] == b"WATCHDOG=1"
            heard.append(listener.recv(64))
        assert ask(address_of(daemon), "/metrics").status == 200
        assert [listener.recv(64), listener.recv(64)] == [b"WATCHDOG=1", b"WATCHDOG=1"]


def test_a_daemon_that_can_not_work_is_never_ready(home: Home, tmp_path: Path) -> None:
    """It ends with its code and without a word, so that `systemctl start` fails."""
    home.config.write_text("accounts: []\n", "ascii")
    address = str(tmp_path / "notify")
    with _listening(address) as listener, _started(home, address) as daemon:
        assert daemon.ends() == 78
        listener.settimeout(0)
        with pytest.raises(BlockingIOError):
            listener.recv(64)


def test_a_supervisor_that_is_gone_is_told_of_once_and_missed_no_more(home: Home, tmp_path: Path) -> None:
    """The daemon works as without one; a line of its log says why nobody hears it."""
    address = str(tmp_path / "nobody")
    with _started(home, address, WATCHDOG_USEC="60000000") as daemon:
        assert ask(address_of(daemon), "/metrics").status == 200
        assert daemon.event("supervisor_deaf")["reason"] == "No such file or directory"
        with _listening(address) as listener:
            assert listener.recv(64) == b"WATCHDOG=1"
        assert [line["event"] for line in daemon.events()].count("supervisor_deaf") == 1


def test_only_a_watchdog_gets_signs_of_life(tmp_path: Path) -> None:
    """Without WATCHDOG_USEC just the one word; the address may be abstract."""
    name = f"smsbat-{tmp_path.name}-{id(tmp_path)}"
    with _listening(f"\0{name}") as listener:
        plain = Notifier({"NOTIFY_SOCKET": f"@{name}"})
        plain.alive()
        plain.ready()
        assert listener.recv(64) == b"READY=1"
        Notifier({"NOTIFY_SOCKET": f"@{name}", "WATCHDOG_USEC": "60000000"}).alive()
        assert listener.recv(64) == b"WATCHDOG=1"
