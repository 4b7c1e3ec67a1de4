"""How one status request is answered: who asks, how often, what goes wrong, and what the book says.

Decides only, without a socket: `server` carries it out.
"""

from base64 import b64decode
from http import HTTPStatus
from typing import NamedTuple

from exporter.domain.token_bucket import TokenBucket
from exporter.runtime.clock import Clock
from exporter.simulator.answer import error_body, status_body, with_bad_cost, with_status_word
from exporter.simulator.arrivals import NO_ANSWER, Arrivals
from exporter.simulator.book import Book
from exporter.simulator.faults import FaultBoard, FaultKind, FaultOrder
from exporter.simulator.settings import SimulatorSettings

KEY_USER = "@"
"""The user name that goes with an API key as password."""
MAX_ID_CHARACTERS = 255
UNKNOWN_STATUS_WORD = "read"
JSON = "application/json"
HTML = "text/html"
_UNANSWERED = frozenset({FaultKind.HANG, FaultKind.RESET, FaultKind.DROP_ALL})
_GARBAGE_BODY = b'{"messagelistId": 123456, "messageId": "abc123def456", "deliverystatus": "deliv'
_HTML_BODY = b"<!doctype html><title>Maintenance</title><h1>We will be right back</h1>"
_ERROR_CODES = {
    400: "INVALID_REQUEST",
    401: "UNAUTHORIZED",
    404: "MESSAGE_NOT_FOUND",
    429: "RATE_LIMIT_EXCEEDED",
    500: "INTERNAL_ERROR",
    503: "SERVICE_UNAVAILABLE",
}


class Reply(NamedTuple):
    """What to do with one status request."""

    code: int
    """NO_ANSWER: `fault` says how the connection ends."""
    body: bytes = b""
    content_type: str = JSON
    retry_after: str = ""
    fault: FaultOrder | None = None
    tells_end_of: int = -1
    """Index of the message whose final status the body tells; note it once the answer is out."""


class Door:
    """Decides over status requests, and logs each."""

    def __init__(
        self, settings: SimulatorSettings, book: Book, arrivals: Arrivals, wire_clock: Clock
    ) -> None:
        """`wire_clock` is real time, whatever the speed of the book's clock."""
        self.faults = FaultBoard(settings.seed)
        self._settings = settings
        self._book = book
        self._arrivals = arrivals
        self._wire_clock = wire_clock
        self._buckets: dict[str, TokenBucket] = {}
        self._retry_after = "" if settings.retry_after_seconds is None else str(settings.retry_after_seconds)

    def decide(self, message_id: str, key: str | None, authorization: str | None) -> Reply:
        """Return what becomes of a request for `message_id`, given its two headers of authentication."""
        now_us = self._wire_clock.monotonic()
        index = self._book.find(message_id)
        reply = self._reply(index, message_id, self._customer(key, authorization), now_us)
        self._arrivals.add(now_us, index, message_id, reply.code)
        return reply

    def _customer(self, key: str | None, authorization: str | None) -> str:
        """Return under which name the rate is counted; empty for one that isn't let in."""
        if key is not None:
            return f"key {key}" if key in self._settings.api_keys else ""
        scheme, _, encoded = (authorization or "").partition(" ")
        if scheme.lower() != "basic":
            return ""
        try:
            user, _, password = b64decode(encoded, validate=True).decode().partition(":")
        except ValueError:
            return ""
        if user == KEY_USER:
            return f"key {password}" if password in self._settings.api_keys else ""
        return f"user {user}" if self._settings.passwords.get(user) == password else ""

    def _reply(self, index: int, message_id: str, customer: str, now_us: int) -> Reply:
        if not customer or self._book.scenario.key_revoked:
            return self._error(HTTPStatus.UNAUTHORIZED)
        if self._settings.requests_per_second and not self._bucket(customer).try_take(now_us):
            return self._error(HTTPStatus.TOO_MANY_REQUESTS)
        fault = self.faults.strike(now_us, self._book.scenario.fault)
        if fault is None:
            return self._truth(index, message_id)
        if fault.kind in _UNANSWERED:
            return Reply(NO_ANSWER, fault=fault)
        return self._spoilt(fault, index, message_id)

    def _spoilt(self, fault: FaultOrder, index: int, message_id: str) -> Reply:
        match fault.kind:
            case FaultKind.STATUS:
                return self._error(fault.code)
            case FaultKind.REVOKE_KEY:
                return self._error(HTTPStatus.UNAUTHORIZED)
            case FaultKind.GARBAGE:
                return Reply(HTTPStatus.OK, _GARBAGE_BODY)
            case FaultKind.HTML:
                return Reply(HTTPStatus.OK, _HTML_BODY, HTML)
        truth = self._truth(index, message_id)
        return _bent(truth, fault) if truth.code == HTTPStatus.OK else truth._replace(fault=fault)

    def _truth(self, index: int, message_id: str) -> Reply:
        if index < 0:
            malformed = not message_id or len(message_id) > MAX_ID_CHARACTERS or "/" in message_id
            return self._error(HTTPStatus.BAD_REQUEST if malformed else HTTPStatus.NOT_FOUND)
        now = self._book.clock.now()
        fate = self._book.fate(index)
        body = status_body(index, message_id, fate, now)
        return Reply(HTTPStatus.OK, body, tells_end_of=index if now >= fate.final_at else -1)

    def _error(self, code: int) -> Reply:
        waits = code in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
        body = error_body(_ERROR_CODES.get(code, "ERROR"), "the simulated provider says no")
        return Reply(code, body, retry_after=self._retry_after if waits else "")

    def _bucket(self, customer: str) -> TokenBucket:
        bucket = self._buckets.get(customer)
        if bucket is None:
            rate, burst = self._settings.requests_per_second, self._settings.burst
            bucket = self._buckets[customer] = TokenBucket(rate, burst_tokens=burst, full=True)
        return bucket


def _bent(truth: Reply, fault: FaultOrder) -> Reply:
    """The truth with one thing in it wrong, or late."""
    match fault.kind:
        case FaultKind.UNKNOWN_STATUS:
            return Reply(HTTPStatus.OK, with_status_word(truth.body, UNKNOWN_STATUS_WORD))
        case FaultKind.BAD_COST:
            return truth._replace(body=with_bad_cost(truth.body))
    return truth._replace(fault=fault)
