"""The other side of the listener: an HTTP client, and bare connections that misbehave."""

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


def report_fine() -> str:
    """No reason against it."""
    return ""


async def scrape_body(_accept: str, _accept_encoding: str) -> Rendering | None:
    """Answer a scrape at once."""
    return BODY


ENDPOINTS = MetricsEndpoints(scrape_body, report_fine, report_fine)


def count_descriptors() -> int:
    """How many files and sockets this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


@asynccontextmanager
async def serve(*routes: web.AbstractRouteDef) -> AsyncIterator[ClientSession]:
    """A client of a listener with these routes, on a port of its own."""
    async with (
        Listener(["127.0.0.1:0"], routes) as listener,
        ClientSession(f"http://{listener.addresses[0]}", auto_decompress=False) as client,
    ):
        yield client


@asynccontextmanager
async def connect(
    listener: Listener, buffer_bytes: int = 0
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A bare connection; with `buffer_bytes`, one with a small receive buffer."""
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
async def connect_tls(
    listener: Listener, context: ssl.SSLContext
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection over TLS; raises OSError when it is refused."""
    port = int(listener.addresses[0].rpartition(":")[2])
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname="localhost"
    )
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def read_until_the_end(reader: asyncio.StreamReader) -> bytes:
    """What arrives before the connection is closed or aborted."""
    received = b""
    try:
        while piece := await reader.read(2**16):
            received += piece
    except (ConnectionResetError, ssl.SSLError):
        pass
    return received


async def send_request(listener: Listener, request: bytes) -> bytes:
    """Send a request that closes its connection; returns the whole answer."""
    async with connect(listener) as (reader, writer):
        writer.write(request)
        return await read_until_the_end(reader)
