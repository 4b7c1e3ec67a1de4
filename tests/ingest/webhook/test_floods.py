"""Floods, slow clients and oversized bodies: the webhook's listener gives way, and nothing else does.

How much is answered meanwhile, and how soon, `bench flood` tells.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.flood import flood
from bench.posting import post_all, request
from exporter.http.connections import MAX_CONNECTIONS
from tests.ingest.webhook.house import TOKEN, House, booked
from tests.kit.daemon import sum_of
from tests.kit.provider import Provider, simulated
from tests.kit.waiting import until
from tests.kit.web import ask

FORGED = 2_000
MESSAGES = 100
SCRAPES = 20
MORE_BYTES = 64 * 2**20
"""Reached after some twenty seconds at full speed; from then on it stays."""


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    """A provider whose messages take their time."""
    with simulated(tmp_path, speed=1) as provider:
        yield provider


def resident_bytes(house: House) -> float:
    """Of the daemon, as it says itself."""
    return sum_of(house.address, "process_resident_memory_bytes") or 0


def asked(provider: Provider, requests: int) -> None:
    """Wait until the daemon has asked so often."""
    until(lambda: provider.requests() >= requests, f"{requests} requests")


def shown(house: House, tracked: int) -> None:
    """Wait until so many messages are shown: the state is published about once a second."""
    what = f"{tracked} messages"
    until(lambda: sum_of(house.address, "smsbat_messages_tracked_total") == tracked, what)


async def test_a_flood_stays_where_it_is(tmp_path: Path, provider: Provider) -> None:
    """Flooded, with a hundred slow clients: scrapes are answered, polling goes on, memory is bounded."""
    house = House(tmp_path / "house", provider.url)
    with house.start() as daemon:
        house.hand_over(provider.send("campaign", "default", MESSAGES))
        await asyncio.to_thread(asked, provider, MESSAGES)
        memory_bytes, before = resident_bytes(house), provider.requests()

        def enough() -> None:
            asked(provider, before + 2 * MESSAGES)
            for _ in range(SCRAPES):
                assert ask(house.address, "/metrics").status == 200

        posted, scrapes, _ = await flood(house.address, house.webhook, TOKEN, asyncio.to_thread(enough))
        assert posted.statuses.get(204, 0) > 0
        assert set(posted.statuses) <= {0, 204, 404, 503}
        assert scrapes
        assert resident_bytes(house) - memory_bytes < MORE_BYTES
        assert daemon.runs
        assert [line for line in daemon.events() if line["level"] == "error"] == []


async def test_forged_ones_in_numbers(tmp_path: Path, provider: Provider) -> None:
    """Ends made up by someone who knows the token, of tracked messages and of others, change no number."""
    house = House(tmp_path / "house", provider.url)
    with house.start():
        ids = provider.send("campaign", "default", MESSAGES)
        house.hand_over(ids)
        names = [*ids, *(f"made-up-{number}" for number in range(MESSAGES))]
        made_up = (
            request(
                f"/webhook/{TOKEN}", names[number % len(names)], ("delivered", "undeliverable")[number % 2]
            )
            for number in range(FORGED)
        )
        posted = await post_all(house.webhook, made_up)
        assert posted.statuses == {204: FORGED}
        address = house.address
        await asyncio.to_thread(shown, house, MESSAGES)
        # Some may have ended meanwhile: those count, as the provider has them.
        await asyncio.to_thread(
            until,
            lambda: house.counters() == booked(provider.books()),
            "the counters equal the books",
        )
        assert sum_of(address, "smsbat_status_conflicts_total") == 0
        assert sum_of(address, "smsbat_webhook_events_total", result="unknown") == FORGED / 2


async def test_half_open_clients_do_not_keep_others_out(tmp_path: Path, provider: Provider) -> None:
    """With every connection taken by someone who says nothing, a webhook is still heard at once."""
    house = House(tmp_path / "house", provider.url)
    with house.start():
        host, port = house.webhook.split(":")
        silent = [await asyncio.open_connection(host, int(port)) for _ in range(2 * MAX_CONNECTIONS)]
        for _, writer in silent:
            writer.write(b"POST /webhook/x HT")
        posted = await post_all(house.webhook, [request(f"/webhook/{TOKEN}", "made-up")], 1)
        assert posted.statuses == {204: 1}
        for _, writer in silent:
            writer.close()
        assert ask(house.address, "/-/healthy").status == 200
