"""The HTTP listener: routes on addresses, within bounds.

Any routes, so that a listener that faces the outside has the same bounds
(`connections`) as the one that shows metrics (`pages`).
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self, cast

from aiohttp import web

from exporter.config.addresses import parse_listen
from exporter.http.auth import WebAuth
from exporter.http.connections import (
    CLIENT_DISCONNECTED,
    Connections,
    bounded,
    extend_deadline,
    set_server_header,
    text_response,
)
from exporter.http.metrics_routes import MetricsEndpoints, pages
from exporter.runtime.errors import ListenError

__all__ = [
    "CLIENT_DISCONNECTED",
    "Listener",
    "MetricsEndpoints",
    "WebAuth",
    "extend_deadline",
    "pages",
    "text_response",
]

BACKLOG = 64
"""Connections that wait to be accepted: as many as may be open."""
STOP_SECONDS = 2.0
"""How long requests may go on when the listener stops."""
MAX_BODY_BYTES = 64 * 1024


class Listener:
    """Serves `routes` on `addresses` while its `async with` block runs."""

    def __init__(
        self,
        addresses: Sequence[str],
        routes: Iterable[web.AbstractRouteDef],
        guard: WebAuth | None = None,
        skip_basic_auth: Iterable[web.AbstractRouteDef] = (),
    ) -> None:
        """Addresses are `host:port`, `[v6]:port`, or `:port` for all there are; port 0 is any free one.

        `guard` checks all requests, but wants no password on `skip_basic_auth` routes, which ask for a token.
        """
        self._requested = addresses
        self._guard = guard
        app = web.Application(middlewares=[bounded], client_max_size=MAX_BODY_BYTES)
        app.on_response_prepare.append(set_server_header)
        app.add_routes(routes)
        with_token = frozenset(app.add_routes(skip_basic_auth))
        if guard is not None:
            app.middlewares.append(guard.middleware(with_token))
            app.on_response_prepare.append(guard.decorate)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_SECONDS)
        self._resources = AsyncExitStack()
        self.addresses: tuple[str, ...] = ()
        """What is bound, `host:port` with the ports that were found, in the order that was given."""

    async def __aenter__(self) -> Self:
        """Bind all addresses or none; raises `ListenError` for the first that can't be."""
        async with AsyncExitStack() as resources:
            bound = [resources.enter_context(_bind(address)) for address in self._requested]
            await self._runner.setup()
            server = cast("web.Server", self._runner.server)
            connections = Connections(server, lambda: self._guard.tls if self._guard is not None else None)
            resources.callback(connections.cut)
            resources.push_async_callback(self._runner.cleanup)
            loop = asyncio.get_running_loop()
            for listening in bound:
                accepting = await loop.create_server(connections.admit, sock=listening, backlog=BACKLOG)
                resources.callback(accepting.close)
            self.addresses = tuple(map(_address, bound))
            self._resources = resources.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening, let requests end, then close what is left."""
        await self._resources.aclose()


def _bind(address: str) -> socket.socket:
    """A socket that is bound, and not yet listened on."""
    listen = parse_listen(address)
    if listen is None:
        raise ListenError(f"{address!r} is not an address", hint="write host:port, [v6]:port or :port")
    everywhere = not listen.host and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if everywhere or ":" in listen.host else socket.AF_INET
    try:
        # One socket for both versions of IP: two would get two different free ports.
        return socket.create_server(tuple(listen), family=family, backlog=BACKLOG, dualstack_ipv6=everywhere)
    except OSError as error:
        # A name that does not resolve has a number of the resolver's, below 0.
        number = error.errno or 0
        reason = os.strerror(number) if number > 0 else "the name does not resolve"
        raise ListenError(
            f"can't listen on {address}: {reason}",
            hint="stop what uses it, or choose another with --web.listen-address",
        ) from error


def _address(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    if host in {"::", "0.0.0.0"}:  # noqa: S104 - only reads what was asked for
        return f":{port}"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
