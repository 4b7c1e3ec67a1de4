"""Looking up a message while the store hangs: nobody waits for long, and nothing else waits at all."""

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
from exporter.http import pages
from exporter.metrics.instruments import Instruments
from exporter.runtime.clock import SteadyClock
from exporter.status.builder import ProcessState, StatusBuilder
from exporter.status.lookup import MAX_WAITING, Lookups
from exporter.status.page import Pages
from exporter.store.sqlite import SqliteStore
from tests.engine.settings import settings_of
from tests.http.client import SITE, fine, serving
from tests.kit.waiting import HANG_SECONDS


class Rig:
    """A tracker with one message, and its store's only thread."""

    def __init__(self, folder: Path, thread: ThreadPoolExecutor) -> None:
        """Nothing is read yet."""
        self.clock = SteadyClock()
        self.thread = thread
        self.instruments = Instruments()
        self.store = SqliteStore(folder, now=self.clock.now())
        self.tracker = Tracker(self.store, thread, settings_of(), self.clock, self.instruments)
        self.lookups = Lookups(self.tracker, self.store, self.clock)
        self.released = Event()

    def hang(self) -> None:
        """Let the store's thread do nothing until `released`."""
        self.thread.submit(self.released.wait)


@asynccontextmanager
async def rig(folder: Path) -> AsyncIterator[Rig]:
    """One that runs."""
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
                    # What has begun in the store is waited for, whoever is cancelled.
                    made.released.set()
                    running.cancel()
        finally:
            made.store.close()


async def test_who_asks_while_the_store_hangs_is_told_so(tmp_path: Path) -> None:
    """All that may wait, and at once whoever is one too many; afterwards it answers again."""
    async with rig(tmp_path) as one:
        one.hang()
        async with asyncio.TaskGroup() as together:
            asking = [together.create_task(one.lookups.look_up("known")) for _ in range(MAX_WAITING + 5)]
        assert {task.result() for task in asking} == {None}
        one.released.set()
        async with asyncio.timeout(HANG_SECONDS):
            while (found := await one.lookups.look_up("known")) is None:
                pass
        assert [message.campaign for message in found.messages] == ["otp"]


async def test_metrics_and_the_page_do_not_wait_for_the_store(tmp_path: Path) -> None:
    """They are answered while lookups wait, for those two seconds in which they do."""
    async with asyncio.timeout(HANG_SECONDS):
        # A machine that is busy enough can be later than that, now and then.
        for attempt in itertools.count():
            if await answered_before_lookups(tmp_path / f"{attempt}"):
                return


async def answered_before_lookups(folder: Path) -> bool:
    """Look messages up while the store hangs, and ask for the rest; whether that was there first."""
    async with rig(folder) as one:
        surroundings = ProcessState(fine, fine, tuple)
        with ThreadPoolExecutor(1) as thread:
            watch = StatusBuilder(one.tracker, one.clock, one.instruments, surroundings, thread)
            routes = [*pages(SITE), *Pages(watch, one.lookups, thread).routes()]
            async with serving(*routes) as client, asyncio.TaskGroup() as together:
                one.hang()
                asking = [together.create_task(client.get("/api/v1/messages/known")) for _ in range(3)]
                for path in ("/metrics", "/", "/api/v1/status"):
                    async with client.get(path) as answer:
                        assert answer.status == 200
                first = not any(task.done() for task in asking)
                answers = [await task for task in asking]
                assert {(a.status, a.headers["Retry-After"]) for a in answers} == {(503, "2")}
                assert await answers[0].json() == {"error": "busy"}
                one.released.set()
                return first
