"""What runs until a signal ends it, on an event loop of its own."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable

import uvloop

from exporter.runtime import log
from exporter.runtime.errors import ExporterError
from exporter.runtime.startup import check_environment

THREAD_TURN_SECONDS = 0.001
"""How long a thread may keep the interpreter while another waits for it."""


def run_until_stopped(
    arguments: argparse.Namespace,
    work: Callable[[asyncio.Event, log.LogHandle], Awaitable[None]],
) -> int:
    """Run `work` on a fast loop until SIGTERM or SIGINT; the second of them ends the process at once."""
    # The event loop shares the interpreter with the threads of the store, the files and the rendering. While
    # a large file comes in, a scrape waits for several of their turns: half as long as with the usual 5 ms.
    sys.setswitchinterval(THREAD_TURN_SECONDS)
    check_environment()
    handle = log.start_logging(arguments.log_level, arguments.log_format, sys.stderr)

    async def main() -> None:
        stop = asyncio.Event()

        def stopping() -> None:
            if stop.is_set():
                signal.raise_signal(signal.SIGKILL)
            stop.set()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping)
        await work(stop, handle)

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())
    except BaseExceptionGroup as group:
        raise _cause(group) from None
    finally:
        handle.close()
    return 0


def _cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that ended the loops: one of ours if there is one, else the first."""
    leaves: list[BaseException] = []
    pending: list[BaseException] = [group]
    while pending:
        error = pending.pop()
        if isinstance(error, BaseExceptionGroup):
            pending.extend(error.exceptions)
        else:
            leaves.append(error)
    return next((leaf for leaf in leaves if isinstance(leaf, ExporterError)), leaves[-1])
