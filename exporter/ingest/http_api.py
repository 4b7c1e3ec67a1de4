"""Takes ids over HTTP: `POST /api/v1/messages`, the formats of dropped files by content type.

A body is read, parsed and tracked piece by piece, so that one of 64 MiB takes no
more memory than one batch; only `application/json` is held whole. What was
tracked before a fault, a full store or the limit of tracked messages stays
tracked, and the response says how much that was: repeating the whole request is
always safe, since an id that is known changes nothing.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus

from aiohttp import hdrs, web

from exporter.config import Intake as IntakeSettings
from exporter.domain.label_values import reject_label_value
from exporter.domain.model import Source
from exporter.engine.tracker import Tracked, Tracker
from exporter.http import CLIENT_DISCONNECTED, extend_deadline, text_response
from exporter.ingest.batching import track_in_parts
from exporter.ingest.formats.fields import RecordReader
from exporter.ingest.formats.formats import Batch, Parser, Reject, make_parser
from exporter.metrics.instruments import Instruments
from exporter.runtime.clock import Clock
from exporter.runtime.errors import ConfigError, StoreFull
from exporter.runtime.secrets import SecretSource

PATH = "/api/v1/messages"
MAX_BODY_BYTES = 64 * 2**20
SMALL_BODY_BYTES = 2**20
"""Smaller bodies need no turn."""
TURNS = 2
"""Larger bodies at a time: each may take the memory of a whole document."""
PIECE_BYTES = 256 * 1024
PIECE_SECONDS = 10.0
"""How long the next piece of a body may take to arrive."""
PACE_BYTES = 64 * 1024
"""Each time this much has arrived, the request gets the time of a new one; slower clients are cut off."""
PART_MESSAGES = 1_000
"""Messages in a transaction."""
REPORTED_REJECTS = 1_000
DEFAULT_CAMPAIGN = "default"
RETRY_AFTER_SECONDS = 10
SUFFIXES = {
    "text/plain": ".txt",
    "text/csv": ".csv",
    "application/x-ndjson": ".ndjson",
    "application/jsonl": ".jsonl",
    "application/json": ".json",
}
"""The formats by content type."""


class _Report:
    """Counts the records of one request."""

    def __init__(self) -> None:
        self.accepted = 0
        self.duplicate = 0
        self.rejected = 0
        self.fault = ""
        """Why nothing after what is counted could be used."""
        self._rejects: list[Reject] = []

    def add_rejects(self, rejects: Sequence[Reject]) -> None:
        self.rejected += len(rejects)
        self._rejects += rejects[: REPORTED_REJECTS - len(self._rejects)]

    def add_tracked(self, tracked: Tracked) -> None:
        self.accepted += tracked.accepted
        self.duplicate += tracked.duplicate

    def make_response(self, status: HTTPStatus) -> web.Response:
        body: dict[str, object] = {
            "accepted": self.accepted,
            "duplicate": self.duplicate,
            "rejected": self.rejected,
            "rejects": [{"line": reject.record, "reason": reject.reason} for reject in self._rejects],
        }
        if self.fault:
            body["fault"] = self.fault
        response = web.Response(
            status=status,
            body=json.dumps(body).encode(),
            content_type="application/json",
            headers={"X-Content-Type-Options": "nosniff"},
        )
        if status is not HTTPStatus.OK:
            # The rest of the body may still be on its way.
            response.force_close()
        if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
            response.headers[hdrs.RETRY_AFTER] = str(RETRY_AFTER_SECONDS)
        return response


class HttpIntake:
    """Serves the route while it is configured."""

    def __init__(self, tracker: Tracker, clock: Clock, instruments: Instruments) -> None:
        self._tracker = tracker
        self._clock = clock
        self._instruments = instruments
        self._turns = asyncio.Semaphore(TURNS)
        self._settings: IntakeSettings | None = None
        self._token: SecretSource | None = None

    def routes(self) -> list[web.AbstractRouteDef]:
        """What the listener of `/metrics` serves in addition."""
        return [web.post(PATH, self._serve)]

    def configure(self, settings: IntakeSettings | None) -> None:
        """Apply new settings; None for no intake."""
        self._settings = settings
        self._token = settings.token() if settings is not None else None

    async def _serve(self, request: web.Request) -> web.Response:
        parser = self._admit(request)
        if isinstance(parser, web.Response):
            return parser
        length_bytes = request.content_length
        if length_bytes is not None and length_bytes <= SMALL_BODY_BYTES:
            return await self._track_body(request, parser)
        if self._turns.locked():
            response = _refuse(HTTPStatus.SERVICE_UNAVAILABLE, "other large bodies are being read")
            response.headers[hdrs.RETRY_AFTER] = str(RETRY_AFTER_SECONDS)
            return response
        async with self._turns:
            return await self._track_body(request, parser)

    def _admit(self, request: web.Request) -> Parser | web.Response:
        """A parser for the body of a request that may be read, else the response that refuses it."""
        if self._token is None:
            return _refuse(
                HTTPStatus.NOT_FOUND, "the intake is not configured: see intake in the configuration"
            )
        if not _is_authorized(self._token, request.headers.get(hdrs.AUTHORIZATION, "")):
            response = _refuse(HTTPStatus.UNAUTHORIZED, "send the token: Authorization: Bearer TOKEN")
            response.headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
            return response
        records = self._make_reader(request)
        if isinstance(records, str):
            return _refuse(HTTPStatus.BAD_REQUEST, records)
        suffix = SUFFIXES.get(request.content_type)
        if suffix is None or request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
            text = f"Content-Type must be one of {', '.join(SUFFIXES)}, without a Content-Encoding"
            return _refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, text)
        if (request.content_length or 0) > MAX_BODY_BYTES:
            text = f"the body may have {MAX_BODY_BYTES // 2**20} MiB"
            return _refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text)
        return make_parser(suffix, records)

    def _make_reader(self, request: web.Request) -> RecordReader | str:
        """A reader with the defaults of the query, or what is wrong with the query."""
        unknown = request.query.keys() - {"campaign", "account"}
        if unknown or any(len(request.query.getall(key)) > 1 for key in request.query):
            return "the query may have campaign and account, each once"
        names = [account.name for account in self._tracker.settings.accounts]
        account = request.query.get("account", names[0] if len(names) == 1 else "")
        if account not in names:
            return "account must name one of the configured accounts"
        campaign = request.query.get("campaign", DEFAULT_CAMPAIGN)
        if reject_label_value(campaign):
            return "campaign can't be a label: it is empty, too long, unprintable, or has a phone number"
        return RecordReader(campaign, account, names, self._clock.now())

    async def _track_body(self, request: web.Request, parser: Parser) -> web.Response:
        """Read, parse and track a body to its end, or as far as it can be used."""
        report = _Report()
        try:
            status = await self._read_body(request, parser, report)
        except StoreFull:
            status = HTTPStatus.SERVICE_UNAVAILABLE
        except TimeoutError:
            status = HTTPStatus.REQUEST_TIMEOUT
        for result in ("accepted", "duplicate", "rejected"):
            self._instruments.count_intake(result, getattr(report, result))
        return report.make_response(status)

    async def _read_body(self, request: web.Request, parser: Parser, report: _Report) -> HTTPStatus:
        read_bytes, granted_bytes = 0, 0
        final = False
        while not final:
            async with asyncio.timeout(PIECE_SECONDS):
                try:
                    piece = await request.content.read(PIECE_BYTES)
                except CLIENT_DISCONNECTED:
                    return HTTPStatus.BAD_REQUEST
            read_bytes += len(piece)
            if read_bytes - granted_bytes >= PACE_BYTES:
                granted_bytes = read_bytes
                extend_deadline(request)
            if read_bytes > MAX_BODY_BYTES:
                return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            final = not piece
            batches = parser.feed(piece, final=final)
            # A large document takes seconds: not on the event loop.
            while (batch := await asyncio.to_thread(next, batches, None)) is not None:
                if not await self._track_batch(batch, report):
                    return HTTPStatus.TOO_MANY_REQUESTS
                extend_deadline(request)
            if parser.fault:
                report.fault = parser.fault
                too_large = parser.fault == "too_large"
                return HTTPStatus.REQUEST_ENTITY_TOO_LARGE if too_large else HTTPStatus.BAD_REQUEST
        return HTTPStatus.OK

    async def _track_batch(self, batch: Batch, report: _Report) -> bool:
        """Track one batch; False when there is no more room."""
        report.add_rejects(batch.rejects)
        track = partial(self._tracker.track, source=Source.INTAKE)
        async for tracked in track_in_parts(track, batch.messages, PART_MESSAGES):
            if tracked.blocked:
                return False
            report.add_tracked(tracked)
        return True


def _is_authorized(source: SecretSource, authorization: str) -> bool:
    scheme, _, token_sent = authorization.partition(" ")
    try:
        token = source.read().reveal().encode()
    except ConfigError:
        return False
    return scheme.lower() == "bearer" and hmac.compare_digest(
        token_sent.encode("utf-8", "surrogateescape"), token
    )


def _refuse(status: HTTPStatus, text: str = "") -> web.Response:
    response = text_response(status, text)
    response.force_close()
    return response
