"""Clients of a webhook listener: some that post, some that never finish a request, and one that scrapes.

Written on bare streams, so that the client costs less than the server that it measures.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from time import perf_counter
from typing import NamedTuple

import aiohttp

CONNECTIONS = 32
SCRAPE_EVERY_SECONDS = 0.05
DRIP_EVERY_SECONDS = 0.1


class Posted(NamedTuple):
    """The results of requests."""

    seconds: float
    """From the first request to the last answer."""
    latencies: list[float]
    """Seconds of each request, sorted."""
    statuses: dict[int, int]


def make_request(path: str, message_id: str, status: str = "delivered") -> bytes:
    """Make the bytes of one webhook."""
    body = json.dumps(
        {"messageId": message_id, "deliverystatus": status, "timestamp": "2026-11-23T10:30:00Z", "cost": 0.05}
    )
    return (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode("ascii")


async def post_all(
    address: str, requests: Iterable[bytes], connections: int = CONNECTIONS, *, rate: float = 0.0
) -> Posted:
    """Send all requests as fast as they are answered, or with a `rate` that many per second.

    With a rate, the time of each counts from when it should have been sent, so that it includes
    the wait for a connection.
    """
    began = perf_counter()
    rest = ((began + number / rate if rate else 0.0, one) for number, one in enumerate(requests))
    latencies: list[float] = []
    statuses: dict[int, int] = {}
    async with asyncio.TaskGroup() as posting:
        for _ in range(connections):
            posting.create_task(_post(address, rest, latencies, statuses))
    return Posted(perf_counter() - began, sorted(latencies), statuses)


async def _post(
    address: str, requests: Iterator[tuple[float, bytes]], latencies: list[float], statuses: dict[int, int]
) -> None:
    """Send requests over one connection, or a new one after it is cut; status 0 is no answer."""
    host, _, port = address.rpartition(":")
    timed = next(requests, None)
    while timed is not None:
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            while timed is not None:
                due_at, one = timed
                began = perf_counter()
                if began < due_at:
                    await asyncio.sleep(due_at - began)
                    # A delay of the timer is the client's fault.
                    began = perf_counter()
                elif due_at:
                    began = due_at
                writer.write(one)
                head = await reader.readuntil(b"\r\n\r\n")
                latencies.append(perf_counter() - began)
                _count(statuses, int(head[9:12]))
                timed = next(requests, None)
        except (OSError, asyncio.IncompleteReadError):
            _count(statuses, 0)
            timed = next(requests, None)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def _count(statuses: dict[int, int], status: int) -> None:
    statuses[status] = statuses.get(status, 0) + 1


async def drip_until(address: str, path: str, stop: asyncio.Event) -> int:
    """Send requests slowly without finishing any; return how many the server cut short."""
    host, _, port = address.rpartition(":")
    head = f"POST {path} HTTP/1.1\r\nHost: slow\r\nContent-Length: 60000\r\n\r\n{{".encode("ascii")
    cut = 0
    while not stop.is_set():
        with suppress(OSError):
            await _drip(host, int(port), head, stop)
        cut += not stop.is_set()
    return cut


async def _drip(host: str, port: int, head: bytes, stop: asyncio.Event) -> None:
    _, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(head)
        while not stop.is_set() and not writer.is_closing():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(DRIP_EVERY_SECONDS)
    finally:
        writer.close()


async def scrape_until(address: str, stop: asyncio.Event) -> list[float]:
    """Scrape until `stop`; return the seconds of each scrape, sorted."""
    seconds: list[float] = []
    async with aiohttp.ClientSession() as session:
        while not stop.is_set():
            began = perf_counter()
            async with session.get(f"http://{address}/metrics") as response:
                await response.read()
            seconds.append(perf_counter() - began)
            await asyncio.sleep(SCRAPE_EVERY_SECONDS)
    return sorted(seconds)
