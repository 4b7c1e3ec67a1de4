"""The routes of the status page, of its JSON version, and of the lookup of one message."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from http import HTTPStatus
from typing import Any

from aiohttp import hdrs, web
from pydantic import TypeAdapter

from exporter.domain.message_ids import reject_reason
from exporter.runtime.addresses import format_address
from exporter.status.builder import StatusBuilder
from exporter.status.message import Lookup, Lookups
from exporter.status.model import Overview
from exporter.status.page.rendering import (
    BUSY,
    HEADERS,
    REFUSALS,
    render_form,
    render_home,
    render_message,
)

STATUS_PATH = "/api/v1/status"
MESSAGE_PATH = "/api/v1/messages/{id}"
RETRY_AFTER_SECONDS = 2
OVERVIEW = TypeAdapter(Overview)
LOOKUP = TypeAdapter(Lookup)
_HOST = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9._-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?", re.ASCII)
_JSON_HEADERS = {
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}


class Pages:
    """Serves the overview and the lookups; `thread` renders them."""

    def __init__(self, status_builder: StatusBuilder, lookups: Lookups, thread: Executor) -> None:
        self._status_builder = status_builder
        self._lookups = lookups
        self._thread = thread

    def routes(self) -> list[web.AbstractRouteDef]:
        """The routes for the metrics listener."""
        return [
            web.get("/", self._answer_home),
            web.get("/messages", self._answer_message),
            web.get(STATUS_PATH, self._answer_status),
            web.get(MESSAGE_PATH, self._answer_lookup),
        ]

    async def _answer_home(self, request: web.Request) -> web.Response:
        overview = await self._status_builder.get_overview()
        text = await self._render(
            partial(render_home, overview, find_scrape_target(request), tls=request.secure)
        )
        return _answer_html(HTTPStatus.OK, text)

    async def _answer_status(self, _request: web.Request) -> web.Response:
        overview = await self._status_builder.get_overview()
        return _answer_json(HTTPStatus.OK, await self._render(partial(OVERVIEW.dump_json, overview)))

    async def _answer_message(self, request: web.Request) -> web.Response:
        speed = self._status_builder.process.demo_speed
        asked = request.query.get("id")
        message_id = (asked or "").strip()
        refused = reject_reason(message_id)
        if refused:
            status = HTTPStatus.OK if asked is None else HTTPStatus.BAD_REQUEST
            return _answer_html(status, await self._render(partial(render_form, REFUSALS[refused], speed)))
        found = await self._lookups.look_up(message_id)
        if found is None:
            text = await self._render(partial(render_form, BUSY, speed))
            return _answer_html(HTTPStatus.SERVICE_UNAVAILABLE, text)
        return _answer_html(_find_status(found), await self._render(partial(render_message, found, speed)))

    async def _answer_lookup(self, request: web.Request) -> web.Response:
        message_id = request.match_info["id"]
        refused = reject_reason(message_id)
        if refused:
            # The id is not repeated: it may be a phone number.
            return _answer_json(HTTPStatus.BAD_REQUEST, _format_refusal(refused))
        found = await self._lookups.look_up(message_id)
        if found is None:
            return _answer_json(HTTPStatus.SERVICE_UNAVAILABLE, _format_refusal("busy"))
        return _answer_json(_find_status(found), LOOKUP.dump_json(found))

    async def _render(self, make: Callable[[], Any]) -> Any:  # noqa: ANN401 - the result of any `make`
        return await asyncio.get_running_loop().run_in_executor(self._thread, make)


def find_scrape_target(request: web.Request) -> str:
    """The `host:port` under which a client reached this process, for the scrape configuration.

    From the Host header if it is valid, else the address that accepted the connection.
    """
    hosts = request.headers.getall(hdrs.HOST, [])
    if len(hosts) == 1 and _HOST.fullmatch(hosts[0]):
        return hosts[0]
    name = request.transport.get_extra_info("sockname") if request.transport is not None else None
    if not name:
        return "localhost:10978"
    host, port = name[:2]
    return format_address(host.removeprefix("::ffff:"), port)


def _find_status(found: Lookup) -> HTTPStatus:
    return HTTPStatus.OK if found.messages else HTTPStatus.NOT_FOUND


def _format_refusal(reason: str) -> bytes:
    return json.dumps({"error": reason}).encode()


def _answer_html(status: HTTPStatus, text: str) -> web.Response:
    return _add_retry_after(status, web.Response(status=status, body=text.encode(), headers=HEADERS))


def _answer_json(status: HTTPStatus, body: bytes) -> web.Response:
    return _add_retry_after(status, web.Response(status=status, body=body, headers=_JSON_HEADERS))


def _add_retry_after(status: HTTPStatus, response: web.Response) -> web.Response:
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers[hdrs.RETRY_AFTER] = str(RETRY_AFTER_SECONDS)
    return response
