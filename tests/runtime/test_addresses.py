"""How an address is written."""

from __future__ import annotations

import pytest

from exporter.runtime.addresses import format_address


@pytest.mark.parametrize(
    ("host", "written"),
    [
        ("127.0.0.1", "127.0.0.1:80"),
        ("exporter", "exporter:80"),
        ("", ":80"),
        ("2001:db8::1", "[2001:db8::1]:80"),
    ],
)
def test_an_ipv6_address_stands_in_brackets(host: str, written: str) -> None:
    """So that its port can be distinguished from its last group."""
    assert format_address(host, 80) == written
