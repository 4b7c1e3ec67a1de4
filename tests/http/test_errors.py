"""Error answers are short, and repeat nothing of the request."""

from __future__ import annotations

import asyncio
import gzip
import logging
import re

import pytest
from aiohttp import web

from exporter.http import Listener, build_routes
from tests.http.client import CANARY, ENDPOINTS, connect, send_request, serve


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", f"/{CANARY}?to={CANARY}", 404, "Not Found\n"),
        ("POST", f"/metrics?to={CANARY}", 405, "Method Not Allowed\n"),
        ("DELETE", f"/{CANARY}", 404, "Not Found\n"),
    ],
)
async def test_errors_are_short_and_repeat_nothing(method: str, path: str, status: int, text: str) -> None:
    """Plain text that names the program, but no versions."""
    async with serve(*build_routes(ENDPOINTS)) as client, client.request(method, path) as answer:
        assert (answer.status, await answer.text()) == (status, text)
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert answer.headers["Server"] == "smsbat-exporter"
        assert CANARY not in str(answer.headers)


@pytest.mark.parametrize(
    "request_bytes",
    [
        f"{CANARY} / HTTP/1.1\r\n\r\n",
        f"G({CANARY}) / HTTP/1.1\r\n\r\n",
        f"GET / HTTP/{CANARY}\r\n\r\n",
        f"GET /{CANARY} \r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: e\r\n{CANARY}\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: e\r\nContent-Length: {CANARY}x\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: e\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n{CANARY}",
        f"GET /{CANARY}{'x' * 5000} HTTP/1.1\r\nHost: e\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: e\r\nX-Number: {CANARY}{'x' * 5000}\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: e\r\n" + f"X: {CANARY}\r\n" * 70 + "\r\n",
    ],
)
async def test_an_unreadable_request_is_refused_and_not_repeated(
    request_bytes: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither in the answer nor in the log; and the connection is closed."""
    caplog.set_level(logging.DEBUG)
    async with Listener(["127.0.0.1:0"], build_routes(ENDPOINTS)) as listener:
        answer = await send_request(listener, request_bytes.encode())
    assert re.fullmatch(rb"HTTP/1\.[01] 400 Bad Request\r\n(?:[^\r]+\r\n)+\r\nBad Request\n", answer)
    assert b"\r\nServer: smsbat-exporter\r\n" in answer
    assert CANARY.encode() not in answer
    assert CANARY not in caplog.text


async def test_a_failing_handler_is_logged_and_answers_500(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With the phrase only; one line in the log names the exception."""

    async def broken(_request: web.Request) -> web.Response:
        raise LookupError(CANARY)

    async with serve(web.get("/", broken)) as client, client.get("/") as answer:
        assert (answer.status, await answer.text()) == (500, "Internal Server Error\n")
    (record,) = caplog.records
    assert (record.name, record.message) == ("smsbat.http", "A request failed")
    assert record.exc_info is not None
    assert record.exc_info[0] is LookupError


async def test_a_body_that_is_too_large_is_refused() -> None:
    """Where a handler reads it whole; one that streams it has a limit of its own."""

    async def read(request: web.Request) -> web.Response:
        return web.Response(text=str(len(await request.read())))

    async with serve(web.post("/", read)) as client:
        async with client.post("/", data=bytes(64 * 1024)) as answer:
            assert (answer.status, await answer.text()) == (200, "65536")
        async with client.post("/", data=bytes(64 * 1024 + 1)) as answer:
            assert (answer.status, await answer.text()) == (413, "Request Entity Too Large\n")


async def test_a_compressed_body_is_not_decompressed() -> None:
    """A handler may refuse it; a bomb is never inflated."""

    async def measure(request: web.Request) -> web.Response:
        return web.Response(text=str(len(await request.read())))

    bomb = gzip.compress(bytes(2**20))
    async with serve(web.post("/", measure)) as client:
        headers = {"Content-Encoding": "gzip"}
        async with client.post("/", data=bomb, headers=headers) as answer:
            assert (answer.status, await answer.text()) == (200, str(len(bomb)))


async def test_a_client_that_disconnects_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    """A scraper that gives up before its answer leaves no line in the log."""
    asked = asyncio.Event()

    async def streamed(request: web.Request) -> web.StreamResponse:
        asked.set()
        while True:
            if request.transport is None:
                break
            await asyncio.sleep(0)
        response = web.StreamResponse()
        await response.prepare(request)
        return response

    async with (
        Listener(["127.0.0.1:0"], [web.get("/", streamed)]) as listener,
        connect(listener) as (_, writer),
    ):
        writer.write(b"GET / HTTP/1.1\r\nHost: e\r\n\r\n")
        await asked.wait()
        writer.transport.abort()
    assert not caplog.records
