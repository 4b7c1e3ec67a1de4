"""The simulated provider's webhooks: what is told, how badly, and when it is told again."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from exporter.simulator import Simulator, SimulatorSettings, tally
from exporter.simulator.fate import NEVER_AT
from exporter.simulator.webhooks import WebhookOrder, read_webhook_order
from tests.kit.waiting import HANG_SECONDS, LOOK_EVERY_SECONDS

SPEED = 3_000.0
"""A one-time password ends within hundredths of a second."""


class Customer:
    """Whoever receives webhooks."""

    def __init__(self) -> None:
        """Nothing has come."""
        self.url = ""
        self.news: list[dict[str, Any]] = []
        self.status: Callable[[int], int] = lambda _: 204
        """The answer to each, by its number."""
        self.requests = 0

    async def hear(self, request: web.Request) -> web.Response:
        """Take one webhook."""
        status = self.status(self.requests)
        self.requests += 1
        if status == 204:
            self.news.append(json.loads(await request.read()))
        return web.Response(status=status)

    def ends(self) -> Counter[str]:
        """How often the end of each message was told."""
        return Counter(one["messageId"] for one in self.news if one["deliverystatus"] != "processing")


@asynccontextmanager
async def simulated() -> AsyncIterator[tuple[Simulator, Customer, aiohttp.ClientSession]]:
    """A provider, its customer, and whoever drives the simulation."""
    customer = Customer()
    app = web.Application()
    app.add_routes([web.post("/hook", customer.hear)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    customer.url = f"http://{host}:{port}/hook"
    try:
        settings = SimulatorSettings(port=0, speed=SPEED, requests_per_second=0)
        async with Simulator(settings) as simulator, aiohttp.ClientSession(simulator.url) as session:
            yield simulator, customer, session
    finally:
        await runner.cleanup()


async def order(session: aiohttp.ClientSession, **how: object) -> int:
    """Order webhooks; the answer's status."""
    async with session.post("/-/webhook", json=how) as response:
        return response.status


async def counts(session: aiohttp.ClientSession) -> dict[str, int]:
    """What became of webhooks."""
    async with session.get("/-/webhook") as response:
        found: dict[str, int] = await response.json()
        return found


