"""How connections to the provider are opened, and what their failures mean.

This is what the HTTP client must not decide by itself: which addresses it may
connect to, which certificates it trusts, and that a request whose connection is
lost isn't sent again.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from contextvars import ContextVar
from pathlib import Path

import aiohttp

from exporter.config.addresses import is_forbidden_address
from exporter.domain.model import Outcome, Reply
from exporter.runtime.errors import Code, ConfigError


class ConnectionLostError(Exception):
    """The connection ended before an answer began.

    aiohttp sends a GET again, at once, when it sees its own exception for this:
    the same message twice within a second. It doesn't know this exception.
    """


class Sockets:
    """Counts the attempts to open a connection for one request."""

    __slots__ = ("opened", "refused")

    def __init__(self) -> None:
        self.opened = 0
        self.refused = 0


# A request that opens no socket reuses a connection.
SOCKETS: ContextVar[Sockets] = ContextVar("sockets")


async def forbid_silent_retry(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Make a lost connection end the request: see `ConnectionLostError`."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionResetError) as error:
        raise ConnectionLostError from error


def open_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """Make the socket of a new connection, unless the address is forbidden.

    Here, and not in the resolver: a host that is an address is never resolved.
    """
    family, kind, protocol, _, target = address
    sockets = SOCKETS.get()
    # Without its zone, which is this machine's own name for a network.
    if is_forbidden_address(ipaddress.ip_address(str(target[0]).partition("%")[0])):
        sockets.refused += 1
        raise OSError("link-local or metadata address")
    sockets.opened += 1
    return socket.socket(family, kind, protocol)


def make_tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Require TLS 1.2 or later, and check certificates by the system's CAs or those of `ca_file`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is None:
        context.load_default_certs()
        return context
    try:
        context.load_verify_locations(cafile=ca_file)
    except OSError as error:  # no such file, or no certificate in it
        raise ConfigError(
            f"ca_file {ca_file} can't be used: {type(error).__name__}",
            hint="it must be a readable file of certificates in PEM form",
            code=Code.CONFIG_CA_FILE,
        ) from None
    return context


def explain_failure(error: Exception, sockets: Sockets) -> Reply:
    """Make the reply of a request that got no answer, from its `error`."""
    causes = _list_causes(error)
    # Names only: the texts of these errors quote addresses and bytes that the provider sent.
    detail = ": ".join(type(cause).__name__ for cause in causes)
    # The innermost: aiohttp's errors for TLS are SSLErrors too, but have none of their attributes.
    tls = next((cause for cause in reversed(causes) if isinstance(cause, ssl.SSLError)), None)
    lost = isinstance(error, ConnectionLostError) and not sockets.opened
    if lost:
        outcome = Outcome.CONNECT
    elif sockets.refused and not sockets.opened:
        outcome = Outcome.DNS
        detail += ": link-local or metadata address"
    elif isinstance(error, aiohttp.ClientConnectorDNSError | aiohttp.InvalidURL | UnicodeError):
        outcome = Outcome.DNS
    elif tls is not None:
        outcome = Outcome.TLS
        detail += f": {getattr(tls, 'verify_message', '') or getattr(tls, 'reason', '')}"
    elif isinstance(error, TimeoutError):
        outcome = Outcome.TIMEOUT
    elif isinstance(error, aiohttp.ClientResponseError):  # something answered, but not in HTTP
        outcome = Outcome.BAD_BODY
    else:
        outcome = Outcome.CONNECT
    return Reply(outcome, detail=detail, reused_connection_lost=lost)


def _list_causes(error: BaseException) -> list[BaseException]:
    """List `error`, the error that it was raised from, and so on."""
    causes = [error]
    while (cause := causes[-1].__cause__) is not None and cause not in causes:
        causes.append(cause)
    return causes
