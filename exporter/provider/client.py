"""One request to the provider, from the message's id to a `Reply`.

The reply's outcome says what went wrong: a failed request is an event like any
other, so `fetch` raises nothing but `CancelledError`. Each call sends at most one
request; the caller decides when to send the next.

Only what is safe to log goes into `Reply.detail`: sizes, names of errors, a
digest. Bodies, ids and keys don't.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self

import aiohttp
from aiohttp import hdrs
from aiohttp.abc import AbstractResolver
from yarl import URL

from exporter.domain import message_ids
from exporter.domain.model import SECOND_US, Answer, Outcome, Reply
from exporter.provider import connection, parsing
from exporter.runtime.clock import Clock
from exporter.runtime.errors import ConfigError

CONNECT_TIMEOUT_SECONDS = 5.0
DNS_CACHE_SECONDS = 30
SECRET_REREAD_US = SECOND_US
"""How old a key may be before its source is read again: a rotated key works within twice that."""

_MESSAGE_PATH = "/bat/message/"
_OUTCOME_BY_STATUS = {
    401: Outcome.UNAUTHORIZED,
    403: Outcome.UNAUTHORIZED,
    404: Outcome.NOT_FOUND,
    429: Outcome.RATE_LIMITED,
}
_OUTCOME_BY_HUNDRED = {3: Outcome.REDIRECT, 4: Outcome.CLIENT_ERROR, 5: Outcome.SERVER_ERROR}
_OK = 200
_MAY_HAVE_RETRY_AFTER = frozenset({429, 503})
_CONTENT_TYPES = frozenset(
    {
        "application/json",
        "application/octet-stream",
        "application/problem+json",
        "application/xml",
        "text/html",
        "text/plain",
        "text/xml",
    }
)
_HEADER_TEXT = re.compile(r"[ -~]+", re.ASCII)


class Revealable(Protocol):
    """A secret that shows its text only to those who call `reveal`."""

    def reveal(self) -> str:
        """Return the secret's text."""
        ...


class SecretSource(Protocol):
    """Where the key or password of an account is read from."""

    def read(self) -> Revealable:
        """Read the current secret; ConfigError or OSError while there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Auth:
    """How an account authenticates, in one of the provider's three ways."""

    method: Literal["header", "key-as-password", "basic"]
    secret: SecretSource = field(repr=False)
    username: str = ""
    """For `basic` only."""

    def make_headers(self) -> dict[str, str]:
        """Make the header with the secret; ValueError if the secret can't be a header's value."""
        secret = self.secret.read().reveal()
        if self.method == "header":
            if _HEADER_TEXT.fullmatch(secret) is None:
                raise ValueError("not printable ASCII text")
            return {"X-Authorization-Key": secret}
        username = "@" if self.method == "key-as-password" else self.username
        token = base64.b64encode(f"{username}:{secret}".encode("utf-8", "surrogatepass")).decode("ascii")
        return {hdrs.AUTHORIZATION: f"Basic {token}"}


class Anonymous:
    """An account that sends no credentials: to see whether they make a difference."""

    def make_headers(self) -> dict[str, str]:
        """Make no header."""
        return {}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an account's provider is and how it may be treated."""

    base_url: str
    """https, or http to a loopback address (`config` checks that); may end in a path."""
    user_agent: str
    timeout_us: int = 10 * SECOND_US
    """For a whole request, from looking up the name to the end of the body."""
    max_in_flight: int = 10
    ca_file: Path | None = None
    """Trust these certificates only, instead of the system's."""


