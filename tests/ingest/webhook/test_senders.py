"""The sender of a webhook, and its token: tables of headers that clients may send."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from exporter.ingest.webhook_listener import find_sender, read_token
from tests.kit.web import encode_basic

PROXIES = [ip_network("10.0.0.0/8"), ip_network("2001:db8:1::/48")]


@pytest.mark.parametrize(
    ("peer", "forwarded", "sender"),
    [
        ("192.0.2.7", [], "192.0.2.7"),
        # Only a trusted proxy is believed.
        ("192.0.2.7", ["198.51.100.1"], "192.0.2.7"),
        ("10.1.2.3", ["198.51.100.1"], "198.51.100.1"),
        # The right-most hop that is no trusted proxy: anyone can have written what is left of it.
        ("10.1.2.3", ["198.51.100.1, 192.0.2.7"], "192.0.2.7"),
        ("10.1.2.3", ["198.51.100.1, 192.0.2.7, 10.9.9.9"], "192.0.2.7"),
        ("10.1.2.3", ["198.51.100.1", "192.0.2.7"], "192.0.2.7"),
        ("10.1.2.3", ["198.51.100.1,192.0.2.7", "10.9.9.9"], "192.0.2.7"),
        ("10.1.2.3", [" 192.0.2.7 "], "192.0.2.7"),
        # Proxies all the way: the first of them.
        ("10.1.2.3", ["10.4.4.4, 10.5.5.5"], "10.4.4.4"),
        ("10.1.2.3", [], "10.1.2.3"),
        # Behind what is no address the sender is unknown.
        ("10.1.2.3", ["192.0.2.7, unknown"], None),
        ("10.1.2.3", ["192.0.2.7, "], None),
        ("10.1.2.3", ["192.0.2.7:4711"], None),
        ("10.1.2.3", ["192.0.2.7, for=198.51.100.1"], None),
        ("", [], None),
        # IPv6, and IPv4 as a socket for both shows it.
        ("2001:db8:1::9", ["2001:db8:2::1"], "2001:db8:2::1"),
        ("::ffff:10.1.2.3", ["192.0.2.7"], "192.0.2.7"),
        ("::ffff:192.0.2.7", [], "192.0.2.7"),
        ("10.1.2.3", ["::ffff:192.0.2.7"], "192.0.2.7"),
    ],
)
def test_the_sender(peer: str, forwarded: list[str], sender: str | None) -> None:
    """The peer, or behind trusted proxies the last hop that isn't one of them."""
    found = find_sender(peer, forwarded, PROXIES)
    assert (str(found) if found is not None else None) == sender


@pytest.mark.parametrize(
    ("path", "authorization", "token"),
    [
        ("/webhook/secret", "", b"secret"),
        ("/webhook/se/cret", "", b"se/cret"),
        ("/webhook/", "", b""),
        ("/webhook/secret", encode_basic("x", "other"), b"secret"),
        ("/webhook", encode_basic("x", "secret"), b"secret"),
        ("/webhook", encode_basic("", "se:cret"), b"se:cret"),
        ("/webhook", "basic " + encode_basic("x", "secret")[6:], b"secret"),
        ("/webhook", "Bearer secret", b""),
        ("/webhook", "Basic ???", b""),
        ("/webhook", "", b""),
        ("/webhooks/secret", "", b""),
        ("/", encode_basic("x", "secret"), b""),
    ],
)
def test_the_token(path: str, authorization: str, token: bytes) -> None:
    """In the path, or as the password of HTTP Basic; nowhere else."""
    assert read_token(path, authorization) == token
