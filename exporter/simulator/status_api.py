"""How one status request is answered: by its key, its rate, the faults in force and the message's timeline.

Decides only, without a socket: `server` carries it out.
"""

from http import HTTPStatus
from typing import NamedTuple

from exporter.domain.token_bucket import TokenBucket
from exporter.runtime.clock import Clock
from exporter.runtime.secrets import parse_basic_credentials
from exporter.simulator.answers import replace_status_word, spoil_cost, write_error, write_status
from exporter.simulator.faults import FaultBoard, FaultKind, FaultOrder
from exporter.simulator.sent_messages import SentMessages
from exporter.simulator.settings import SimulatorSettings

KEY_USER = "@"
"""The user name that goes with an API key as password."""
MAX_ID_CHARACTERS = 255
UNKNOWN_STATUS_WORD = "read"
NO_ANSWER = 0
"""The code of a reply that never comes."""
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


class StatusApi:
    """Decides over status requests."""

    def __init__(self, settings: SimulatorSettings, sent: SentMessages, wire_clock: Clock) -> None:
        """`wire_clock` is real time, whatever the speed of the messages' clock."""
        self.faults = FaultBoard(settings.seed)
        self._settings = settings
        self._sent = sent
        self._wire_clock = wire_clock
        self._buckets: dict[str, TokenBucket] = {}
        self._retry_after = "" if settings.retry_after_seconds is None else str(settings.retry_after_seconds)

    def decide(self, message_id: str, key: str | None, authorization: str | None) -> Reply:
        """Return the reply to a request for `message_id`, given its two headers of authentication."""
        now_us = self._wire_clock.monotonic()
        customer = self._identify(key, authorization)
        if not customer or self._sent.scenario.key_revoked:
            return self._refuse(HTTPStatus.UNAUTHORIZED)
        if self._settings.requests_per_second and not self._find_bucket(customer).try_take_token(now_us):
            return self._refuse(HTTPStatus.TOO_MANY_REQUESTS)
        fault = self.faults.pick_fault(now_us, self._sent.scenario.fault)
        if fault is None:
            return self._answer(message_id)
        if fault.kind in _UNANSWERED:
            return Reply(NO_ANSWER, fault=fault)
        return self._spoil(fault, message_id)

    def _identify(self, key: str | None, authorization: str | None) -> str:
        """Return the name under which the rate is counted; empty for one that isn't let in."""
        if key is not None:
            return f"key {key}" if key in self._settings.api_keys else ""
        credentials = parse_basic_credentials(authorization or "")
        if credentials is None:
            return ""
        user, password = (part.decode("utf-8", "replace") for part in credentials)
        if user == KEY_USER:
            return f"key {password}" if password in self._settings.api_keys else ""
        return f"user {user}" if self._settings.passwords.get(user) == password else ""

    def _answer(self, message_id: str) -> Reply:
        """Return the true answer."""
        index = self._sent.find(message_id)
        if index < 0:
            malformed = not message_id or len(message_id) > MAX_ID_CHARACTERS or "/" in message_id
            return self._refuse(HTTPStatus.BAD_REQUEST if malformed else HTTPStatus.NOT_FOUND)
        body = write_status(index, message_id, self._sent.timeline_of(index), self._sent.clock.now())
        return Reply(HTTPStatus.OK, body)

    def _spoil(self, fault: FaultOrder, message_id: str) -> Reply:
        """Return what a fault makes of the answer."""
        match fault.kind:
            case FaultKind.STATUS:
                return self._refuse(fault.code)
            case FaultKind.REVOKE_KEY:
                return self._refuse(HTTPStatus.UNAUTHORIZED)
            case FaultKind.GARBAGE:
                return Reply(HTTPStatus.OK, _GARBAGE_BODY)
            case FaultKind.HTML:
                return Reply(HTTPStatus.OK, _HTML_BODY, HTML)
        return _alter(self._answer(message_id), fault)

    def _refuse(self, code: int) -> Reply:
        waits = code in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
        body = write_error(_ERROR_CODES.get(code, "ERROR"), "the simulated provider says no")
        return Reply(code, body, retry_after=self._retry_after if waits else "")

    def _find_bucket(self, customer: str) -> TokenBucket:
        bucket = self._buckets.get(customer)
        if bucket is None:
            rate, burst = self._settings.requests_per_second, self._settings.burst
            bucket = self._buckets[customer] = TokenBucket(rate, burst_tokens=burst, full=True)
        return bucket


def _alter(answer: Reply, fault: FaultOrder) -> Reply:
    """Return the true answer late, or with one thing in it wrong."""
    match fault.kind:
        case FaultKind.DELAY:
            return answer._replace(fault=fault)
        case FaultKind.UNKNOWN_STATUS if answer.code == HTTPStatus.OK:
            return answer._replace(body=replace_status_word(answer.body, UNKNOWN_STATUS_WORD))
        case FaultKind.BAD_COST if answer.code == HTTPStatus.OK:
            return answer._replace(body=spoil_cost(answer.body))
    return answer