class Client:
    """The requests of one account; made inside a running loop, closed by leaving its context."""

    def __init__(
        self,
        endpoint: Endpoint,
        auth: Auth | Anonymous,
        clock: Clock,
        *,
        resolver: AbstractResolver | None = None,
    ) -> None:
        """Prepare, without a request; ConfigError if the `ca_file` can't be used.

        `resolver` replaces that of the system.
        """
        base = URL(endpoint.base_url)
        self._origin = base.origin()
        self._path = base.raw_path.rstrip("/") + _MESSAGE_PATH
        self._auth = auth
        self._clock = clock
        self._headers: dict[str, str] | None = None
        self._headers_read_at = 0
        timeout_seconds = endpoint.timeout_us / SECOND_US
        tls = connection.make_tls_context(endpoint.ca_file) if base.scheme == "https" else True
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=endpoint.max_in_flight,
                resolver=resolver or aiohttp.ThreadedResolver(),
                socket_factory=connection.open_socket,
                ssl=tls,
                ttl_dns_cache=DNS_CACHE_SECONDS,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={
                hdrs.USER_AGENT: endpoint.user_agent,
                hdrs.ACCEPT: "application/json",
                hdrs.ACCEPT_ENCODING: "identity",
            },
            # aiohttp rounds time-outs above the threshold up to whole seconds.
            timeout=aiohttp.ClientTimeout(
                total=timeout_seconds,
                sock_connect=CONNECT_TIMEOUT_SECONDS,
                ceil_threshold=timeout_seconds + CONNECT_TIMEOUT_SECONDS,
            ),
            auto_decompress=False,
            read_bufsize=parsing.MAX_BODY_BYTES,
            trust_env=False,
            middlewares=(connection.forbid_silent_retry,),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def fetch(self, message_id: str) -> Reply:
        """Poll `message_id` once; the reply's outcome says what went wrong."""
        began_us = self._clock.monotonic()
        refusal = message_ids.reject_reason(message_id)
        if refusal:
            return Reply(Outcome.CLIENT_ERROR, detail=f"not sent: the id is refused as {refusal}")
        headers = self._headers
        if headers is None or began_us - self._headers_read_at >= SECRET_REREAD_US:
            try:
                headers = self._auth.make_headers()
            except (ConfigError, OSError):
                return Reply(Outcome.UNAUTHORIZED, detail="not sent: key file unreadable")
            except ValueError:  # its text may quote the key, if a codec raised it
                return Reply(Outcome.UNAUTHORIZED, detail="not sent: the key is not printable ASCII text")
            self._headers, self._headers_read_at = headers, began_us
        sockets = connection.Sockets()
        connection.SOCKETS.set(sockets)
        try:
            reply = await self._send(message_id, headers)
        except Exception as error:  # noqa: BLE001 - the edge of one request: its failure is a value
            reply = connection.explain_failure(error, sockets)
        if reply.outcome is Outcome.UNAUTHORIZED:
            # The next request may be made because the key has changed since it was read.
            self._headers = None
        return reply._replace(duration_us=self._clock.monotonic() - began_us)

    async def _send(self, message_id: str, headers: dict[str, str]) -> Reply:
        """Send one request and read its answer; raises what ends it before the answer's head."""
        path = self._path + message_id
        url = self._origin.with_path(path, encoded=True)
        if url.raw_path != path or url.raw_host != self._origin.raw_host:
            return Reply(Outcome.CLIENT_ERROR, detail="not sent: the id changes the address")
        response = await self._session.get(url, headers=headers, allow_redirects=False)
        try:
            body: bytes | Outcome
            try:
                body = await _read(response.content)
            except TimeoutError:
                body = Outcome.TIMEOUT
            except aiohttp.ClientError:
                body = Outcome.BAD_BODY
            return self._interpret(response, body, message_id)
        finally:
            if not response.closed:  # the rest of the body is of no use, and so the connection is not
                response.close()

    def _interpret(self, response: aiohttp.ClientResponse, body: bytes | Outcome, message_id: str) -> Reply:
        """Turn an answer into a reply; its status counts even where its body could not be read."""
        status = response.status
        if status != _OK:
            outcome = _OUTCOME_BY_STATUS.get(status) or _OUTCOME_BY_HUNDRED.get(
                status // 100, Outcome.BAD_SCHEMA
            )
            wait_us = self._parse_retry_after(response) if status in _MAY_HAVE_RETRY_AFTER else None
            return Reply(outcome, retry_after_us=wait_us, detail=_describe(response, body))
        result: Answer | bytes | Outcome = body
        encoding = response.headers.get(hdrs.CONTENT_ENCODING)
        if encoding is not None and isinstance(result, bytes):
            result = parsing.inflate(result, encoding)
        if isinstance(result, bytes):
            result = parsing.parse_answer(result, message_id)
        if isinstance(result, Answer):
            return Reply(Outcome.OK, result)
        return Reply(result, detail=_describe(response, body))

    def _parse_retry_after(self, response: aiohttp.ClientResponse) -> int | None:
        """Return the pause that the provider asks for; its dates are compared with its own clock."""
        values = response.headers.getall(hdrs.RETRY_AFTER, [])
        here = parsing.parse_http_date(response.headers.get(hdrs.DATE, ""))
        return parsing.parse_retry_after(values, self._clock.now() if here is None else here)


async def _read(content: aiohttp.StreamReader) -> bytes | Outcome:
    """Read a body as it is sent, or TOO_LARGE."""
    first = await content.readany()
    if content.at_eof():
        return first if len(first) <= parsing.MAX_BODY_BYTES else Outcome.TOO_LARGE
    body = bytearray(first)
    while len(body) <= parsing.MAX_BODY_BYTES:
        if content.at_eof():
            return bytes(body)
        body += await content.readany()
    return Outcome.TOO_LARGE


def _describe(response: aiohttp.ClientResponse, body: bytes | Outcome) -> str:
    """Describe an unusable answer so that two of them can be told apart, without its content."""
    declared = response.headers.get(hdrs.CONTENT_TYPE, "none").partition(";")[0].strip().lower()
    content_type = declared if declared in _CONTENT_TYPES or declared == "none" else "other"
    known = f"status={response.status} type={content_type}"
    if isinstance(body, Outcome):
        return f"{known} body={body}"
    return f"{known} size={len(body)} sha256={hashlib.sha256(body).hexdigest()[:12]}"
