"""Limits on the number of connections and on their time."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from aiohttp import web

from exporter.http import Listener, MetricsEndpoints, build_routes
from exporter.http.connections import ARRIVE_SECONDS, HANDLE_SECONDS, IDLE_SECONDS, MAX_CONNECTIONS
from exporter.metrics.exposition import Format, Rendering
from tests.http.client import ENDPOINTS, connect, read_until_the_end, report_fine, send_request


@pytest.mark.looptime
async def test_a_connection_that_only_waits_makes_room_for_a_new_one() -> None:
    """The one that waits longest is closed: half-sent requests do not block a scraper."""
    async with Listener(["127.0.0.1:0"], build_routes(ENDPOINTS)) as listener, AsyncExitStack() as waiting:
        connections = [await waiting.enter_async_context(connect(listener)) for _ in range(MAX_CONNECTIONS)]
        for _, writer in connections:
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: ")
        answer = await send_request(
            listener, b"GET /-/ready HTTP/1.1\r\nHost: e\r\nConnection: close\r\n\r\n"
        )
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert await read_until_the_end(connections[0][0]) == b""
        reader, writer = connections[-1]
        writer.write(b"e\r\nConnection: close\r\n\r\n")
        assert (await read_until_the_end(reader)).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.looptime
async def test_one_connection_too_many_gets_503_while_all_others_work() -> None:
    """At once, and the others continue; there is room again when they are done."""
    release, busy = asyncio.Event(), asyncio.Semaphore(0)

    async def work(_request: web.Request) -> web.Response:
        busy.release()
        await release.wait()
        return web.Response(text="done")

    request = b"GET / HTTP/1.1\r\nHost: e\r\nConnection: close\r\n\r\n"
    async with Listener(["127.0.0.1:0"], [web.get("/", work)]) as listener:
        async with asyncio.TaskGroup() as together:
            working = [together.create_task(send_request(listener, request)) for _ in range(MAX_CONNECTIONS)]
            for _ in range(MAX_CONNECTIONS):
                await busy.acquire()
            async with connect(listener) as (reader, _):
                refused = await read_until_the_end(reader)
            release.set()
        assert refused.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert refused.endswith(b"\r\n\r\ntoo many connections\n")
        assert all(task.result().endswith(b"done") for task in working)
        assert (await send_request(listener, request)).endswith(b"done")


async def send_slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, begin: bytes) -> None:
    """Send `begin`, then a little more every second, until the connection is closed."""
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


async def await_body(request: web.Request) -> web.Response:
    """Wait for the whole body."""
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
async def test_a_slow_request_is_aborted(begin: bytes, limit_seconds: float) -> None:
    """However steadily it sends: time counts from its first byte, and for a body from the end of its head."""
    loop = asyncio.get_running_loop()
    async with (
        Listener(["127.0.0.1:0"], [*build_routes(ENDPOINTS), web.post("/", await_body)]) as listener,
        connect(listener) as (reader, writer),
    ):
        began_at = loop.time()
        await send_slowly(reader, writer, begin)
        assert loop.time() - began_at == pytest.approx(limit_seconds, abs=2.0)


@pytest.mark.looptime
async def test_an_idle_connection_is_closed() -> None:
    """A new one and a used one: when keep-alive is over."""
    loop = asyncio.get_running_loop()
    async with Listener(["127.0.0.1:0"], build_routes(ENDPOINTS)) as listener:
        for request in (b"", b"GET /-/ready HTTP/1.1\r\nHost: e\r\n\r\n"):
            async with connect(listener) as (reader, writer):
                began_at = loop.time()
                writer.write(request)
                answer = await read_until_the_end(reader)
                assert answer.startswith(b"HTTP/1.1 200 OK" if request else b"")
                assert loop.time() - began_at == pytest.approx(IDLE_SECONDS, abs=1.0)


@pytest.mark.looptime
async def test_a_client_that_does_not_read_is_aborted() -> None:
    """It would keep an old rendering in memory, and prevent the listener from stopping."""
    size_bytes = 20 * 2**20

    async def scrape(_accept: str, _accept_encoding: str) -> Rendering:
        return Rendering((bytes(size_bytes),), Format.TEXT.value)

    async with (
        Listener(
            ["127.0.0.1:0"], build_routes(MetricsEndpoints(scrape, report_fine, report_fine))
        ) as listener,
        connect(listener, buffer_bytes=4096) as (reader, writer),
    ):
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: e\r\n\r\n")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(HANDLE_SECONDS + 1.0):
                await asyncio.Event().wait()
        assert len(await read_until_the_end(reader)) < size_bytes
