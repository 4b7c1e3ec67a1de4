"""The effect of a flood of webhooks on scrapes, polling and memory, with slow clients at the same time.

As many webhooks as the client can send, about messages that aren't tracked, a
third of them without the token, over persistent connections; at the same time
other clients send requests byte by byte and never finish them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from itertools import count, takewhile
from pathlib import Path

import aiohttp

from bench.figures import Plan, Round
from bench.polls import count_requests, send_messages
from bench.posting import Posted, drip_until, make_request, post_all, scrape_until
from bench.programs import drop_ids, find_free_port, start_daemon, start_provider, wait_until_ingested

TOKEN = "bench-token-1234567890"  # noqa: S105 - of a daemon that ends with the benchmark
SLOW_CLIENTS = (20, 80)
"""Clients with the token, and without."""
MESSAGES = 200


async def measure_rounds(plan: Plan, folder: Path) -> AsyncIterator[Round]:
    """Start a new daemon for each round."""
    for number in range(plan.rounds):
        round_folder = folder / str(number)
        round_folder.mkdir()
        yield await _measure_round(round_folder, plan.choose_size(60, 2))


async def _measure_round(folder: Path, seconds: int) -> Round:
    webhook = f"127.0.0.1:{find_free_port()}"
    (folder / "token").write_text(TOKEN, "ascii")
    more = f"webhook: {{listen: '{webhook}', token_file: {folder / 'token'}}}\n"
    async with (
        start_provider("hanging") as asked,
        start_daemon(folder, asked.url, first_poll="1s", interval="2s", more=more) as running,
        aiohttp.ClientSession() as session,
    ):
        drop_ids(folder, await send_messages(asked, MESSAGES))
        await wait_until_ingested(folder)
        polls, resident_bytes = await count_requests(session, asked), running.resident_bytes()
        metrics = running.url.removeprefix("http://")
        posted, scrapes, cut = await flood_webhook(metrics, webhook, TOKEN, asyncio.sleep(seconds))
        return {
            "webhooks/s": len(posted.latencies) / posted.seconds,
            "answered 204, %": 100 * posted.statuses.get(204, 0) / len(posted.latencies),
            "webhook p99, ms": posted.latencies[int(len(posted.latencies) * 0.99)] * 1e3,
            "scrape p50, ms": scrapes[len(scrapes) // 2] * 1e3,
            "scrape p99, ms (goal 250)": scrapes[int(len(scrapes) * 0.99)] * 1e3,
            "scrape longest, ms": scrapes[-1] * 1e3,
            "polls/s meanwhile": (await count_requests(session, asked) - polls) / posted.seconds,
            "slow requests cut short": cut,
            "resident MiB more": (running.resident_bytes() - resident_bytes) / 2**20,
        }


async def flood_webhook(
    metrics: str, webhook: str, token: str, enough: Awaitable[object]
) -> tuple[Posted, list[float], int]:
    """Flood `webhook` until `enough`; what was posted, sorted seconds of scrapes, slow requests cut short."""
    stop = asyncio.Event()
    paths = (f"/webhook/{token}", f"/webhook/{token}", "/webhook/made-up")
    numbers = takewhile(lambda _: not stop.is_set(), count())
    requests = (make_request(paths[number % len(paths)], f"made-up-{number}") for number in numbers)
    async with asyncio.TaskGroup() as tasks:
        slow = [
            tasks.create_task(drip_until(webhook, path, stop))
            for path, clients in zip((paths[0], paths[-1]), SLOW_CLIENTS, strict=True)
            for _ in range(clients)
        ]
        scraping = tasks.create_task(scrape_until(metrics, stop))
        posting = tasks.create_task(post_all(webhook, requests))
        await enough
        stop.set()
    posted = posting.result()
    return posted, scraping.result(), sum(client.result() for client in slow)
