"""How many connections there may be, how long each may take, and what one may hold."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from aiohttp import web

from exporter.http import Listener, MetricsEndpoints, pages
from exporter.http.connections import ARRIVE_SECONDS, HANDLE_SECONDS, IDLE_SECONDS, MAX_CONNECTIONS
from exporter.metrics.exposition import Format, Rendering
from tests.http.client import SITE, ask, connected, fine, read_until_the_end


@pytest.mark.looptime
async def test_a_connection_that_only_waits_makes_room_for_a_new_one() -> None:
    """The one that waits longest goes first: half-open requests keep no scraper out."""
    async with Listener(["127.0.0.1:0"], pages(SITE)) as listener, AsyncExitStack() as waiting:
        connections = [await waiting.enter_async_context(connected(listener)) for _ in range(MAX_CONNECTIONS)]
        for _, writer in connections:
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: ")
        answer = await ask(listener, b"GET /-/ready HTTP/1.1\r\nHost: e\r\nConnection: close\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert await read_until_the_end(connections[0][0]) == b""
        reader, writer = connections[-1]
        writer.write(b"e\r\nConnection: close\r\n\r\n")
        assert (await read_until_the_end(reader)).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.looptime
async def test_one_connection_too_many_is_told_so_when_all_work() -> None:
    """503 at once, and what works goes on; there is room again when it is done."""
    release, busy = asyncio.Event(), asyncio.Semaphore(0)

    async def work(_request: web.Request) -> web.Response:
        busy.release()
        await release.wait()
        return web.Response(text="done")

    request = b"GET / HTTP/1.1\r\nHost: e\r\nConnection: close\r\n\r\n"
    async with Listener(["127.0.0.1:0"], [web.get("/", work)]) as listener:
        async with asyncio.TaskGroup() as together:
            working = [together.create_task(ask(listener, request)) for _ in range(MAX_CONNECTIONS)]
            for _ in range(MAX_CONNECTIONS):
                await busy.acquire()
            async with connected(listener) as (reader, _):
                refused = await read_until_the_end(reader)
            release.set()
        assert refused.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert refused.endswith(b"\r\n\r\ntoo many connections\n")
        assert all(task.result().endswith(b"done") for task in working)
        assert (await ask(listener, request)).endswith(b"done")


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, begin: bytes) -> None:
    """Send `begin`, then a little more every second, until the connection is cut."""
    writer.write(begin)
    while True:
        try:
            async with asyncio.timeout(1.0):
                assert await reader.read(1) == b""
        except TimeoutError:
            writer.write(b"X: y\r\n")
        except ConnectionError:
            return
        else:
            return


async def read_body(request: web.Request) -> web.Response:
    """A handler that waits for all of the body."""
    await request.read()
    return web.Response()


@pytest.mark.looptime
@pytest.mark.parametrize(
    ("begin", "limit_seconds"),
    [
        (b"GET /metrics HTTP/1.1\r\n", ARRIVE_SECONDS),
        (b"POST / HTTP/1.1\r\nHost: e\r\nContent-Length: 1000\r\n\r\n", HANDLE_SECONDS),
    ],
    ids=["head", "body"],
)
async def test_a_request_that_drips_is_cut(begin: bytes, limit_seconds: float) -> None:
    """However steadily: the time counts from its first byte, and a body's from the end of its head."""
    loop = asyncio.get_running_loop()
    async with (
        Listener(["127.0.0.1:0"], [*pages(SITE), web.post("/", read_body)]) as listener,
        connected(listener) as (reader, writer),
    ):
        began_at = loop.time()
        await drip(reader, writer, begin)
        assert loop.time() - began_at == pytest.approx(limit_seconds, abs=2.0)


@pytest.mark.looptime
async def test_a_connection_without_a_request_ends() -> None:
    """A new one as well as one that was used: when keep-alive is over."""
    loop = asyncio.get_running_loop()
    async with Listener(["127.0.0.1:0"], pages(SITE)) as listener:
        for request in (b"", b"GET /-/ready HTTP/1.1\r\nHost: e\r\n\r\n"):
            async with connected(listener) as (reader, writer):
                began_at = loop.time()
                writer.write(request)
                answer = await read_until_the_end(reader)
                assert answer.startswith(b"HTTP/1.1 200 OK" if request else b"")
                assert loop.time() - began_at == pytest.approx(IDLE_SECONDS, abs=1.0)


@pytest.mark.looptime
async def test_a_reader_that_does_not_read_is_cut() -> None:
    """It would hold on to an old rendering, and keep the listener from stopping."""
    size_bytes = 20 * 2**20

    async def scrape(_accept: str, _accept_encoding: str) -> Rendering:
        return Rendering((bytes(size_bytes),), Format.TEXT.value)

    async with (
        Listener(["127.0.0.1:0"], pages(MetricsEndpoints(scrape, fine, fine))) as listener,
        connected(listener, buffer_bytes=4096) as (reader, writer),
    ):
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: e\r\n\r\n")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(HANDLE_SECONDS + 1.0):
                await asyncio.Event().wait()
        assert len(await read_until_the_end(reader)) < size_bytes
