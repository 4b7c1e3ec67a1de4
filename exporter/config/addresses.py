"""Addresses: base URLs of the provider, addresses to listen on, and networks.

The API key is sent to `base_url`, so a URL that another program could read
differently (user-info, numbers in disguise, backslashes) is refused rather than
interpreted.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple, TypeAlias
from urllib.parse import SplitResult, urlsplit

Ip: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

MAX_PORT = 65_535
_URL_CHARACTERS = re.compile(r"[A-Za-z0-9:/._~\[\]-]+", re.ASCII)
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?", re.ASCII)
_LAST_LABEL_NUMERIC = re.compile(r"(.*\.)?(0[xX][0-9A-Fa-f]*|[0-9]+)\.?", re.ASCII)
_LISTEN = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]*):([0-9]{1,5})", re.ASCII)
_METADATA_NAMES = {"metadata", "metadata.google.internal", "instance-data", "instance-data.ec2.internal"}
_METADATA_ADDRESSES = {ip_address(text) for text in ("100.100.100.200", "168.63.129.16", "fd00:ec2::254")}
_NAT64 = IPv6Network("64:ff9b::/96")


class Listen(NamedTuple):
    """An address to listen on."""

    host: str
    """Empty: all addresses."""
    port: int
    """0: any free one."""


def is_forbidden_address(address: Ip) -> bool:
    """Whether the provider can't be at `address`: link-local, cloud metadata, unspecified or multicast.

    For literals, and for the addresses that a name resolves to.
    """
    for candidate in (address, _extract_ipv4(address)):
        if candidate is None:
            continue
        if candidate.is_link_local or candidate.is_multicast or candidate.is_unspecified:
            return True
        if candidate in _METADATA_ADDRESSES or candidate == IPv4Address("255.255.255.255"):
            return True
    return False


def explain_bad_base_url(text: str) -> tuple[str, str]:
    """Say why `text` can't be a base URL, as (message, hint) that don't quote it; ("", "") when it can."""
    for sign, name in (("@", "user-info"), ("?", "a query"), ("#", "a fragment")):
        if sign in text:
            return f"must not have {name}", "write scheme, host and path only; the key belongs in auth"
    if _URL_CHARACTERS.fullmatch(text) is None:
        return "is not a URL", "write it like https://restapi.smsbat.com, without spaces or escapes"
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        return "is not a URL", "write it like https://restapi.smsbat.com"
    host = url.hostname or ""
    if url.scheme not in {"https", "http"} or not host or port == 0 or url.netloc.endswith(":"):
        return "is not a URL", "write it like https://restapi.smsbat.com"
    if ".." in url.path.split("/"):
        return "must not have .. in its path", ""
    return _explain_bad_host(url, host)


def parse_listen(text: str) -> Listen | None:
    """Read `host:port`, `[v6]:port` or `:port`; None when it is none of them."""
    match = _LISTEN.fullmatch(text)
    if match is None or int(match[2]) > MAX_PORT:
        return None
    host = match[1]
    if host.startswith("["):
        host = host[1:-1]
        if not isinstance(_parse_literal(host), IPv6Address):
            return None
    elif _LAST_LABEL_NUMERIC.fullmatch(host) and _parse_literal(host) is None:
        return None
    return Listen(host, int(match[2]))


def parse_network(text: str) -> tuple[Network | None, str]:
    """Read a network; None and a hint when `text` is none."""
    try:
        return ip_network(text), ""
    except ValueError:
        pass
    try:
        return None, f"write {ip_network(text, strict=False)}"
    except ValueError:
        return None, "write it like 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32"


def _explain_bad_host(url: SplitResult, host: str) -> tuple[str, str]:
    """Do the same as `explain_bad_base_url`, for the host alone."""
    literal = _parse_literal(host)
    if literal is None:
        if "[" in url.netloc or _HOST_NAME.fullmatch(host) is None:
            return "has no valid host", ""
        if _LAST_LABEL_NUMERIC.fullmatch(host):
            return "has a host that is a number in disguise", "write an address as four plain decimals"
    elif is_forbidden_address(literal):
        return "points to a link-local, metadata or unspecified address", ""
    if host.rstrip(".") in _METADATA_NAMES:
        return "points to a cloud's metadata service", ""
    # Whether ::ffff:127.0.0.1 is loopback depends on the version of Python; here it never is.
    loopback = (
        host == "localhost" if literal is None else literal.is_loopback and _extract_ipv4(literal) is None
    )
    if url.scheme == "http" and not loopback:
        return "must be https", "http would send the key unencrypted; it is only for loopback addresses"
    return "", ""


def _parse_literal(host: str) -> Ip | None:
    """Read an address in canonical notation; None for names and everything else."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _extract_ipv4(address: Ip) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 address embeds, if any."""
    if isinstance(address, IPv4Address):
        return None
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour
