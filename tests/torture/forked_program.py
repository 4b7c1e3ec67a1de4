"""Runs of the program in processes of their own, made by forking: imports cost nothing, a start takes 50 ms.

For processes with one thread only; so the campaigns, which fork, are commands
of their own (`python -m tests.torture`), and tests start those.
"""

from __future__ import annotations

import ctypes
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from exporter.cli import main
from tests.kit.waiting import HANG_SECONDS, LOOK_EVERY_SECONDS

_LISTENS = re.compile(rb'event=ready .*listen="?127\.0\.0\.1:(\d+)')
_PR_SET_PDEATHSIG = 1


class Child:
    """A process that was forked from this one; `kill` or `wait` must come in the end."""

    def __init__(self, work: Callable[[], int], output: Path, tracer: Sequence[str] = ()) -> None:
        """Do `work` in a new process; its exit code is what `work` returns, its output goes to a file.

        `tracer` is the command of an strace that is attached before anything else happens.
        """
        self.output = output
        self.code: int | None = None
        """The exit code, or minus the signal's number, once it has ended."""
        # Not by the child, which may be killed before: whoever reads it finds a file.
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.pid = os.fork()
        if self.pid == 0:
            _run_child(work, descriptor, waits=bool(tracer))
        os.close(descriptor)
        self._tracer = self._attached(tracer) if tracer else None
        self._pidfd = os.pidfd_open(self.pid)

    def _attached(self, tracer: Sequence[str]) -> subprocess.Popen[bytes]:
        os.waitpid(self.pid, os.WUNTRACED)
        attached = subprocess.Popen([*tracer, "-p", str(self.pid)], stderr=subprocess.DEVNULL)
        status = Path(f"/proc/{self.pid}/status")
        while "TracerPid:\t0\n" in status.read_text("ascii"):
            assert attached.poll() is None, f"strace ended with {attached.returncode}"
            time.sleep(0.002)
        self.signal(signal.SIGCONT)
        return attached

    def wait(self, limit_seconds: float = HANG_SECONDS) -> bool:
        """Wait for the end, but not longer than that; whether it has ended."""
        if self.code is None:
            ended = select.poll()
            ended.register(self._pidfd, select.POLLIN)
            if not ended.poll(max(0, int(limit_seconds * 1000))):
                return False
            _, status = os.waitpid(self.pid, 0)
            os.close(self._pidfd)
            self.code = os.waitstatus_to_exitcode(status)
            if self._tracer is not None:
                self._tracer.wait()
        return True

    def signal(self, number: int) -> None:
        """Send a signal, if it still lives."""
        if self.code is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it as a power switch would, except that the kernel lives on."""
        self.signal(signal.SIGKILL)
        self.wait()

    def said(self) -> str:
        """All that it has written so far."""
        return self.output.read_text("utf-8", "replace")


def die_with_parent() -> None:
    """Have the kernel end this process when the one that forked it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _run_child(work: Callable[[], int], descriptor: int, *, waits: bool) -> None:
    """The child's whole life; never returns."""
    code = 70
    try:
        die_with_parent()
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        if waits:
            os.kill(os.getpid(), signal.SIGSTOP)
        code = work()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - what the interpreter would print, and then exit with 1
        sys.excepthook(*sys.exc_info())
        code = 1
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def program(arguments: Sequence[str]) -> Callable[[], int]:
    """The program, with these arguments, as the console script runs it."""

    def work() -> int:
        sys.argv = ["smsbat-exporter", *arguments]
        return main.main()

    return work


def port_of(child: Child) -> int | None:
    """Where the daemon serves `/metrics`; None before it does."""
    found = _LISTENS.findall(child.output.read_bytes())
    return int(found[-1]) if found else None


def until(child: Child, seen: Callable[[], bool], limit_seconds: float = HANG_SECONDS) -> bool:
    """Look again and again until `seen`, or the child ends, or time is up; whether it was seen."""
    give_up_at = time.monotonic() + limit_seconds
    while not seen():
        if time.monotonic() > give_up_at or child.wait(LOOK_EVERY_SECONDS):
            return seen()
    return True


def scrape(child: Child) -> dict[str, float] | None:
    """All samples of `/metrics`, by name and labels as they are written; None when there is no answer."""
    port = port_of(child)
    if port is None:
        return None
    connection = HTTPConnection("127.0.0.1", port, timeout=HANG_SECONDS)
    try:
        connection.request("GET", "/metrics")
        response = connection.getresponse()
        text = response.read().decode()
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()
    lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}
