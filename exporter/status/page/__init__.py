"""The page for people, its twin for programs, and the lookup of one message: the routes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from http import HTTPStatus
from typing import Any

from aiohttp import hdrs, web
from pydantic import TypeAdapter

from exporter.domain.message_ids import reject_reason
from exporter.status.builder import StatusBuilder
from exporter.status.lookup import Lookups
from exporter.status.message import Lookup
from exporter.status.model import Overview
from exporter.status.page.components import HEADERS
from exporter.status.page.home import home
from exporter.status.page.message import BUSY, REFUSALS, form_page, message_page
from exporter.status.page.request_target import target_of

STATUS_PATH = "/api/v1/status"
MESSAGE_PATH = "/api/v1/messages/{id}"
RETRY_AFTER_SECONDS = 2
OVERVIEW = TypeAdapter(Overview)
LOOKUP = TypeAdapter(Lookup)
_JSON_HEADERS = {
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}


class Pages:
    """What is shown of `watch` and `lookups`; rendering is done in `thread`."""

    def __init__(self, watch: StatusBuilder, lookups: Lookups, thread: Executor) -> None:
        """Serve nothing before `routes` are."""
        self._watch = watch
        self._lookups = lookups
        self._thread = thread

    def routes(self) -> list[web.AbstractRouteDef]:
        """For the listener that shows metrics."""
        return [
            web.get("/", self._home),
            web.get("/messages", self._message),
            web.get(STATUS_PATH, self._status),
            web.get(MESSAGE_PATH, self._lookup),
        ]

    async def _home(self, request: web.Request) -> web.Response:
        overview = await self._watch.overview()
        text = await self._made(partial(home, overview, target_of(request), tls=request.secure))
        return _html(HTTPStatus.OK, text)

    async def _status(self, _request: web.Request) -> web.Response:
        overview = await self._watch.overview()
        return _json(HTTPStatus.OK, await self._made(partial(OVERVIEW.dump_json, overview)))

    async def _message(self, request: web.Request) -> web.Response:
        speed = self._watch.surroundings.demo_speed
        asked = request.query.get("id")
        message_id = (asked or "").strip()
        refused = reject_reason(message_id)
        if refused:
            status = HTTPStatus.OK if asked is None else HTTPStatus.BAD_REQUEST
            return _html(status, form_page(REFUSALS[refused], speed))
        found = await self._lookups.look_up(message_id)
        if found is None:
            return _html(HTTPStatus.SERVICE_UNAVAILABLE, form_page(BUSY, speed))
        return _html(_status_of(found), await self._made(partial(message_page, found, speed)))

    async def _lookup(self, request: web.Request) -> web.Response:
        message_id = request.match_info["id"]
        refused = reject_reason(message_id)
        if refused:
            # Not what was asked for: it may be a phone number.
            return _json(HTTPStatus.BAD_REQUEST, _error(refused))
        found = await self._lookups.look_up(message_id)
        if found is None:
            return _json(HTTPStatus.SERVICE_UNAVAILABLE, _error("busy"))
        return _json(_status_of(found), LOOKUP.dump_json(found))

    async def _made(self, make: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever is made
        return await asyncio.get_running_loop().run_in_executor(self._thread, make)


def _status_of(found: Lookup) -> HTTPStatus:
    return HTTPStatus.OK if found.messages else HTTPStatus.NOT_FOUND


def _error(reason: str) -> bytes:
    return json.dumps({"error": reason}).encode()


def _html(status: HTTPStatus, text: str) -> web.Response:
    return _answer(status, web.Response(status=status, body=text.encode(), headers=HEADERS))


def _json(status: HTTPStatus, body: bytes) -> web.Response:
    return _answer(status, web.Response(status=status, body=body, headers=_JSON_HEADERS))


def _answer(status: HTTPStatus, response: web.Response) -> web.Response:
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers[hdrs.RETRY_AFTER] = str(RETRY_AFTER_SECONDS)
    return response
