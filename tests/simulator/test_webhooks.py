"""The simulated provider's webhooks: what is sent, how badly, and when it is sent again."""

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

from exporter.simulator.server import Simulator
from exporter.simulator.settings import SimulatorSettings
from exporter.simulator.timeline import NEVER_AT
from exporter.simulator.webhooks import WebhookOrder, read_webhook_order
from tests.kit.totals import select, sum_totals
from tests.kit.waiting import HANG_SECONDS, LOOK_EVERY_SECONDS

SPEED = 3_000.0
"""A one-time password ends within hundredths of a second."""


class Customer:
    """A server that receives webhooks."""

    def __init__(self) -> None:
        """Nothing has come yet."""
        self.url = ""
        self.events: list[dict[str, Any]] = []
        self.status: Callable[[int], int] = lambda _: 204
        """The answer to each, by its number."""
        self.requests = 0

    async def receive(self, request: web.Request) -> web.Response:
        """Take one webhook."""
        status = self.status(self.requests)
        self.requests += 1
        if status == 204:
            self.events.append(json.loads(await request.read()))
        return web.Response(status=status)

    def count_final(self) -> Counter[str]:
        """How often the final status of each message came."""
        return Counter(one["messageId"] for one in self.events if one["deliverystatus"] != "processing")


@asynccontextmanager
async def simulated() -> AsyncIterator[tuple[Simulator, Customer, aiohttp.ClientSession]]:
    """A provider, its customer, and a client that drives the simulation."""
    customer = Customer()
    app = web.Application()
    app.add_routes([web.post("/hook", customer.receive)])
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


async def count_webhooks(session: aiohttp.ClientSession) -> dict[str, int]:
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
    """Check again and again until it holds."""
    async with asyncio.timeout(HANG_SECONDS):
        while True:
            if await condition():
                return
            await asyncio.sleep(LOOK_EVERY_SECONDS)


async def count_ended(simulator: Simulator) -> int | None:
    """How many messages have ended; None while others still will."""
    sent = simulator.sent_messages
    ended = select(await sum_totals(sent), "finished").total()
    hung = sum(sent.timeline_of(index).final_at == NEVER_AT for index in range(len(sent)))
    return ended if len(sent) - ended == hung else None


async def until_quiet(simulator: Simulator, session: aiohttp.ClientSession) -> None:
    """Wait until all that end have ended, and no webhook waits."""

    async def over() -> bool:
        count = await count_ended(simulator)
        found = await count_webhooks(session)
        return count is not None and found.get("events", 0) >= count and not found["waiting"]

    await until(over)


async def test_each_final_status_is_sent_once() -> None:
    """Each is posted as the documentation shows it."""
    async with simulated() as (simulator, customer, session):
        assert await order(session, url=customer.url) == 200
        await send(session, 50)
        await until_quiet(simulator, session)
        assert set(customer.count_final().values()) == {1}
        finished = select(await sum_totals(simulator.sent_messages), "finished")
        assert Counter(("otp", one["deliverystatus"]) for one in customer.events) == finished
        assert set(customer.events[0]) == {"messageId", "deliverystatus", "timestamp", "cost"}
        assert customer.events[0]["timestamp"].endswith("Z")


async def test_loss_repeats_and_progress() -> None:
    """A share is lost, a share sent twice; `processing`, where ordered, is sent too and may come last."""
    async with simulated() as (simulator, customer, session):
        how = {"loss_share": 0.3, "repeat_share": 0.2, "progress": True, "jitter_seconds": 0.3}
        await order(session, url=customer.url, **how)
        await send(session, 300)
        await until_quiet(simulator, session)
        found = await count_webhooks(session)
        sent_once = found["events"] - found["lost"]
        assert 0.2 < found["lost"] / found["events"] < 0.4
        assert 0.1 < found["repeated"] / sent_once < 0.3
        assert len(customer.events) == found["acknowledged"] == sent_once + found["repeated"]
        first: dict[str, str] = {}
        for one in customer.events:
            first.setdefault(one["messageId"], one["deliverystatus"])
        both = Counter(first.values())
        assert both["processing"] > 0
        assert both["delivered"] > 0


async def test_it_comes_again_until_it_is_acknowledged() -> None:
    """Anything but 2xx is tried again, as often as ordered, and then given up."""
    async with simulated() as (simulator, customer, session):
        customer.status = lambda number: 204 if number % 3 == 2 else 503
        await order(session, url=customer.url, retries=50, retry_seconds=0.01)
        await send(session, 20)
        await until_quiet(simulator, session)
        assert set(customer.count_final().values()) == {1}
        customer.status = lambda _: 500
        await order(session, url=customer.url, retries=2, retry_seconds=0.01)
        before = customer.requests
        ids = await send(session, 5)
        await until_quiet(simulator, session)
        given_up = (await count_webhooks(session))["given_up"]
        assert 0 < given_up <= len(ids)
        assert customer.requests - before == 3 * given_up


async def test_only_what_ends_from_then_on() -> None:
    """An order sends nothing about what was over before it."""
    async with simulated() as (simulator, customer, session):
        before = set(await send(session, 20))

        async def over() -> bool:
            return (await count_ended(simulator) or 0) >= 19

        await until(over)
        await order(session, url=customer.url)
        await send(session, 20)

        async def all_sent() -> bool:
            found = await count_webhooks(session)
            return found.get("events", 0) >= 19 and not found["waiting"]

        await until(all_sent)
        assert not before & set(customer.count_final())


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
        retries=4,
        retry_us=500_000,
    )
    assert read_webhook_order({"url": "http://x"}) == WebhookOrder("http://x")