async def send(session: aiohttp.ClientSession, count: int) -> list[str]:
    """Send one-time passwords."""
    async with session.post("/-/send", json={"kind": "otp", "count": count}) as response:
        ids: list[str] = (await response.json())["ids"]
        return ids


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Look again and again until it holds."""
    async with asyncio.timeout(HANG_SECONDS):
        while True:
            if await condition():
                return
            await asyncio.sleep(LOOK_EVERY_SECONDS)


async def ended(simulator: Simulator) -> int | None:
    """How many messages have ended; None while others still will."""
    sums = (await tally(simulator.book)).values()
    running = sum(one.messages["scheduled"] + one.messages["processing"] for one in sums)
    hung = sum(simulator.book.fate(index).final_at == NEVER_AT for index in range(len(simulator.book)))
    return sum(one.finished.total() for one in sums) if running == hung else None


async def settled(simulator: Simulator, session: aiohttp.ClientSession) -> None:
    """Wait until all that end have ended, and all is told that will be."""

    async def over() -> bool:
        count = await ended(simulator)
        found = await counts(session)
        return count is not None and found.get("told", 0) >= count and not found["waiting"]

    await until(over)


async def test_each_end_is_told_once() -> None:
    """Every end is posted as the documentation draws it, with what the books say of it."""
    async with simulated() as (simulator, customer, session):
        assert await order(session, url=customer.url) == 200
        await send(session, 50)
        await settled(simulator, session)
        assert set(customer.ends().values()) == {1}
        (sums,) = (await tally(simulator.book)).values()
        assert Counter(one["deliverystatus"] for one in customer.news) == sums.finished
        assert set(customer.news[0]) == {"messageId", "deliverystatus", "timestamp", "cost"}
        assert customer.news[0]["timestamp"].endswith("Z")


async def test_loss_repeats_and_progress() -> None:
    """A share is lost and a share told twice; progress, where ordered, is told too and may overtake ends."""
    async with simulated() as (simulator, customer, session):
        how = {"loss_share": 0.3, "repeat_share": 0.2, "progress": True, "jitter_seconds": 0.3}
        await order(session, url=customer.url, **how)
        await send(session, 300)
        await settled(simulator, session)
        found = await counts(session)
        assert 0.2 < found["lost"] / found["told"] < 0.4
        assert 0.1 < found["repeated"] / (found["told"] - found["lost"]) < 0.3
        assert (
            len(customer.news) == found["acknowledged"] == found["told"] - found["lost"] + found["repeated"]
        )
        first: dict[str, str] = {}
        for one in customer.news:
            first.setdefault(one["messageId"], one["deliverystatus"])
        both = Counter(first.values())
        assert both["processing"] > 0
        assert both["delivered"] > 0


async def test_it_comes_again_until_it_is_acknowledged() -> None:
    """Anything but 2xx is tried again, so often as ordered, and then given up."""
    async with simulated() as (simulator, customer, session):
        customer.status = lambda number: 204 if number % 3 == 2 else 503
        await order(session, url=customer.url, retries=50, retry_seconds=0.01)
        await send(session, 20)
        await settled(simulator, session)
        assert set(customer.ends().values()) == {1}
        customer.status = lambda _: 500
        await order(session, url=customer.url, retries=2, retry_seconds=0.01)
        before = customer.requests
        ids = await send(session, 5)
        await settled(simulator, session)
        given_up = (await counts(session))["given_up"]
        assert 0 < given_up <= len(ids)
        assert customer.requests - before == 3 * given_up


async def test_forgeries() -> None:
    """Made-up ends come at the ordered rate, of messages that exist and of others."""
    async with simulated() as (_, customer, session):
        ids = set(await send(session, 20))
        await order(session, url=customer.url, forged_per_second=500)

        async def enough() -> bool:
            return (await counts(session)).get("forged", 0) >= 200

        await until(enough)
        async with session.delete("/-/webhook") as response:
            assert response.status == 200
        told = Counter(one["messageId"] in ids for one in customer.news)
        assert told[True] > 20
        assert told[False] > 20


async def test_only_what_ends_from_then_on() -> None:
    """An order tells nothing of what was over before it."""
    async with simulated() as (simulator, customer, session):
        before = set(await send(session, 20))

        async def over() -> bool:
            return (await ended(simulator) or 0) >= 19

        await until(over)
        await order(session, url=customer.url)
        await send(session, 20)

        async def told() -> bool:
            found = await counts(session)
            return found.get("told", 0) >= 19 and not found["waiting"]

        await until(told)
        assert not before & set(customer.ends())


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"url": "ftp://x"},
        {"url": 7},
        {"url": "http://x", "loss": 1},
        {"url": "http://x", "loss_share": 1.5},
        {"url": "http://x", "retries": True},
        {"url": "http://x", "progress": 1},
        {"url": "http://x", "delay_seconds": "1"},
    ],
)
async def test_an_order_that_makes_no_sense(how: dict[str, object]) -> None:
    """Is refused with a sentence."""
    assert isinstance(read_webhook_order(how), str)
    async with simulated() as (_, __, session):
        assert await order(session, **how) == 400


def test_an_order_in_full() -> None:
    """Each key has its place, in microseconds where it is a time."""
    how = {
        "url": "http://x",
        "delay_seconds": 1.5,
        "jitter_seconds": 2,
        "loss_share": 0.1,
        "repeat_share": 0.2,
        "progress": True,
        "forged_per_second": 3,
        "retries": 4,
        "retry_seconds": 0.5,
    }
    assert read_webhook_order(how) == WebhookOrder(
        "http://x",
        delay_us=1_500_000,
        jitter_us=2_000_000,
        loss_share=0.1,
        repeat_share=0.2,
        progress=True,
        forged_per_second=3,
        retries=4,
        retry_us=500_000,
    )
    assert read_webhook_order({"url": "http://x"}) == WebhookOrder("http://x")
