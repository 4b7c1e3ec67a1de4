"""Listens for the provider's webhooks: checks token and sender, bounds the body, and responds.

`POST /webhook/TOKEN`, or `POST /webhook` with the token as the password of HTTP
Basic. Requests without the token, or from other addresses than the allowed
senders, get 404. Responses have no body and are the same for known and unknown
messages; 2xx comes only once the event is durable.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Iterable
from http import HTTPStatus
from ipaddress import ip_address

from aiohttp import hdrs, web

from exporter.config import Webhook
from exporter.config.addresses import Ip, Network
from exporter.domain.model import WebhookResult
from exporter.http import CLIENT_DISCONNECTED, Listener
from exporter.ingest.webhook_processor import WebhookProcessor
from exporter.metrics.instruments import Instruments
from exporter.provider.parsing import parse_webhook
from exporter.runtime.addresses import format_address
from exporter.runtime.errors import ConfigError
from exporter.runtime.secrets import SecretSource, parse_basic_credentials

PATH = "/webhook"
BODY_SECONDS = 10.0
"""How long a body may take to arrive."""
RETRY_AFTER_SECONDS = 5


class WebhookListener:
    """Listens while webhooks are configured."""

    def __init__(self, processor: WebhookProcessor, instruments: Instruments) -> None:
        """Listen on no address before `configure`."""
        self._processor = processor
        self._instruments = instruments
        self._settings: Webhook | None = None
        self._token: SecretSource | None = None
        self._listener: Listener | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it listens."""
        return self._listener.addresses if self._listener is not None else ()

    async def configure(self, settings: Webhook | None) -> None:
        """Apply new settings, None for no webhooks; raises ListenError, and then goes on as before.

        The socket is only opened anew for another address: a sender that is refused a connection may
        never try again.
        """
        before, listener = self._settings, self._listener
        if settings is not None and (before is None or before.listen != settings.listen):
            address = format_address(*settings.listen)
            self._listener = await Listener(
                [address], [web.route("*", "/{path:.*}", self._serve)]
            ).__aenter__()
        elif settings is None:
            self._listener = None
        self._settings = settings
        self._token = settings.token() if settings is not None else None
        if listener is not None and listener is not self._listener:
            await listener.__aexit__(None, None, None)

    async def close(self) -> None:
        """Stop listening."""
        await self.configure(None)

    async def _serve(self, request: web.Request) -> web.Response:
        if not self._is_allowed(request):
            self._instruments.count_webhook(WebhookResult.UNAUTHORIZED)
            return _respond(HTTPStatus.NOT_FOUND)
        if request.method != hdrs.METH_POST:
            return _respond(HTTPStatus.METHOD_NOT_ALLOWED, {hdrs.ALLOW: hdrs.METH_POST})
        body = await self._read_body(request)
        event = parse_webhook(body) if isinstance(body, bytes) else None
        if event is None:
            self._instruments.count_webhook(WebhookResult.INVALID)
            return _respond(body if isinstance(body, HTTPStatus) else HTTPStatus.BAD_REQUEST)
        if await self._processor.submit(event):
            return _respond(HTTPStatus.NO_CONTENT)
        return _respond(HTTPStatus.SERVICE_UNAVAILABLE, {hdrs.RETRY_AFTER: str(RETRY_AFTER_SECONDS)})

    async def _read_body(self, request: web.Request) -> bytes | HTTPStatus:
        """The body, or the status that refuses it."""
        if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
            return HTTPStatus.UNSUPPORTED_MEDIA_TYPE
        try:
            async with asyncio.timeout(BODY_SECONDS):
                return await request.read()
        except TimeoutError:
            return HTTPStatus.REQUEST_TIMEOUT
        except web.HTTPRequestEntityTooLarge:
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        except CLIENT_DISCONNECTED:
            return HTTPStatus.BAD_REQUEST

    def _is_allowed(self, request: web.Request) -> bool:
        """Whether a request has the token and comes from an allowed sender."""
        settings, source = self._settings, self._token
        if settings is None or source is None:
            return False
        if settings.allowed_senders:
            sender = find_sender(
                request.remote or "",
                request.headers.getall("X-Forwarded-For", []),
                settings.trusted_proxies,
            )
            if sender is None or not _is_within(sender, settings.allowed_senders):
                return False
        try:
            token = source.read().reveal().encode()
        except ConfigError:
            return False
        token_sent = read_token(request.path, request.headers.get(hdrs.AUTHORIZATION, ""))
        return hmac.compare_digest(token_sent, token)


def read_token(path: str, authorization: str) -> bytes:
    """The token that a request has in its path or as a password; empty when it has none."""
    if path.startswith(f"{PATH}/"):
        return path.removeprefix(f"{PATH}/").encode("utf-8", "surrogateescape")
    credentials = parse_basic_credentials(authorization) if path == PATH else None
    return credentials[1] if credentials is not None else b""


def find_sender(peer: str, forwarded: Iterable[str], trusted: Iterable[Network]) -> Ip | None:
    """The sender of a request: its peer, or behind trusted proxies the right-most hop that isn't one.

    `forwarded` are all X-Forwarded-For headers; anyone can have written what is left of that hop. None
    when the sender is unknown.
    """
    trusted = tuple(trusted)
    hops = [hop.strip() for header in forwarded for hop in header.split(",")]
    sender = _parse_address(peer)
    while sender is not None and hops and _is_within(sender, trusted):
        sender = _parse_address(hops.pop())
    return sender


def _parse_address(text: str) -> Ip | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # A socket for both versions shows IPv4 peers like this.
    return getattr(address, "ipv4_mapped", None) or address


def _is_within(address: Ip, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


def _respond(status: HTTPStatus, headers: dict[str, str] | None = None) -> web.Response:
    response = web.Response(status=status, headers=headers)
    if status in {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE}:
        # Do not wait for the rest of the body.
        response.force_close()
    return response
