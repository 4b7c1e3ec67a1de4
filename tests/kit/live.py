"""A daemon in the test's own process, and a provider on a real socket that answers as the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiohttp import web

from exporter.app import Daemon, Options
from exporter.config import load
from exporter.domain.model import Message
from exporter.runtime.clock import SteadyClock
from exporter.store.sqlite import SqliteStore
from tests.kit.daemon import Home
from tests.kit.scripted import status_body
from tests.kit.waiting import HANG_SECONDS, LOOK_EVERY_SECONDS
from tests.kit.web import Answer, ask


class Arrival(NamedTuple):
    """One request."""

    at_seconds: float
    """On the clock of the event loop, which a test may have in its hands."""
    message_id: str
    key: str


class LiveProvider:
    """Answers each request with `status` and, where that is 200, the word of `word`."""

    def __init__(self) -> None:
        """Everything is delivered."""
        self.word: Callable[[str], str] = lambda _: "delivered"
        self.status: Callable[[str], int] = lambda _: 200
        """The HTTP status by the key that came with a request."""
        self.arrivals: list[Arrival] = []
        self.url = ""

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """One request."""
        key, message_id = request.headers.get("X-Authorization-Key", ""), request.path.rsplit("/", 1)[1]
        self.arrivals.append(Arrival(asyncio.get_running_loop().time(), message_id, key))
        status = self.status(key)
        body = status_body(message_id, self.word(message_id)) if status == 200 else b"{}"
        return web.Response(status=status, body=body, content_type="application/json")


@asynccontextmanager
async def live_provider() -> AsyncIterator[LiveProvider]:
    """A provider on a free port."""
    provider = LiveProvider()
    runner = web.ServerRunner(web.Server(provider.answer, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        provider.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield provider
    finally:
        await runner.cleanup()


@asynccontextmanager
async def daemon_of(home: Home) -> AsyncIterator[Daemon]:
    """A daemon that is ready, and is stopped at the end."""
    stop, ready = asyncio.Event(), asyncio.Event()
    options = Options(home.config, ("127.0.0.1:0",), enable_lifecycle=True)
    daemon = Daemon(options, load(home.config, {}), {}, SteadyClock())
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(daemon.run(stop, lambda _: ready.set()))
        await ready.wait()
        try:
            yield daemon
        finally:
            stop.set()


async def asked(daemon: Daemon, path: str, method: str = "GET") -> Answer:
    """What the daemon answers."""
    return await asyncio.to_thread(ask, daemon.addresses[0], path, method=method)


async def come_true(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(HANG_SECONDS):
        while not condition():  # noqa: ASYNC110 - what a test waits for has no event of its own
            await asyncio.sleep(LOOK_EVERY_SECONDS)


def stored(home: Home, rows: int = 10_000) -> list[Message]:
    """The messages in the state of a daemon that has ended."""
    store = SqliteStore(home.folder / "state", now=0)
    try:
        return store.read(range(1, rows))
    finally:
        store.close()
