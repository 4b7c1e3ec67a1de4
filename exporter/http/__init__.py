"""The HTTP listener: routes on addresses, with limits.

It takes any routes, so that the listener for webhooks has the same limits
(`connections`) as the one for metrics (`metrics_routes`).
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
    extend_deadline,
    limit_handling,
    set_server_header,
    text_response,
)
from exporter.http.metrics_routes import MetricsEndpoints, build_routes
from exporter.runtime.addresses import format_address
from exporter.runtime.errors import ListenError

__all__ = [
    "CLIENT_DISCONNECTED",
    "Listener",
    "MetricsEndpoints",
    "WebAuth",
    "build_routes",
    "extend_deadline",
    "text_response",
]

BACKLOG = 64
"""Connections that may wait to be accepted: as many as may be open."""
STOP_SECONDS = 2.0
"""How long requests may continue when the listener stops."""
MAX_BODY_BYTES = 64 * 1024


class Listener:
    """Serves `routes` on `addresses` while its `async with` block runs."""

    def __init__(
        self,
        addresses: Sequence[str],
        routes: Iterable[web.AbstractRouteDef],
        web_auth: WebAuth | None = None,
        skip_basic_auth: Iterable[web.AbstractRouteDef] = (),
    ) -> None:
        """Addresses are `host:port`, `[v6]:port`, or `:port` for all addresses; port 0 is any free one.

        `web_auth` checks all requests, but requires no password on the routes `skip_basic_auth`, which
        require a token of their own.
        """
        self._requested = addresses
        self._web_auth = web_auth
        app = web.Application(middlewares=[limit_handling], client_max_size=MAX_BODY_BYTES)
        app.on_response_prepare.append(set_server_header)
        app.add_routes(routes)
        with_token = frozenset(app.add_routes(skip_basic_auth))
        if web_auth is not None:
            app.middlewares.append(web_auth.make_middleware(with_token))
            app.on_response_prepare.append(web_auth.add_headers)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_SECONDS)
        self._resources = AsyncExitStack()
        self.addresses: tuple[str, ...] = ()
        """The bound addresses with their real ports, in the given order."""

    async def __aenter__(self) -> Self:
        """Bind all addresses or none; raises `ListenError` for the first that can't be bound."""
        async with AsyncExitStack() as resources:
            bound = [resources.enter_context(_bind(address)) for address in self._requested]
            await self._runner.setup()
            server = cast("web.Server", self._runner.server)
            connections = Connections(
                server, lambda: self._web_auth.tls if self._web_auth is not None else None
            )
            resources.callback(connections.abort)
            resources.push_async_callback(self._runner.cleanup)
            loop = asyncio.get_running_loop()
            for bound_socket in bound:
                acceptor = await loop.create_server(
                    connections.make_protocol, sock=bound_socket, backlog=BACKLOG
                )
                resources.callback(acceptor.close)
            self.addresses = tuple(map(_format_bound, bound))
            self._resources = resources.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening, let requests finish, then close the remaining connections."""
        await self._resources.aclose()


def _bind(address: str) -> socket.socket:
    """A bound socket that does not listen yet."""
    listen = parse_listen(address)
    if listen is None:
        raise ListenError(f"{address!r} is not an address", hint="write host:port, [v6]:port or :port")
    everywhere = not listen.host and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if everywhere or ":" in listen.host else socket.AF_INET
    try:
        # One socket for both versions of IP: two would get two different free ports.
        return socket.create_server(tuple(listen), family=family, backlog=BACKLOG, dualstack_ipv6=everywhere)
    except OSError as error:
        # A name that does not resolve has an error number of the resolver, below 0.
        number = error.errno or 0
        reason = os.strerror(number) if number > 0 else "the name does not resolve"
        raise ListenError(
            f"can't listen on {address}: {reason}",
            hint="stop the program that uses it, or choose another address with --web.listen-address",
        ) from error


def _format_bound(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    if host in {"::", "0.0.0.0"}:  # noqa: S104 - only compared
        return f":{port}"
    return format_address(host, port)
