"""What the daemon reports to systemd: that it is ready, and that it is alive."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from exporter.runtime.systemd import Notifier
from tests.kit.daemon import Home, address_of
from tests.kit.processes import EXPORTER, Running, environment
from tests.kit.waiting import HANG_SECONDS
from tests.kit.web import ask


@contextmanager
def _listen(address: str) -> Iterator[socket.socket]:
    """A socket as systemd holds it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.settimeout(HANG_SECONDS)
        yield listener


def _start(home: Home, notify_socket: str, **more: str) -> Running:
    """A daemon that was started by systemd."""
    flags = [f"--config.file={home.config}", "--web.listen-address=127.0.0.1:0", "--log.format=json"]
    env = environment(NOTIFY_SOCKET=notify_socket, **more)
    return Running([*EXPORTER, "run", *flags], home.folder / "daemon.log", env=env)


def test_ready_means_that_a_scrape_is_answered(home: Home, tmp_path: Path) -> None:
    """Once READY=1 is sent a scrape is answered; signs of life follow."""
    address = str(tmp_path / "notify")
    with _listen(address) as listener, _start(home, address, WATCHDOG_USEC="60000000") as daemon:
        received = [listener.recv(64)]
        while received[-1] != b"READY=1":
            assert received[-1] == b"WATCHDOG=1"
            received.append(listener.recv(64))
        assert ask(address_of(daemon), "/metrics").status == 200
        assert [listener.recv(64), listener.recv(64)] == [b"WATCHDOG=1", b"WATCHDOG=1"]


def test_a_daemon_that_can_not_work_is_never_ready(home: Home, tmp_path: Path) -> None:
    """It exits with its code and sends nothing, so that `systemctl start` fails."""
    home.config.write_text("accounts: []\n", "ascii")
    address = str(tmp_path / "notify")
    with _listen(address) as listener, _start(home, address) as daemon:
        assert daemon.ends() == 78
        listener.settimeout(0)
        with pytest.raises(BlockingIOError):
            listener.recv(64)


def test_a_failing_notification_is_logged_once_and_sent_again(home: Home, tmp_path: Path) -> None:
    """The daemon works as without systemd; one line of its log has the reason."""
    address = str(tmp_path / "nobody")
    with _start(home, address, WATCHDOG_USEC="60000000") as daemon:
        assert ask(address_of(daemon), "/metrics").status == 200
        assert daemon.event("systemd_notification_failed")["reason"] == "No such file or directory"
        with _listen(address) as listener:
            assert listener.recv(64) == b"WATCHDOG=1"
        assert [line["event"] for line in daemon.events()].count("systemd_notification_failed") == 1


def test_only_a_watchdog_gets_signs_of_life(tmp_path: Path) -> None:
    """Without WATCHDOG_USEC only READY=1 is sent; the address may be abstract."""
    name = f"smsbat-{tmp_path.name}-{id(tmp_path)}"
    with _listen(f"\0{name}") as listener:
        plain = Notifier({"NOTIFY_SOCKET": f"@{name}"})
        plain.notify_alive()
        plain.notify_ready()
        assert listener.recv(64) == b"READY=1"
        Notifier({"NOTIFY_SOCKET": f"@{name}", "WATCHDOG_USEC": "60000000"}).notify_alive()
        assert listener.recv(64) == b"WATCHDOG=1"
