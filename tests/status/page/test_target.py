"""The address in the scrape configuration: the one that was asked for, if it is an address."""

from __future__ import annotations

import pytest
from aiohttp import web

from exporter.http import Listener
from exporter.status.page import target_of
from tests.http.client import send_request


async def told(*hosts: str) -> tuple[str, str]:
    """What a request with these Host headers is told, and where it was sent."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=target_of(request))

    async with Listener(["127.0.0.1:0"], [web.get("/", answer)]) as listener:
        lines = "".join(f"Host: {host}\r\n" for host in hosts)
        received = await send_request(
            listener, f"GET / HTTP/1.1\r\n{lines}Connection: close\r\n\r\n".encode("latin-1")
        )
        return received.partition(b"\r\n\r\n")[2].decode(), listener.addresses[0]


@pytest.mark.parametrize(
    "host",
    ["exporter.example.org", "exporter:10978", "10.1.2.3:80", "[2001:db8::1]:10978", "[::1]", "a_b-c:1"],
)
async def test_a_host_that_is_one_is_taken_over(host: str) -> None:
    """Names and both versions of addresses, with a port or without."""
    assert (await told(host))[0] == host


@pytest.mark.parametrize(
    "host",
    [
        "",
        'e"]',
        "e: 1",
        "<b>",
        "a/b",
        "user@host",
        "e:123456",
        "-e",
        "h\xf6st",
        "%22",
        "x" * 300,
        "${HOME}",
        "{{ e }}",
    ],
)
async def test_any_other_is_not_repeated(host: str) -> None:
    """The address that took the connection stands there instead, or the request is refused."""
    target, bound = await told(host)
    assert target == bound or host not in target


async def test_without_a_host_it_is_the_address_that_was_reached() -> None:
    """As a client of the oldest HTTP sends it; and never one of several."""
    target, bound = await told()
    assert target in {bound, "Bad Request\n"}
    assert "evil" not in (await told("e", "evil"))[0]
