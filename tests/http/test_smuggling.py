"""Requests that a proxy and this server could split differently are refused; none can hide in them."""

from __future__ import annotations

import re

import pytest
from aiohttp import web

from exporter.http import Listener
from tests.http.client import send_request

HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: e\r\n\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(HIDDEN)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNK = b"%x\r\n%b\r\n" % (len(HIDDEN), HIDDEN)
AMBIGUOUS = {
    # Two lengths.
    "length and chunks": LENGTH + CHUNKED + b"\r\n0\r\n\r\n" + HIDDEN,
    "chunks and length": CHUNKED + LENGTH + b"\r\n0\r\n\r\n" + HIDDEN,
    "two lengths": b"Content-Length: 0\r\n" + LENGTH + b"\r\n" + HIDDEN,
    "two equal lengths": b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n" + HIDDEN,
    "a list of lengths": b"Content-Length: 0, 0\r\n\r\n" + HIDDEN,
    # A length that is read in more than one way.
    "a signed length": b"Content-Length: +0\r\n\r\n" + HIDDEN,
    "a negative length": b"Content-Length: -1\r\n\r\n" + HIDDEN,
    "a hexadecimal length": b"Content-Length: 0x0\r\n\r\n" + HIDDEN,
    "a length with an underscore": b"Content-Length: 0_0\r\n\r\n" + HIDDEN,
    "a length with a space": b"Content-Length: 0 0\r\n\r\n" + HIDDEN,
    "an empty length": b"Content-Length: \r\n\r\n" + HIDDEN,
    "a length beyond 64 bits": b"Content-Length: 18446744073709551616\r\n\r\n" + HIDDEN,
    "a length in other digits": "Content-Length: \u0660\r\n\r\n".encode() + HIDDEN,
    # Names that one side knows, and the other doesn't.
    "a space before the colon": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "a space before the name": b" Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "a tab before the colon": b"Content-Length\t: 0\r\n\r\n" + HIDDEN,
    "a folded line": b"X: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "a zero byte in a value": b"X: y\0Transfer-Encoding: chunked\r\n\r\n" + HIDDEN,
    "a line end alone in a value": b"X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "a carriage return in a value": b"X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "no colon": b"Transfer-Encoding chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    # Encodings that are not just chunked.
    "chunked twice": b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "chunked on two lines": CHUNKED + CHUNKED + b"\r\n0\r\n\r\n" + HIDDEN,
    "chunked, then identity": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + HIDDEN,
    "an unknown encoding": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "chunked with a vertical tab": b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "chunked in quotes": b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n' + HIDDEN,
    # Chunks that one side ends before the other.
    "a chunk size with a sign": CHUNKED + b"\r\n+0\r\n\r\n" + HIDDEN,
    "a chunk size with a prefix": CHUNKED + b"\r\n0x0\r\n\r\n" + HIDDEN,
    "a chunk size with an underscore": CHUNKED + b"\r\n0_0\r\n\r\n" + HIDDEN,
    "no chunk size": CHUNKED + b"\r\n\r\n\r\n" + HIDDEN,
    "a chunk size of other letters": CHUNKED + b"\r\ng\r\n\r\n" + HIDDEN,
    "a chunk size beyond 64 bits": CHUNKED + b"\r\n10000000000000000\r\n\r\n" + HIDDEN,
    "a chunk longer than its size": CHUNKED + b"\r\n1\r\nab\r\n0\r\n\r\n" + HIDDEN,
    "a line end alone after a chunk size": CHUNKED + b"\r\n0\n\n" + HIDDEN,
    "a line end alone in an extension": CHUNKED + b"\r\n0;a\nb\r\n\r\n" + HIDDEN,
    "a space after a chunk size": CHUNKED + b"\r\n0 \r\n\r\n" + HIDDEN,
}


async def send_hiding(head: bytes, rest: bytes) -> tuple[bytes, bool]:
    """Send a request that hides another; returns the answer, and whether the hidden one was handled."""
    found = False

    async def hidden(_request: web.Request) -> web.Response:
        nonlocal found
        found = True
        return web.Response(text="hidden")

    async def read(request: web.Request) -> web.Response:
        return web.Response(text=str(len(await request.read())))

    routes = [web.get("/hidden", hidden), web.post("/", read)]
    async with Listener(["127.0.0.1:0"], routes) as listener:
        return await send_request(listener, head + rest), found


@pytest.mark.looptime
@pytest.mark.parametrize("rest", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
async def test_an_ambiguous_request_hides_no_other(rest: bytes) -> None:
    """400, and the connection is closed: what follows is never a request."""
    answer, found = await send_hiding(b"POST / HTTP/1.1\r\nHost: e\r\n", rest)
    assert not found
    assert [status[:3] for status in re.split(rb"HTTP/1\.[01] ", answer)] == [b"", b"400"]


@pytest.mark.looptime
@pytest.mark.parametrize(
    "line",
    [
        b"POST / HTTP/1.0\r\nHost: e\r\n",
        b"POST / HTTP/2.0\r\nHost: e\r\n",
        b"POST / HTTP/1.10\r\nHost: e\r\n",
    ],
)
async def test_chunks_in_another_version_hide_no_request(line: bytes) -> None:
    """HTTP/1.0 has no chunks: a server that reads them as a body disagrees with one that does not."""
    _, found = await send_hiding(line, CHUNKED + b"\r\n0\r\n\r\n" + HIDDEN)
    assert not found


@pytest.mark.looptime
@pytest.mark.parametrize("rest", [LENGTH + b"\r\n" + HIDDEN, CHUNKED + b"\r\n" + CHUNK + b"0\r\n\r\n"])
async def test_an_unambiguous_body_is_a_body(rest: bytes) -> None:
    """The same bytes with unambiguous framing are read as a body, and not as a request."""
    answer, found = await send_hiding(b"POST / HTTP/1.1\r\nHost: e\r\nConnection: close\r\n", rest)
    assert not found
    assert answer.endswith(str(len(HIDDEN)).encode())
