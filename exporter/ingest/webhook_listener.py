"""The listener for the provider's webhooks: who may speak, what is too much, and when to say yes.

`POST /webhook/TOKEN`, or `POST /webhook` with the token as the password of HTTP
Basic. Whoever lacks the token, or isn't on the list of senders, finds nothing
there. Answers have no body and are the same for known and unknown messages;
2xx comes only once what was told is durable.
"""

from __future__ import annotations

import asyncio
import hmac
from base64 import b64decode
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
from exporter.runtime.errors import ConfigError
from exporter.runtime.secrets import SecretSource

PATH = "/webhook"
BODY_SECONDS = 10.0
"""How long a body may take to arrive."""
RETRY_AFTER_SECONDS = 5


class Webhooks:
    """The listener, as long as the settings want one."""

    def __init__(self, hearing: WebhookProcessor, instruments: Instruments) -> None:
        """Listen to nobody before `follow`."""
        self._processor = hearing
        self._instruments = instruments
        self._settings: Webhook | None = None
        self._token: SecretSource | None = None
        self._listener: Listener | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it listens."""
        return self._listener.addresses if self._listener is not None else ()

    async def follow(self, settings: Webhook | None) -> None:
        """Take new settings; raises ListenError, and then goes on as before.

        Only another address interrupts: whoever is refused a connection may never try again.
        """
        before, listener = self._settings, self._listener
        if settings is not None and (before is None or before.listen != settings.listen):
            host, port = settings.listen
            address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            self._listener = await Listener(
                [address], [web.route("*", "/{path:.*}", self._answer)]
            ).__aenter__()
        elif settings is None:
            self._listener = None
        self._settings = settings
        self._token = settings.token() if settings is not None else None
        if listener is not None and listener is not self._listener:
            await listener.__aexit__(None, None, None)

    async def close(self) -> None:
        """Listen no more."""
        await self.follow(None)

    async def _answer(self, request: web.Request) -> web.Response:
        if not self._may_speak(request):
            self._instruments.count_webhook(WebhookResult.UNAUTHORIZED)
            return _empty(HTTPStatus.NOT_FOUND)
        if request.method != hdrs.METH_POST:
            return _empty(HTTPStatus.METHOD_NOT_ALLOWED, {hdrs.ALLOW: hdrs.METH_POST})
        body = await self._body(request)
        news = parse_webhook(body) if isinstance(body, bytes) else None
        if news is None:
            self._instruments.count_webhook(WebhookResult.INVALID)
            return _empty(body if isinstance(body, HTTPStatus) else HTTPStatus.BAD_REQUEST)
        if await self._processor.submit(news):
            return _empty(HTTPStatus.NO_CONTENT)
        return _empty(HTTPStatus.SERVICE_UNAVAILABLE, {hdrs.RETRY_AFTER: str(RETRY_AFTER_SECONDS)})

    async def _body(self, request: web.Request) -> bytes | HTTPStatus:
        """The body, or why there is none."""
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

    def _may_speak(self, request: web.Request) -> bool:
        """Whether a request has the token and comes from where it may."""
        settings, source = self._settings, self._token
        if settings is None or source is None:
            return False
        if settings.allowed_senders:
            sender = sender_of(
                request.remote or "",
                request.headers.getall("X-Forwarded-For", []),
                settings.trusted_proxies,
            )
            if sender is None or not _within(sender, settings.allowed_senders):
                return False
        try:
            token = source.read().reveal().encode()
        except ConfigError:
            return False
        shown = shown_token(request.path, request.headers.get(hdrs.AUTHORIZATION, ""))
        return hmac.compare_digest(shown, token)


def shown_token(path: str, authorization: str) -> bytes:
    """The token that a request shows, in its path or as a password; empty when it shows none."""
    if path.startswith(f"{PATH}/"):
        return path.removeprefix(f"{PATH}/").encode("utf-8", "surrogateescape")
    scheme, _, encoded = authorization.partition(" ")
    if path != PATH or scheme.lower() != "basic":
        return b""
    try:
        return b64decode(encoded, validate=True).partition(b":")[2]
    except ValueError:
        return b""


def sender_of(peer: str, forwarded: Iterable[str], trusted: Iterable[Network]) -> Ip | None:
    """Who sent a request: its peer, or behind proxies that are trusted the right-most hop that isn't one.

    `forwarded` are all X-Forwarded-For headers; what is left of that hop anyone can have written. None
    when it can't be told.
    """
    trusted = tuple(trusted)
    hops = [hop.strip() for header in forwarded for hop in header.split(",")]
    sender = _address(peer)
    while sender is not None and hops and _within(sender, trusted):
        sender = _address(hops.pop())
    return sender


def _address(text: str) -> Ip | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # A socket for both versions shows IPv4 peers like this.
    return getattr(address, "ipv4_mapped", None) or address


def _within(address: Ip, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


def _empty(status: HTTPStatus, headers: dict[str, str] | None = None) -> web.Response:
    response = web.Response(status=status, headers=headers)
    if status in {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE}:
        # What is left of the body is not worth waiting for.
        response.force_close()
    return response
