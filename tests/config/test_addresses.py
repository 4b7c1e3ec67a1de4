"""Where the key may be sent, and where we may listen."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.addresses import (
    Listen,
    explain_bad_base_url,
    is_forbidden_address,
    parse_listen,
    parse_network,
)


@pytest.mark.parametrize(
    "url",
    [
        "https://restapi.smsbat.com",
        "https://restapi.smsbat.com/",
        "https://restapi.smsbat.com:8443/eu/v1",
        "https://10.1.2.3",
        "https://[2001:db8::1]:443",
        "http://127.0.0.1:8080",
        "http://127.9.9.9",
        "http://[::1]:8080",
        "http://localhost:8080",
    ],
)
def test_https_anywhere_and_http_to_ourselves_are_accepted(url: str) -> None:
    """Names, plain addresses, ports and paths are fine."""
    assert explain_bad_base_url(url) == ("", "")


@pytest.mark.parametrize(
    "url",
    [
        "http://restapi.smsbat.com",
        "http://192.168.0.1",
        "http://[::ffff:127.0.0.1]",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "https://localhost@example.com",
        "https://example.com?x",
        "https://example.com#x",
        "https://example.com/../x",
        "https://example.com\\x",
        "https://example.com/%2e",
        "https://exa mple.com",
        "https://example.com:",
        "https://example.com:0",
        "https:///path",
        "https:example.com",
        "//example.com",
        "https://[::1",
        "https://[v1.x]",
        "https://a..b",
        "https://169.254.169.254",
        "https://169.254.169.254.",
        "https://[fe80::1]",
        "https://[fe80::1%25eth0]",
        "https://[::ffff:169.254.169.254]",
        "https://[::ffff:a9fe:a9fe]",
        "https://[64:ff9b::a9fe:a9fe]",
        "https://[2002:a9fe:a9fe::]",
        "https://[fd00:ec2::254]",
        "https://100.100.100.200",
        "https://0.0.0.0",
        "https://[::]",
        "https://224.0.0.1",
        "https://255.255.255.255",
        "https://2852039166",
        "https://0xa9fea9fe",
        "https://0xa9.0xfe.0xa9.0xfe",
        "https://0251.0376.0251.0376",
        "https://169.254.43518",
        "http://127.1",
        "http://2130706433",
        "https://metadata.google.internal",
        "https://METADATA.google.internal.",
    ],
)
def test_a_url_that_could_take_the_key_elsewhere_is_refused(url: str) -> None:
    """Plain http, user-info, disguised numbers, metadata services, and what two readers read differently."""
    message, hint = explain_bad_base_url(url)
    assert message
    assert url not in message + hint


@given(st.text())
def test_any_text_is_a_base_url_or_refused(text: str) -> None:
    """No text is an unexpected exception."""
    assert isinstance(explain_bad_base_url("https://" + text), tuple)


@pytest.mark.parametrize("text", ["8.8.8.8", "10.0.0.1", "127.0.0.1", "2001:db8::1", "::1"])
def test_ordinary_addresses_are_not_forbidden(text: str) -> None:
    """Private and loopback ones included: a proxy of the company may be there."""
    assert not is_forbidden_address(ip_address(text))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0.0.0.0:10979", Listen("0.0.0.0", 10979)),  # noqa: S104 - parsed, and not bound
        (":10979", Listen("", 10979)),
        ("localhost:0", Listen("localhost", 0)),
        ("[::1]:80", Listen("::1", 80)),
    ],
)
def test_an_address_to_listen_on_is_host_and_port(text: str, address: Listen) -> None:
    """As all exporters write it."""
    assert parse_listen(text) == address


@pytest.mark.parametrize(
    "text",
    ["", "10979", "host", "host:", "host:65536", "::1:80", "[127.0.0.1]:80", "1.2.3:80", "a b:80", "[::g]:8"],
)
def test_anything_else_is_no_address_to_listen_on(text: str) -> None:
    """A port alone, a port too large, and addresses with parts missing are refused."""
    assert parse_listen(text) is None


def test_a_network_with_host_bits_set_gets_the_hint_that_fixes_it() -> None:
    """10.0.0.1/8 may mean a host or a network: the writer decides."""
    assert parse_network("10.0.0.1/8") == (None, "write 10.0.0.0/8")
    assert parse_network("10.0.0.0/8")[0] is not None
    assert parse_network("no network")[0] is None
