"""The addresses of the listener, its start and its stop."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack

import pytest
import uvloop
from aiohttp import ClientSession, web

from exporter.http import Listener, MetricsEndpoints, build_routes
from exporter.http.connections import MAX_CONNECTIONS
from exporter.metrics.exposition import Format, Rendering
from exporter.runtime.errors import ListenError
from tests.http.client import (
    ENDPOINTS,
    connect,
    count_descriptors,
    read_until_the_end,
    report_fine,
    send_request,
    serve,
)
from tests.kit.web import free_port


def has_ipv6_loopback() -> bool:
    """Containers often have no IPv6."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


async def test_all_addresses_are_served_on_their_reported_ports() -> None:
    """One address, all addresses of the machine, and IPv6 where available."""
    asked = ["127.0.0.1:0", ":0", *(["[::1]:0"] if has_ipv6_loopback() else [])]
    hosts = ["127.0.0.1", "", "[::1]"]
    async with Listener(asked, build_routes(ENDPOINTS)) as listener, ClientSession() as client:
        assert len(listener.addresses) == len(asked)
        for address, host in zip(listener.addresses, hosts, strict=False):
            shown, _, port = address.rpartition(":")
            assert (shown, port.isdigit(), port != "0") == (host, True, True)
            async with client.get(f"http://{host or '127.0.0.1'}:{port}/-/ready") as answer:
                assert answer.status == 200


async def test_a_busy_address_is_named_and_the_others_are_released() -> None:
    """All addresses or none; the hint says what to do."""
    port = free_port()
    async with Listener(["127.0.0.1:0"], []) as listener:
        (busy,) = listener.addresses
        with pytest.raises(ListenError) as refused:
            async with Listener([f"127.0.0.1:{port}", busy], []):
                pytest.fail("bound an address twice")
        assert refused.value.message == f"can't listen on {busy}: Address already in use"
        assert "--web.listen-address" in refused.value.hint
        async with Listener([f"127.0.0.1:{port}"], []) as again:
            assert again.addresses == (f"127.0.0.1:{port}",)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("10978", "'10978' is not an address"),
        ("127.0.0.1:99999", "'127.0.0.1:99999' is not an address"),
        ("192.0.2.1:0", "can't listen on 192.0.2.1:0: Cannot assign requested address"),
        (f"{'x' * 64}:0", f"can't listen on {'x' * 64}:0: the name does not resolve"),
    ],
)
async def test_an_address_that_can_not_be_bound_is_reported_in_one_sentence(
    address: str, message: str
) -> None:
    """With a hint, and without a traceback."""
    with pytest.raises(ListenError) as refused:
        async with Listener([address], []):
            pytest.fail("bound what can't be bound")
    assert refused.value.message == message
    assert refused.value.hint


async def test_stopping_lets_requests_finish_and_accepts_no_new_ones() -> None:
    """A request in progress gets its answer; new connections are refused by the system."""
    release, busy = asyncio.Event(), asyncio.Event()

    async def work(_request: web.Request) -> web.Response:
        busy.set()
        await release.wait()
        return web.Response(text="done")

    async with asyncio.TaskGroup() as together:
        async with AsyncExitStack() as running:
            listener = await running.enter_async_context(Listener(["127.0.0.1:0"], [web.get("/", work)]))
            request = b"GET / HTTP/1.1\r\nHost: e\r\nConnection: close\r\n\r\n"
            answer = together.create_task(send_request(listener, request))
            await busy.wait()
            asyncio.get_running_loop().call_soon(release.set)
        with pytest.raises(ConnectionRefusedError):
            await send_request(listener, request)
    assert answer.result().endswith(b"done")


@pytest.mark.looptime
async def test_stopping_does_not_wait_for_a_request_that_hangs() -> None:
    """After a few seconds its connection is aborted."""
    busy = asyncio.Event()

    async def hang(_request: web.Request) -> web.Response:
        busy.set()
        await asyncio.Event().wait()
        return web.Response()

    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as running:
        listener = await running.enter_async_context(Listener(["127.0.0.1:0"], [web.get("/", hang)]))
        reader, writer = await running.enter_async_context(connect(listener))
        writer.write(b"GET / HTTP/1.1\r\nHost: e\r\n\r\n")
        await busy.wait()
        began_at = loop.time()
    assert loop.time() - began_at < 5.0
    assert await read_until_the_end(reader) == b""


@pytest.mark.looptime
async def test_stopping_leaves_no_connection_behind() -> None:
    """Not even one whose client stopped reading in the middle of an answer."""

    async def scrape(_accept: str, _accept_encoding: str) -> Rendering:
        return Rendering((bytes(20 * 2**20),), Format.TEXT.value)

    open_before = count_descriptors()
    async with AsyncExitStack() as client:
        async with Listener(
            ["127.0.0.1:0"], build_routes(MetricsEndpoints(scrape, report_fine, report_fine))
        ) as listener:
            reader, writer = await client.enter_async_context(connect(listener, buffer_bytes=4096))
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: e\r\n\r\n")
            assert await reader.read(1) == b"H"
            began_at = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - began_at < 5.0
        await asyncio.sleep(0)  # the event loop closes aborted connections in its next round
        assert count_descriptors() == open_before + 1


def test_it_works_the_same_on_uvloop() -> None:
    """The daemon runs on it, where available."""

    async def exercise() -> None:
        async with serve(*build_routes(ENDPOINTS)) as client:
            async with client.get("/metrics") as answer:
                assert (answer.status, await answer.read()) == (200, b"one 1.0\ntwo 2.0\n")
            async with client.head("/metrics") as answer:
                assert answer.headers["Content-Length"] == "16"
        async with Listener([":0"], build_routes(ENDPOINTS)) as listener, AsyncExitStack() as waiting:
            for _ in range(MAX_CONNECTIONS):
                await waiting.enter_async_context(connect(listener))
            answer_bytes = await send_request(listener, b"GARBAGE\r\n\r\n")
            assert answer_bytes.endswith(b"Bad Request\n")

    uvloop.run(exercise())
