"""What a flood of webhooks does to the rest: scrapes, polling and memory, with slow clients beside it.

As many webhooks as the client can send, about messages that aren't tracked, a
third of them without the token, from connections that are kept; and beside
them clients that drip into requests which they never finish.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from itertools import count, takewhile
from pathlib import Path

import aiohttp

from bench.figures import Plan, Round
from bench.polls import arrived, send
from bench.posting import Posted, never_finish, post_all, request, scrape
from bench.programs import daemon, drop_ids, free_port, provider, until_taken_in

TOKEN = "bench-token-1234567890"  # noqa: S105 - of a daemon that lives as long as this
SLOW_CLIENTS = (20, 80)
"""With the token, and without."""
MESSAGES = 200


async def rounds(plan: Plan, folder: Path) -> AsyncIterator[Round]:
    """Each round with a new daemon."""
    for number in range(plan.rounds):
        round_folder = folder / str(number)
        round_folder.mkdir()
        yield await _round(round_folder, plan.size(60, 2))


async def _round(folder: Path, seconds: int) -> Round:
    webhook = f"127.0.0.1:{free_port()}"
    (folder / "token").write_text(TOKEN, "ascii")
    more = f"webhook: {{listen: '{webhook}', token_file: {folder / 'token'}}}\n"
    async with (
        provider("hanging") as asked,
        daemon(folder, asked.url, first_poll="1s", interval="2s", more=more) as running,
        aiohttp.ClientSession() as session,
    ):
        drop_ids(folder, await send(asked, MESSAGES))
        await until_taken_in(folder)
        polls, resident_bytes = await arrived(session, asked), running.resident_bytes()
        metrics = running.url.removeprefix("http://")
        posted, scrapes, cut = await flood(metrics, webhook, TOKEN, asyncio.sleep(seconds))
        return {
            "webhooks/s": len(posted.latencies) / posted.seconds,
            "answered 204, %": 100 * posted.statuses.get(204, 0) / len(posted.latencies),
            "webhook p99, ms": posted.latencies[int(len(posted.latencies) * 0.99)] * 1e3,
            "scrape p50, ms": scrapes[len(scrapes) // 2] * 1e3,
            "scrape p99, ms (goal 250)": scrapes[int(len(scrapes) * 0.99)] * 1e3,
            "scrape longest, ms": scrapes[-1] * 1e3,
            "polls/s meanwhile": (await arrived(session, asked) - polls) / posted.seconds,
            "slow requests cut short": cut,
            "resident MiB more": (running.resident_bytes() - resident_bytes) / 2**20,
        }


async def flood(
    metrics: str, webhook: str, token: str, enough: Awaitable[object]
) -> tuple[Posted, list[float], int]:
    """Flood `webhook` until `enough`: what was posted, sorted seconds of scrapes, slow requests cut short."""
    stop = asyncio.Event()
    paths = (f"/webhook/{token}", f"/webhook/{token}", "/webhook/made-up")
    numbers = takewhile(lambda _: not stop.is_set(), count())
    requests = (request(paths[number % len(paths)], f"made-up-{number}") for number in numbers)
    async with asyncio.TaskGroup() as tasks:
        slow = [
            tasks.create_task(never_finish(webhook, path, stop))
            for path, clients in zip((paths[0], paths[-1]), SLOW_CLIENTS, strict=True)
            for _ in range(clients)
        ]
        looking = tasks.create_task(scrape(metrics, stop))
        posting = tasks.create_task(post_all(webhook, requests))
        await enough
        stop.set()
    posted = posting.result()
    return posted, looking.result(), sum(client.result() for client in slow)
