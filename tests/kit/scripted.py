"""A provider that does what its script says: real sockets, one script for each request.

It answers late, in drips, in garbage, endlessly or not at all, resets and
closes connections, and notes each request, so that what a client may send is
asserted where it arrives. The last script holds for all further
requests.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import ssl
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from types import TracebackType
from typing import Self

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class End(Enum):
    """What the provider does once a script's pieces are out."""

    KEEP = auto()
    """Wait for the next request on the same connection."""
    CLOSE = auto()
    RESET = auto()
    HANG = auto()
    """Say no more, until the client closes."""
    REPEAT = auto()
    """Send the last piece again and again, until the client closes."""


@dataclass(frozen=True, slots=True)
class Script:
    """What one request gets."""

    pieces: Sequence[bytes] = ()
    """Bytes as they go over the wire, one write each."""
    end: End = End.KEEP
    gap_seconds: float = 0.0
    """Pause before each piece but the first."""
    after: asyncio.Event | None = None
    """Say nothing before this is set."""


@dataclass(frozen=True, slots=True)
class Received:
    """One request, as it arrived."""

    connection: int
    """Counts connections from 1."""
    method: str
    target: str
    headers: dict[str, str]
    """By lower-case name."""


def status_body(message_id: str, status: str = "delivered", **members: object) -> bytes:
    """The body of a well-formed answer."""
    return json.dumps({"messageId": message_id, "deliverystatus": status, **members}).encode()


def response(
    status: int = 200,
    body: bytes = b"",
    *,
    headers: Sequence[tuple[str, str]] = (("Content-Type", "application/json"),),
    length: int | None = None,
    reason: str = "Whatever",
) -> bytes:
    """A response's bytes; `length` is what it says of its body, where that isn't the truth."""
    lines = [f"HTTP/1.1 {status} {reason}", f"Content-Length: {len(body) if length is None else length}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def answer(
    status: int = 200,
    body: bytes = b"",
    *,
    headers: Sequence[tuple[str, str]] = (("Content-Type", "application/json"),),
    end: End = End.KEEP,
) -> Script:
    """Answer in one piece."""
    return Script((response(status, body, headers=headers),), end)


class ScriptedProvider:
    """The listener; scripts are taken in the order in which requests arrive, over all connections."""

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None) -> None:
        """Follow `scripts`, of which there is at least one."""
        self._scripts = itertools.chain(scripts, itertools.repeat(scripts[-1]))
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._arrival = asyncio.Condition()
        self._departure = asyncio.Condition()
        self.received: list[Received] = []
        self.connections = 0
        """Connections accepted so far; with TLS, handshakes completed."""
        self.closed_by_client = asyncio.Event()
        """Set when a client ended a connection that the script had left open."""

    @property
    def port(self) -> int:
        """The port that was free."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """The base URL, by address; over TLS a test wants a name instead."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def targets(self) -> list[str]:
        """What was asked for, in order."""
        return [request.target for request in self.received]

    async def until_received(self, count: int) -> None:
        """Wait until that many requests have arrived."""
        async with self._arrival:
            await self._arrival.wait_for(lambda: len(self.received) >= count)

    async def __aenter__(self) -> Self:
        """Listen on a free port of the loopback interface."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop listening and drop what is still open."""
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        async with self._departure:
            await self._departure.wait_for(lambda: not self._writers)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = self.connections
        self._writers.add(writer)
        try:
            while (head := await _head(reader)) is not None:
                await self._note(connection, head)
                script = next(self._scripts)
                await self._follow(script, reader, writer)
                if script.end is not End.KEEP:
                    return
            self.closed_by_client.set()
        except ConnectionError:
            self.closed_by_client.set()
        finally:
            writer.close()
            async with self._departure:
                self._writers.discard(writer)
                self._departure.notify_all()

    async def _note(self, connection: int, head: bytes) -> None:
        request_line, *lines = head.decode("latin-1").rstrip().split("\r\n")
        method, target, _ = request_line.split(" ", 2)
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        async with self._arrival:
            self.received.append(Received(connection, method, target, headers))
            self._arrival.notify_all()

    async def _follow(
        self, script: Script, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if script.after is not None:
            await script.after.wait()
        for number, piece in enumerate(script.pieces):
            if number and script.gap_seconds:
                await asyncio.sleep(script.gap_seconds)
            await _write(writer, piece)
        if script.end is End.RESET:
            connection: socket.socket = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            writer.transport.abort()
        elif script.end is End.REPEAT:
            while True:
                await _write(writer, script.pieces[-1])
        elif script.end is End.HANG:
            await reader.read()
            self.closed_by_client.set()


async def _write(writer: asyncio.StreamWriter, piece: bytes) -> None:
    """Write, or raise ConnectionError; uvloop has another error for a client that has long gone."""
    if writer.is_closing():
        raise ConnectionResetError
    writer.write(piece)
    await writer.drain()


async def _head(reader: asyncio.StreamReader) -> bytes | None:
    """The next request's line and headers, or None when the client has closed."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
