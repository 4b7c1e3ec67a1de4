"""How many connections there are, how long each may take, and error pages that repeat nothing.

aiohttp bounds what one request may hold. What it leaves open is bounded here:
the number of connections, and the time that a request may take to arrive and
to be answered. A connection that only waits makes room for a new one, so that
half a request, sent sixty-four times, keeps no scraper out. Setting up TLS is
a part of waiting: connections are accepted in the clear, counted, and then
upgraded, since whoever is accepted with TLS is known only once that is done.
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

_log = logging.getLogger("smsbat.server")

MAX_CONNECTIONS = 64
IDLE_SECONDS = 30.0
"""How long a connection may stay without a request."""
HANDSHAKE_SECONDS = 10.0
"""How long TLS may take to be set up."""
ARRIVE_SECONDS = 10.0
"""How long the head of a request may take from its first byte."""
HANDLE_SECONDS = 30.0
"""How long a request may take from then on, its body and the reading of the answer included."""
MAX_LINE_BYTES = 4 * 1024
MAX_HEADERS = 64
SOFTWARE = "smsbat-exporter"
_HEAD = b"HTTP/1.1 %b\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
_BUSY = _HEAD % b"503 Service Unavailable" + b"Retry-After: 1\r\n\r\ntoo many connections\n"
_NOT_TLS = _HEAD % b"400 Bad Request" + b"\r\nthis port speaks HTTPS\n"


class Connections:
    """The open connections of one listener."""

    def __init__(self, server: web.Server, tls: Callable[[], Tls | None]) -> None:
        """Hand requests to `server`, over the TLS that there is when a connection comes."""
        self._server = server
        self.tls = tls
        self._open: set[_Connection] = set()
        self._waiting: dict[_Connection, None] = {}

    def admit(self) -> asyncio.Protocol:
        """A protocol for a connection that was just accepted."""
        return _Connection(self, self._server)

    def enter(self, connection: _Connection) -> bool:
        """Count a new connection; False when there is no room for it."""
        if len(self._open) >= MAX_CONNECTIONS:
            longest_waiting = next(iter(self._waiting), None)
            if longest_waiting is None:
                return False
            self.leave(longest_waiting)
            longest_waiting.cut()
        self._open.add(connection)
        return True

    def leave(self, connection: _Connection) -> None:
        """Count it no more."""
        self._open.discard(connection)
        self._waiting.pop(connection, None)

    def cut(self) -> None:
        """End all of them at once."""
        for connection in list(self._open):
            connection.cut()

    def waits(self, connection: _Connection) -> None:
        """It has no request now: it goes first if room is needed, after those that wait longer."""
        if connection in self._open:
            self._waiting[connection] = None

    def works(self, connection: _Connection) -> None:
        """A request of it is being handled."""
        self._waiting.pop(connection, None)


class _Connection(web.RequestHandler):
    """aiohttp's connection, with a time limit for whatever it is doing."""

    __slots__ = ("_admitted", "_connections", "_early", "_handshake", "_idle", "_limit", "_wire", "tls")

    def __init__(self, connections: Connections, server: web.Server) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(
            server,
            loop=loop,
            access_log=cast("logging.Logger", None),  # what aiohttp's own runner passes for "none"
            auto_decompress=False,  # a bomb stays as small as it came
            max_field_size=MAX_LINE_BYTES,
            max_headers=MAX_HEADERS,
            max_line_size=MAX_LINE_BYTES,
        )
        self._connections = connections
        self._wire: asyncio.Transport | None = None
        self._limit: asyncio.TimerHandle | None = None
        self._admitted = False
        self._idle = True
        self._early = b""
        self._handshake: asyncio.Task[None] | None = None
        self.tls: Tls | None = None
        """What it is encrypted with."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a request, or refuse to."""
        self._wire = wire = cast("asyncio.Transport", transport)
        self.tls = self._connections.tls()
        if not self._connections.enter(self):
            if self.tls is None:
                wire.write(_BUSY)
            wire.close()
            return
        self.waiting()
        if self.tls is None:
            self._begin(wire)
            return
        self._within(HANDSHAKE_SECONDS)

    def _greet(self, wire: asyncio.Transport, tls: Tls) -> None:
        """Set TLS up with who begins it; a client that speaks in the clear is told."""
        if self._early[:1].isalpha():
            wire.write(_NOT_TLS)
            wire.close()
        else:
            self._handshake = self._loop.create_task(self._encrypt(wire, tls))

    async def _encrypt(self, wire: asyncio.Transport, tls: Tls) -> None:
        """Set TLS up, and go on over it with whom it lets in."""
        secure = await self._secured(wire, tls)
        # Without a wire it was lost meanwhile.
        if secure is None or self._wire is None:
            self._forget()
            return
        self._wire = secure
        if not tls.admits(secure.get_extra_info("peercert")):
            self.cut()
            return
        self.waiting()
        self._begin(secure)
        if self._early:
            self.data_received(self._early)
            self._early = b""

    async def _secured(self, wire: asyncio.Transport, tls: Tls) -> asyncio.Transport | None:
        """The connection over TLS, or None when that did not come about."""
        if wire.is_closing():
            return None
        early, self._early = self._early, b""
        self._loop.call_soon(_hand_over, early, wire)
        try:
            return await self._loop.start_tls(wire, self, tls.context, server_side=True)
        except OSError:
            return None

    def _begin(self, transport: asyncio.Transport) -> None:
        """Read requests."""
        self._admitted = True
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Take in a piece of a request."""
        if not self._admitted:
            # What comes before TLS begins is its own; with its end the first request may come.
            self._early += data
            wire = self._wire
            if (
                self._handshake is None
                and self.tls is not None
                and wire is not None
                and not wire.is_closing()
            ):
                self._greet(wire, self.tls)
            return
        if data and self._idle:
            self._idle = False
            self._within(ARRIVE_SECONDS)
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget it."""
        self._forget()
        if self._admitted:
            super().connection_lost(exc)

    def _forget(self) -> None:
        self._wire = None
        if self._limit is not None:
            self._limit.cancel()
        self._connections.leave(self)

    def waiting(self) -> None:
        """No request is being handled."""
        self._connections.waits(self)
        self._idle = True
        self._within(IDLE_SECONDS)

    def working(self) -> None:
        """A request is being handled."""
        self._connections.works(self)
        self._idle = False
        self._within(HANDLE_SECONDS)

    def cut(self) -> None:
        """End it at once: what is still to be sent is for a reader that does not read."""
        if self._wire is not None:
            self._wire.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it may quote the request, so it goes nowhere
    ) -> web.StreamResponse:
        """Answer what could not be read, or what failed; aiohttp's own page quotes the request."""
        # A scraper that has given up (its time-out, its restart) is no failure of ours.
        gone = isinstance(exc, ConnectionError)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR and not gone:
            more = {"event": "request_failed", "fields": {"code": Code.UNEXPECTED}}
            _log.error("A request failed", extra=more, exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was begun already")
        response = text_response(status)
        response.headers[hdrs.SERVER] = SOFTWARE
        response.force_close()
        return response

    def _within(self, seconds: float) -> None:
        if self._limit is not None:
            self._limit.cancel()
        if self._wire is not None:
            self._limit = asyncio.get_running_loop().call_later(seconds, self.cut)


def _hand_over(early: bytes, wire: asyncio.Transport) -> None:
    """Give what arrived before it to the TLS that has just begun on `wire`."""
    protocol = cast("asyncio.BufferedProtocol", wire.get_protocol())
    while early:
        room = memoryview(protocol.get_buffer(len(early)))
        taken = min(len(room), len(early))
        room[:taken] = early[:taken]
        protocol.buffer_updated(taken)
        early = early[taken:]


def text_response(status: int, text: str = "") -> web.Response:
    """A short answer for people and scripts: the status's own words unless `text` is given."""
    return web.Response(
        status=status,
        text=f"{text or HTTPStatus(status).phrase}\n",
        headers={"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"},
    )


@web.middleware
async def bounded(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Limit the time of handling, and make aiohttp's error pages plain."""
    connection = cast("_Connection", request.protocol)
    connection.working()
    try:
        return await handler(request)
    except web.HTTPException as error:
        response = text_response(error.status)
        if hdrs.ALLOW in error.headers:
            response.headers[hdrs.ALLOW] = error.headers[hdrs.ALLOW]
        return response
    finally:
        connection.waiting()


CLIENT_DISCONNECTED = (OSError, RuntimeError, web.RequestPayloadError)
"""How reading a body ends whose client is gone, or breaks off in the middle of its encoding."""


def close_if_tls_changed(request: web.Request, tls: Tls | None) -> None:
    """End a connection after this request when it came under a TLS that is no longer in force."""
    connection = cast("_Connection", request.protocol)
    if connection.tls is not tls:
        connection.close()


def extend_deadline(request: web.Request) -> None:
    """Give a request that makes progress its time of handling anew: its body may be large."""
    cast("_Connection", request.protocol).working()


async def set_server_header(_request: web.Request, response: web.StreamResponse) -> None:
    """Name this program in the answer, not the versions of what it is made of."""
    response.headers[hdrs.SERVER] = SOFTWARE
