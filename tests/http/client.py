"""The other side of the listener: a client of pages, and bare connections that misbehave."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import ClientSession, web

from exporter.http import Listener, MetricsEndpoints
from exporter.metrics.exposition import Format, Rendering

BODY = Rendering((b"one 1.0\n", b"two 2.0\n"), Format.TEXT.value)
CANARY = "380501234567"


def fine() -> str:
    """No reason against it."""
    return ""


async def body(_accept: str, _accept_encoding: str) -> Rendering | None:
    """A scrape that is answered at once."""
    return BODY


SITE = MetricsEndpoints(body, fine, fine)


def open_descriptors() -> int:
    """How many files and sockets this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


@asynccontextmanager
async def serving(*routes: web.AbstractRouteDef) -> AsyncIterator[ClientSession]:
    """A client of a listener with these routes, on a port of its own."""
    async with (
        Listener(["127.0.0.1:0"], routes) as listener,
        ClientSession(f"http://{listener.addresses[0]}", auto_decompress=False) as client,
    ):
        yield client


@asynccontextmanager
async def connected(
    listener: Listener, buffer_bytes: int = 0
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A bare connection; with `buffer_bytes`, one that takes in little before it is read."""
    host, _, port = listener.addresses[0].rpartition(":")
    host = host or "127.0.0.1"
    sock = socket.socket()
    if buffer_bytes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    sock.settimeout(0)
    with sock:
        await asyncio.get_running_loop().sock_connect(sock, (host, int(port)))
        reader, writer = await asyncio.open_connection(sock=sock, limit=2**10)
        try:
            yield reader, writer
        finally:
            writer.close()


@asynccontextmanager
async def encrypted(
    listener: Listener, context: ssl.SSLContext
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection over TLS; raises OSError when it can't be had."""
    port = int(listener.addresses[0].rpartition(":")[2])
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname="localhost"
    )
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def read_until_the_end(reader: asyncio.StreamReader) -> bytes:
    """What comes before the connection is closed, or torn down."""
    received = b""
    try:
        while piece := await reader.read(2**16):
            received += piece
    except (ConnectionResetError, ssl.SSLError):
        pass
    return received


async def ask(listener: Listener, request: bytes) -> bytes:
    """The whole answer to a request that ends its connection."""
    async with connected(listener) as (reader, writer):
        writer.write(request)
        return await read_until_the_end(reader)
