"""Floods, slow clients and oversized bodies: only the webhook's listener refuses requests.

`bench flood` measures how much is answered meanwhile, and how soon.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.flood import flood_webhook
from bench.posting import make_request, post_all
from exporter.http.connections import MAX_CONNECTIONS
from tests.ingest.webhook.daemon import TOKEN, WebhookDaemon, count_finished
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


def resident_bytes(setup: WebhookDaemon) -> float:
    """Of the daemon, from its own metrics."""
    return sum_of(setup.address, "process_resident_memory_bytes") or 0


def wait_for_requests(provider: Provider, requests: int) -> None:
    """Wait until the daemon has sent so many requests."""
    until(lambda: provider.requests() >= requests, f"{requests} requests")


def wait_for_messages(setup: WebhookDaemon, tracked: int) -> None:
    """Wait until so many messages are shown: the state is published about once a second."""
    what = f"{tracked} messages"
    until(
        lambda: sum_of(setup.address, "smsbat_messages_tracked_total") == tracked,
        what,
    )


async def test_a_flood_stops_nothing_else(tmp_path: Path, provider: Provider) -> None:
    """Flooded, with a hundred slow clients: scrapes are answered, polling goes on, memory is bounded."""
    setup = WebhookDaemon(tmp_path / "setup", provider.url)
    with setup.start() as daemon:
        setup.post_ids(provider.send("campaign", "default", MESSAGES))
        await asyncio.to_thread(wait_for_requests, provider, MESSAGES)
        memory_bytes, before = resident_bytes(setup), provider.requests()

        def wait_for_the_rest() -> None:
            wait_for_requests(provider, before + 2 * MESSAGES)
            for _ in range(SCRAPES):
                assert ask(setup.address, "/metrics").status == 200

        enough = asyncio.to_thread(wait_for_the_rest)
        posted, scrapes, _ = await flood_webhook(setup.address, setup.webhook, TOKEN, enough)
        assert posted.statuses.get(204, 0) > 0
        assert set(posted.statuses) <= {0, 204, 404, 503}
        assert scrapes
        assert resident_bytes(setup) - memory_bytes < MORE_BYTES
        assert daemon.runs
        assert [line for line in daemon.events() if line["level"] == "error"] == []


async def test_many_forged_events_change_no_number(tmp_path: Path, provider: Provider) -> None:
    """Final statuses made up with a valid token, for tracked messages and others, change no counter."""
    setup = WebhookDaemon(tmp_path / "setup", provider.url)
    with setup.start():
        ids = provider.send("campaign", "default", MESSAGES)
        setup.post_ids(ids)
        names = [*ids, *(f"made-up-{number}" for number in range(MESSAGES))]
        made_up = (
            make_request(
                f"/webhook/{TOKEN}", names[number % len(names)], ("delivered", "undeliverable")[number % 2]
            )
            for number in range(FORGED)
        )
        posted = await post_all(setup.webhook, made_up)
        assert posted.statuses == {204: FORGED}
        address = setup.address
        await asyncio.to_thread(wait_for_messages, setup, MESSAGES)
        # Some have ended meanwhile: those count, as the provider has them.
        await asyncio.to_thread(
            until,
            lambda: setup.read_counters() == count_finished(provider),
            "the counters equal the books",
        )
        assert sum_of(address, "smsbat_status_conflicts_total") == 0
        assert sum_of(address, "smsbat_webhook_events_total", result="unknown") == FORGED / 2


async def test_half_open_clients_do_not_block_others(tmp_path: Path, provider: Provider) -> None:
    """With every connection taken by a silent client, a webhook is still processed at once."""
    setup = WebhookDaemon(tmp_path / "setup", provider.url)
    with setup.start():
        host, port = setup.webhook.split(":")
        silent = [await asyncio.open_connection(host, int(port)) for _ in range(2 * MAX_CONNECTIONS)]
        for _, writer in silent:
            writer.write(b"POST /webhook/x HT")
        posted = await post_all(setup.webhook, [make_request(f"/webhook/{TOKEN}", "made-up")], 1)
        assert posted.statuses == {204: 1}
        for _, writer in silent:
            writer.close()
        assert ask(setup.address, "/-/healthy").status == 200
