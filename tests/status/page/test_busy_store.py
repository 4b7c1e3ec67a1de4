"""Looking up a message while the store hangs: no client waits long, and nothing else waits at all."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Event

from exporter.domain.model import NewMessage, Source
from exporter.engine.tracker import Tracker
from exporter.http import build_routes
from exporter.metrics.instruments import Instruments
from exporter.runtime.clock import SteadyClock
from exporter.status.builder import ProcessState, StatusBuilder
from exporter.status.message import MAX_WAITING, Lookups
from exporter.status.page import Pages
from exporter.store.sqlite import SqliteStore
from tests.engine.settings import make_settings
from tests.http.client import ENDPOINTS, report_fine, serve
from tests.kit.waiting import HANG_SECONDS


class Rig:
    """A tracker with one message, and its store's only thread."""

    def __init__(self, folder: Path, thread: ThreadPoolExecutor) -> None:
        self.clock = SteadyClock()
        self.thread = thread
        self.instruments = Instruments()
        self.store = SqliteStore(folder, now=self.clock.now())
        self.tracker = Tracker(self.store, thread, make_settings(), self.clock, self.instruments)
        self.lookups = Lookups(self.tracker, self.store, self.clock)
        self.released = Event()

    def hang(self) -> None:
        """Block the store's thread until `released`."""
        self.thread.submit(self.released.wait)


@asynccontextmanager
async def run_rig(folder: Path) -> AsyncIterator[Rig]:
    """A rig that runs."""
    with ThreadPoolExecutor(1) as thread:
        made = Rig(folder, thread)
        try:
            await made.tracker.start()
            await made.tracker.track([NewMessage("known", "otp", "main")], Source.DROP)
            async with asyncio.TaskGroup() as tasks:
                running = tasks.create_task(made.lookups.run())
                try:
                    yield made
                finally:
                    # A call of the store that has begun is waited for, even when its task is cancelled.
                    made.released.set()
                    running.cancel()
        finally:
            made.store.close()


async def test_lookups_while_the_store_hangs_return_nothing_soon(tmp_path: Path) -> None:
    """After a short wait, or at once when too many wait; afterwards it answers again."""
    async with run_rig(tmp_path) as one:
        one.hang()
        async with asyncio.TaskGroup() as together:
            lookups = [together.create_task(one.lookups.look_up("known")) for _ in range(MAX_WAITING + 5)]
        assert {task.result() for task in lookups} == {None}
        one.released.set()
        async with asyncio.timeout(HANG_SECONDS):
            while (found := await one.lookups.look_up("known")) is None:
                pass
        assert [message.campaign for message in found.messages] == ["otp"]


async def test_metrics_and_the_page_do_not_wait_for_the_store(tmp_path: Path) -> None:
    """They are answered while lookups wait, within the two seconds that those have."""
    async with asyncio.timeout(HANG_SECONDS):
        # On a busy machine that may take longer, now and then.
        for attempt in itertools.count():
            if await answer_before_lookups(tmp_path / f"{attempt}"):
                return


async def answer_before_lookups(folder: Path) -> bool:
    """Look up messages while the store hangs, and get the rest; returns whether the rest was first."""
    async with run_rig(folder) as one:
        process = ProcessState(report_fine, report_fine, tuple)
        with ThreadPoolExecutor(1) as thread:
            status_builder = StatusBuilder(one.tracker, one.clock, one.instruments, process, thread)
            routes = [*build_routes(ENDPOINTS), *Pages(status_builder, one.lookups, thread).routes()]
            async with serve(*routes) as client, asyncio.TaskGroup() as together:
                one.hang()
                lookups = [together.create_task(client.get("/api/v1/messages/known")) for _ in range(3)]
                for path in ("/metrics", "/", "/api/v1/status"):
                    async with client.get(path) as answer:
                        assert answer.status == 200
                first = not any(task.done() for task in lookups)
                answers = [await task for task in lookups]
                assert {(a.status, a.headers["Retry-After"]) for a in answers} == {(503, "2")}
                assert await answers[0].json() == {"error": "busy"}
                one.released.set()
                return first
