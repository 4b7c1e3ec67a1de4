"""What Prometheus and supervisors ask of the metrics listener; what people see is made in `page`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeAlias

from aiohttp import hdrs, web

from exporter.http.connections import text_response
from exporter.metrics.exposition import Rendering

PIECE_BYTES = 64 * 1024
"""A slow reader has this much of an answer for itself; the rest stays shared with all others."""


@dataclass(frozen=True, slots=True)
class MetricsEndpoints:
    """What the pages ask of the rest of the program."""

    scrape: Callable[[str, str], Awaitable[Rendering | None]]
    """From the headers Accept and Accept-Encoding to the answer; None while there is none yet."""
    unhealthy: Callable[[], str]
    """Why a supervisor should restart the process, or ""."""
    unready: Callable[[], str]
    """Why nobody should rely on it now (starting, stopping, no store), or ""."""
    reload: Callable[[], Awaitable[str]] | None = None
    """Reads the configuration again and returns what is wrong with it, or ""; None where not enabled."""


def pages(site: MetricsEndpoints) -> list[web.AbstractRouteDef]:
    """The routes of `site`."""

    async def metrics(request: web.Request) -> web.StreamResponse:
        rendering = await site.scrape(_joined(request, hdrs.ACCEPT), _joined(request, hdrs.ACCEPT_ENCODING))
        if rendering is None:
            return text_response(HTTPStatus.SERVICE_UNAVAILABLE, "the state is not loaded yet")
        return await _send(request, rendering)

    routes: list[web.AbstractRouteDef] = [
        web.get("/metrics", metrics),
        web.get("/-/healthy", _check(site.unhealthy, "healthy")),
        web.get("/-/ready", _check(site.unready, "ready")),
    ]
    if site.reload is not None:
        routes.append(web.post("/-/reload", _reload(site.reload)))
    return routes


_Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _check(reason_against: Callable[[], str], fine: str) -> _Handler:
    async def check(_request: web.Request) -> web.StreamResponse:
        reason = reason_against()
        return text_response(HTTPStatus.SERVICE_UNAVAILABLE if reason else HTTPStatus.OK, reason or fine)

    return check


def _reload(reload: Callable[[], Awaitable[str]]) -> _Handler:
    async def reload_now(_request: web.Request) -> web.StreamResponse:
        problem = await reload()
        return text_response(
            HTTPStatus.INTERNAL_SERVER_ERROR if problem else HTTPStatus.OK, problem or "reloaded"
        )

    return reload_now


def _joined(request: web.Request, header: str) -> str:
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
                # Waits while the reader is behind: written at once, all would be copied for each one.
                await response.write(whole[start : start + PIECE_BYTES])
    return response
