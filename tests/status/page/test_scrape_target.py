"""The address in the scrape configuration: the one that the client used, if it is a valid address."""

from __future__ import annotations

import pytest
from aiohttp import web

from exporter.http import Listener
from exporter.status.page import find_scrape_target
from tests.http.client import send_request


async def request_target(*hosts: str) -> tuple[str, str]:
    """Send a request with these Host headers; returns the target in the answer, and the bound address."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=find_scrape_target(request))

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
async def test_a_valid_host_is_used(host: str) -> None:
    """Names, and addresses of both IP versions, with or without a port."""
    assert (await request_target(host))[0] == host


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
async def test_an_invalid_host_is_not_repeated(host: str) -> None:
    """The address that accepted the connection is used instead, or the request is refused."""
    target, bound = await request_target(host)
    assert target == bound or host not in target


async def test_without_one_host_it_is_the_address_that_accepted_the_connection() -> None:
    """Without a host, as in HTTP/1.0, and with several."""
    target, bound = await request_target()
    assert target in {bound, "Bad Request\n"}
    assert "evil" not in (await request_target("e", "evil"))[0]
