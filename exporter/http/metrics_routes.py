"""The routes of the metrics listener for Prometheus and supervisors; `status.page` has those for people."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeAlias

from aiohttp import hdrs, web

from exporter.http.connections import text_response
from exporter.metrics.exposition import Rendering

PIECE_BYTES = 64 * 1024
"""A slow reader has this much of an answer as its own copy; the rest is shared with all readers."""


@dataclass(frozen=True, slots=True)
class MetricsEndpoints:
    """What the routes need from the rest of the program."""

    scrape: Callable[[str, str], Awaitable[Rendering | None]]
    """From the headers Accept and Accept-Encoding to the answer; None before the first snapshot."""
    unhealthy: Callable[[], str]
    """Why a supervisor should restart the process; empty while it should not."""
    unready: Callable[[], str]
    """Why clients should not rely on it now (starting, stopping, no store); empty while they may."""
    reload: Callable[[], Awaitable[str]] | None = None
    """Reads the configuration again and returns its problems, or ""; None when not enabled."""


def build_routes(endpoints: MetricsEndpoints) -> list[web.AbstractRouteDef]:
    """The routes of `endpoints`."""

    async def metrics(request: web.Request) -> web.StreamResponse:
        accept, encodings = (_join_header(request, name) for name in (hdrs.ACCEPT, hdrs.ACCEPT_ENCODING))
        rendering = await endpoints.scrape(accept, encodings)
        if rendering is None:
            return text_response(HTTPStatus.SERVICE_UNAVAILABLE, "the state is not loaded yet")
        return await _send(request, rendering)

    routes: list[web.AbstractRouteDef] = [
        web.get("/metrics", metrics),
        web.get("/-/healthy", _make_check(endpoints.unhealthy, "healthy")),
        web.get("/-/ready", _make_check(endpoints.unready, "ready")),
    ]
    if endpoints.reload is not None:
        routes.append(web.post("/-/reload", _make_reload(endpoints.reload)))
    else:
        routes.append(web.route("*", "/-/reload", _refuse_reload))
    return routes


_Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _make_check(reason_against: Callable[[], str], fine: str) -> _Handler:
    async def check(_request: web.Request) -> web.StreamResponse:
        reason = reason_against()
        return text_response(HTTPStatus.SERVICE_UNAVAILABLE if reason else HTTPStatus.OK, reason or fine)

    return check


def _make_reload(reload: Callable[[], Awaitable[str]]) -> _Handler:
    async def reload_now(_request: web.Request) -> web.StreamResponse:
        problem = await reload()
        return text_response(
            HTTPStatus.INTERNAL_SERVER_ERROR if problem else HTTPStatus.OK, problem or "reloaded"
        )

    return reload_now


async def _refuse_reload(_request: web.Request) -> web.StreamResponse:
    return text_response(HTTPStatus.NOT_FOUND, "reload is not enabled: start with --web.enable-lifecycle")


def _join_header(request: web.Request, header: str) -> str:
    """A header that may come as a list, as several lines, or as both."""
    return ",".join(request.headers.getall(header, ()))


async def _send(request: web.Request, rendering: Rendering) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={hdrs.CONTENT_TYPE: rendering.content_type, hdrs.VARY: "Accept, Accept-Encoding"}
    )
    if rendering.gzipped:
        response.headers[hdrs.CONTENT_ENCODING] = "gzip"
    response.content_length = sum(map(len, rendering.parts))
    await response.prepare(request)
    if request.method != hdrs.METH_HEAD:
        for part in rendering.parts:
            whole = memoryview(part)
            for start in range(0, len(whole), PIECE_BYTES):
                # Waits for a slow reader: in one write, everything would be copied for each reader.
                await response.write(whole[start : start + PIECE_BYTES])
    return response
