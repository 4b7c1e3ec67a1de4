"""Time that passes as fast as the machine allows: hours of the daemon in milliseconds of a test.

The event loop's own time is virtual (the plugin looptime, mark `VIRTUAL`): it
stands still while anything can run, then jumps to the next timer. The clock
built on it is the program's own `SteadyClock`, with the system's two readings
replaced; the store's thread is replaced by `VirtualExecutor`.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

import pytest

from exporter.domain.model import SECOND_US
from exporter.runtime.clock import SteadyClock

VIRTUAL = pytest.mark.looptime(noop_cycles=0)
"""For tests in virtual time. Nothing they wait for comes from outside: no idle cycles are needed."""
EPOCH_US = 1_795_000_020 * SECOND_US
"""The wall clock as virtual time begins; a cohort begins there too."""
MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108 - only a parent: the folder in it has a random name

_P = ParamSpec("_P")
_T = TypeVar("_T")


def loop_clock(wall_error_us: Callable[[], int] = lambda: 0) -> SteadyClock:
    """The program's clock on the loop's time; `wall_error_us` is by how much the wall clock is wrong."""
    loop = asyncio.get_running_loop()

    def monotonic_ns() -> int:
        # By way of microseconds: a float that is one bit short of a second must not lose all of it.
        return round(loop.time() * SECOND_US) * 1_000

    def wall_ns() -> int:
        return (EPOCH_US + wall_error_us()) * 1_000 + monotonic_ns()

    return SteadyClock(wall_ns=wall_ns, monotonic_ns=monotonic_ns)


class VirtualExecutor(Executor):
    """One thread that is none: work is done when it is handed in, and known `seconds` of virtual time later.

    In between, as with a real thread, whoever waits for it can be cancelled, but the work can't.
    Meanwhile the loop takes it for a thread and lets real time pass too: keep `seconds` small.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        """Take `seconds` for each piece of work, one after the other."""
        self.seconds = seconds
        self._free_at = 0.0

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Do the work."""
        future: Future[_T] = Future()
        future.set_running_or_notify_cancel()
        try:
            finish = partial(future.set_result, fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - the future hands it on, whatever it is
            finish = partial(future.set_exception, error)
        if self.seconds:
            loop = asyncio.get_running_loop()
            self._free_at = max(self._free_at, loop.time()) + self.seconds
            loop.call_at(self._free_at, finish)
        else:
            finish()
        return future


@contextmanager
def quick_folder(fallback: Path) -> Iterator[Path]:
    """A folder in memory where there is one, else `fallback`.

    A sync to a disk costs milliseconds of real time, and an hour of virtual time has thousands of commits.
    """
    if not os.access(MEMORY_FOLDER, os.W_OK):
        yield fallback
        return
    with tempfile.TemporaryDirectory(prefix="smsbat-", dir=MEMORY_FOLDER) as folder:
        yield Path(folder)
