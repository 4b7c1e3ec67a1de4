"""The pages of the metrics listener: for Prometheus, for supervisors, and a first one for people."""

from __future__ import annotations

import html
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeAlias

from aiohttp import hdrs, web

from exporter.exposition import Rendering
from exporter.server.connections import plain

PIECE_BYTES = 64 * 1024
"""A slow reader has this much of an answer for itself; the rest stays shared with all others."""
_HOME = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>smsbat-exporter</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 40rem; padding: 0 1rem }
dt { margin-top: .75rem }
</style>
</head>
<body>
<h1>smsbat-exporter</h1>
<p>Delivery of messages sent through SMSBAT, for Prometheus.</p>
<p>State: %s</p>
<dl>
<dt><a href="/metrics">/metrics</a></dt><dd>what Prometheus scrapes</dd>
<dt><a href="/-/ready">/-/ready</a></dt><dd>whether the state is loaded and kept</dd>
<dt><a href="/-/healthy">/-/healthy</a></dt><dd>whether the process makes progress</dd>
</dl>
</body>
</html>
"""
_HOME_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Site:
    """What the pages ask of the rest of the program."""

    scrape: Callable[[str, str], Awaitable[Rendering | None]]
    """From the headers Accept and Accept-Encoding to the answer; None while there is none yet."""
    unhealthy: Callable[[], str]
    """Why a supervisor should restart the process, or ""."""
    unready: Callable[[], str]
    """Why nobody should rely on it now (starting, stopping, no store), or ""."""
    reload: Callable[[], Awaitable[str]] | None = None
    """Reads the configuration again and returns what is wrong with it, or ""; None where not enabled."""


def pages(site: Site) -> list[web.AbstractRouteDef]:
    """The routes of `site`."""

    async def metrics(request: web.Request) -> web.StreamResponse:
        rendering = await site.scrape(_joined(request, hdrs.ACCEPT), _joined(request, hdrs.ACCEPT_ENCODING))
        if rendering is None:
            return plain(HTTPStatus.SERVICE_UNAVAILABLE, "the state is not loaded yet")
        return await _send(request, rendering)

    async def home(_request: web.Request) -> web.StreamResponse:
        state = site.unready() or site.unhealthy() or "ready"
        return web.Response(text=_HOME % html.escape(state), headers=_HOME_HEADERS)

    routes: list[web.AbstractRouteDef] = [
        web.get("/", home),
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
        return plain(HTTPStatus.SERVICE_UNAVAILABLE if reason else HTTPStatus.OK, reason or fine)

    return check


def _reload(reload: Callable[[], Awaitable[str]]) -> _Handler:
    async def reload_now(_request: web.Request) -> web.StreamResponse:
        problem = await reload()
        return plain(HTTPStatus.INTERNAL_SERVER_ERROR if problem else HTTPStatus.OK, problem or "reloaded")

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
