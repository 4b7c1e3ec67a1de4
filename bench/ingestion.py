"""How many ids per second are accepted from one large file, and how long a scrape takes meanwhile.

The peer only inserts the same ids into a table of SQLite with the same settings
and transactions of the same size.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from time import perf_counter

import aiohttp

from bench.figures import Plan, Round
from bench.programs import drop_ids, run_peer, start_daemon, wait_until_ingested
from exporter.simulator.identifiers import IdCodec

SCRAPE_EVERY_SECONDS = 0.1
NO_PROVIDER = "http://127.0.0.1:9"
"""Nothing is polled before the benchmark ends."""


def make_ids(count: int) -> list[str]:
    """Make ids like the provider's."""
    write = IdCodec(seed=1).write
    return [write(index) for index in range(count)]


async def measure_rounds(plan: Plan, folder: Path) -> AsyncIterator[Round]:
    """Start a new daemon for each round."""
    ids = make_ids(plan.choose_size(1_000_000, 5_000))
    for number in range(plan.rounds):
        round_folder = folder / str(number)
        round_folder.mkdir()
        seconds, cpu_seconds, scrapes = await _measure_daemon(round_folder, ids)
        bare_seconds, bare_cpu_seconds = json.loads(
            await run_peer(
                "bench.peer_ingestion", str(round_folder / "bare.sqlite3"), given="\n".join(ids).encode()
            )
        )
        yield {
            "daemon: ids/s (goal 20,000)": len(ids) / seconds,
            "bare SQLite: ids/s": len(ids) / bare_seconds,
            "daemon: CPU us/id": cpu_seconds / len(ids) * 1e6,
            "bare SQLite: CPU us/id": bare_cpu_seconds / len(ids) * 1e6,
            "daemon / bare SQLite: ids/s": bare_seconds / seconds,
            "scrape meanwhile, p50: ms": scrapes[len(scrapes) // 2] * 1e3,
            "scrape meanwhile, p99: ms": scrapes[int(len(scrapes) * 0.99)] * 1e3,
            "scrape meanwhile, longest: ms (goal 100)": scrapes[-1] * 1e3,
        }


async def _measure_daemon(folder: Path, ids: list[str]) -> tuple[float, float, list[float]]:
    """Return the seconds until the file is ingested, processor seconds, and sorted seconds of scrapes."""
    async with (
        start_daemon(folder, NO_PROVIDER, first_poll="24h") as running,
        aiohttp.ClientSession() as session,
    ):
        drop_ids(folder, ids)
        began, cpu_began = perf_counter(), running.cpu_seconds()
        scrapes: list[float] = []
        async with asyncio.TaskGroup() as group:
            scraping = group.create_task(_scrape(session, f"{running.url}/metrics", scrapes))
            await wait_until_ingested(folder)
            seconds, cpu_seconds = perf_counter() - began, running.cpu_seconds() - cpu_began
            scraping.cancel()
    return seconds, cpu_seconds, sorted(scrapes)


async def _scrape(session: aiohttp.ClientSession, url: str, seconds: list[float]) -> None:
    while True:
        began = perf_counter()
        async with session.get(url) as response:
            await response.read()
        seconds.append(perf_counter() - began)
        await asyncio.sleep(SCRAPE_EVERY_SECONDS)
