"""Limits on the number of connections and on their time, and error pages that repeat nothing.

aiohttp limits the size of a request. This module limits the rest: the number of
connections, and the time that a request may take to arrive and to be answered.
When all connections are taken, one that waits is closed for a new one, so that
half a request, sent sixty-four times, does not block a scraper. The TLS
handshake is a part of waiting: connections are accepted in plain text, counted,
and then upgraded, since asyncio reports a connection accepted with TLS only
after its handshake.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import cast

from aiohttp import hdrs, web

from exporter.http.webconfig import Tls
from exporter.runtime.errors import Code

_log = logging.getLogger("smsbat.http")

MAX_CONNECTIONS = 64
IDLE_SECONDS = 30.0
"""How long a connection may stay without a request."""
HANDSHAKE_SECONDS = 10.0
"""How long the TLS handshake may take."""
ARRIVE_SECONDS = 10.0
"""How long the head of a request may take from its first byte."""
HANDLE_SECONDS = 30.0
"""How long a request may take from then on, including its body and the reading of the answer."""
MAX_LINE_BYTES = 4 * 1024
MAX_HEADERS = 64
SOFTWARE = "smsbat-exporter"
_HEAD = b"HTTP/1.1 %b\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
_BUSY = _HEAD % b"503 Service Unavailable" + b"Retry-After: 1\r\n\r\ntoo many connections\n"
_NOT_TLS = _HEAD % b"400 Bad Request" + b"\r\nthis port speaks HTTPS\n"


class Connections:
    """The open connections of one listener."""

    def __init__(self, server: web.Server, tls: Callable[[], Tls | None]) -> None:
        """Pass requests to `server`; `tls` returns what new connections are encrypted with."""
        self._server = server
        self.tls = tls
        self._open: set[_Connection] = set()
        self._waiting: dict[_Connection, None] = {}

    def make_protocol(self) -> asyncio.Protocol:
        """A protocol for a connection that was just accepted."""
        return _Connection(self, self._server)

    def add(self, connection: _Connection) -> bool:
        """Count a new connection; returns False when there is no room for it."""
        if len(self._open) >= MAX_CONNECTIONS:
            longest_waiting = next(iter(self._waiting), None)
            if longest_waiting is None:
                return False
            self.discard(longest_waiting)
            longest_waiting.abort()
        self._open.add(connection)
        return True

    def discard(self, connection: _Connection) -> None:
        """Stop counting a connection."""
        self._open.discard(connection)
        self._waiting.pop(connection, None)

    def abort(self) -> None:
        """Abort all connections."""
        for connection in list(self._open):
            connection.abort()

    def mark_waiting(self, connection: _Connection) -> None:
        """Mark a connection as idle: it may be closed for a new one, after those that wait longer."""
        if connection in self._open:
            self._waiting[connection] = None

    def mark_working(self, connection: _Connection) -> None:
        """Mark a connection whose request is being handled: it is not closed for others."""
        self._waiting.pop(connection, None)


class _Connection(web.RequestHandler):
    """aiohttp's connection, with a time limit for each of its phases."""

    __slots__ = ("_admitted", "_connections", "_early", "_handshake", "_idle", "_timer", "_wire", "tls")

    def __init__(self, connections: Connections, server: web.Server) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(
            server,
            loop=loop,
            access_log=cast("logging.Logger", None),  # aiohttp's own runner passes this for "none"
            auto_decompress=False,  # a compressed bomb stays small
            max_field_size=MAX_LINE_BYTES,
            max_headers=MAX_HEADERS,
            max_line_size=MAX_LINE_BYTES,
        )
        self._connections = connections
        self._wire: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._admitted = False
        self._idle = True
        self._early = b""
        self._handshake: asyncio.Task[None] | None = None
        self.tls: Tls | None = None
        """What the connection is encrypted with."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a request, or refuse the connection."""
        self._wire = wire = cast("asyncio.Transport", transport)
        self.tls = self._connections.tls()
        if not self._connections.add(self):
            if self.tls is None:
                wire.write(_BUSY)
            wire.close()
            return
        self.start_waiting()
        if self.tls is None:
            self._begin_requests(wire)
            return
        self._limit_time(HANDSHAKE_SECONDS)

    def _begin_tls(self, wire: asyncio.Transport, tls: Tls) -> None:
        """Start the handshake with a client that begins one; answer one that sends plain text."""
        if self._early[:1].isalpha():
            wire.write(_NOT_TLS)
            wire.close()
        else:
            self._handshake = self._loop.create_task(self._set_up_tls(wire, tls))

    async def _set_up_tls(self, wire: asyncio.Transport, tls: Tls) -> None:
        """Do the handshake, then read requests of a client whose certificate is allowed."""
        secure = await self._upgrade(wire, tls)
        # Without a wire the connection was lost meanwhile.
        if secure is None or self._wire is None:
            self._forget()
            return
        self._wire = secure
        if not tls.allows(secure.get_extra_info("peercert")):
            self.abort()
            return
        self.start_waiting()
        self._begin_requests(secure)
        if self._early:
            self.data_received(self._early)
            self._early = b""

    async def _upgrade(self, wire: asyncio.Transport, tls: Tls) -> asyncio.Transport | None:
        """The connection over TLS, or None when the handshake failed."""
        if wire.is_closing():
            return None
        early, self._early = self._early, b""
        self._loop.call_soon(_hand_over, early, wire)
        try:
            return await self._loop.start_tls(wire, self, tls.context, server_side=True)
        except OSError:
            return None

    def _begin_requests(self, transport: asyncio.Transport) -> None:
        """Read requests from now on."""
        self._admitted = True
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Receive a piece of the handshake or of a request."""
        if not self._admitted:
            # This data belongs to the handshake; its last piece may contain the first request.
            self._early += data
            wire = self._wire
            if (
                self._handshake is None
                and self.tls is not None
                and wire is not None
                and not wire.is_closing()
            ):
                self._begin_tls(wire, self.tls)
            return
        if data and self._idle:
            self._idle = False
            self._limit_time(ARRIVE_SECONDS)
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop counting it."""
        self._forget()
        if self._admitted:
            super().connection_lost(exc)

    def _forget(self) -> None:
        self._wire = None
        if self._timer is not None:
            self._timer.cancel()
        self._connections.discard(self)

    def start_waiting(self) -> None:
        """No request is being handled from now on."""
        self._connections.mark_waiting(self)
        self._idle = True
        self._limit_time(IDLE_SECONDS)

    def start_working(self) -> None:
        """A request is being handled from now on."""
        self._connections.mark_working(self)
        self._idle = False
        self._limit_time(HANDLE_SECONDS)

    def abort(self) -> None:
        """Close it at once: unsent data is for a reader that does not read."""
        if self._wire is not None:
            self._wire.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it may quote the request, so it is not used
    ) -> web.StreamResponse:
        """Answer an unreadable or failed request; aiohttp's own page would quote the request."""
        # A scraper that disconnected (timeout, restart) is no failure of ours.
        disconnected = isinstance(exc, ConnectionError)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR and not disconnected:
            more = {"event": "request_failed", "fields": {"code": Code.UNEXPECTED}}
            _log.error("A request failed", extra=more, exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has already begun")
        response = text_response(status)
        response.headers[hdrs.SERVER] = SOFTWARE
        response.force_close()
        return response

    def _limit_time(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._wire is not None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self.abort)


def _hand_over(early: bytes, wire: asyncio.Transport) -> None:
    """Pass the data that arrived before the handshake to the TLS protocol of `wire`."""
    protocol = cast("asyncio.BufferedProtocol", wire.get_protocol())
    while early:
        room = memoryview(protocol.get_buffer(len(early)))
        taken = min(len(room), len(early))
        room[:taken] = early[:taken]
        protocol.buffer_updated(taken)
        early = early[taken:]


def text_response(status: int, text: str = "") -> web.Response:
    """A short answer for people and scripts: the phrase of the status unless `text` is given."""
    return web.Response(
        status=status,
        text=f"{text or HTTPStatus(status).phrase}\n",
        headers={"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"},
    )


@web.middleware
async def limit_handling(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Limit the time of handling, and replace aiohttp's error pages with plain text."""
    connection = cast("_Connection", request.protocol)
    connection.start_working()
    try:
        return await handler(request)
    except web.HTTPException as error:
        response = text_response(error.status)
        if hdrs.ALLOW in error.headers:
            response.headers[hdrs.ALLOW] = error.headers[hdrs.ALLOW]
        return response
    finally:
        connection.start_waiting()


CLIENT_DISCONNECTED = (OSError, RuntimeError, web.RequestPayloadError)
"""What reading a body raises when the client disconnects or sends an incomplete encoding."""


def close_if_tls_changed(request: web.Request, tls: Tls | None) -> None:
    """Close a connection after this request when its TLS is no longer in force."""
    connection = cast("_Connection", request.protocol)
    if connection.tls is not tls:
        connection.close()


def extend_deadline(request: web.Request) -> None:
    """Restart the time limit of a request that makes progress: its body may be large."""
    cast("_Connection", request.protocol).start_working()


async def set_server_header(_request: web.Request, response: web.StreamResponse) -> None:
    """Name this program in the answer, but not its version or its libraries."""
    response.headers[hdrs.SERVER] = SOFTWARE
