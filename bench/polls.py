"""How many requests per second are sent without a rate limit, and the processor time of each.

The daemon works as usual: ids from a file, state on the disk, commits of what
it learns. Its peers only poll: a bare loop that keeps ten connections busy and
parses the answers, and the loop of the provider's documentation.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from time import perf_counter

import aiohttp

from bench.figures import Plan, Round
from bench.programs import (
    PACE_SECONDS,
    Running,
    drop_ids,
    run_peer,
    start_daemon,
    start_provider,
    wait_until_ingested,
)

FIRST_POLL_SECONDS = 6
"""By then all ids are ingested, so that only polling is measured."""
_MEASURED = (0.05, 0.95)
"""The shares of the polls between which it is measured."""


async def measure_rounds(plan: Plan, folder: Path) -> AsyncIterator[Round]:
    """Start a new daemon with new messages for each round."""
    messages, documented_messages = plan.choose_size(12_000, 200), plan.choose_size(50, 20)
    for number in range(plan.rounds):
        round_folder = folder / str(number)
        round_folder.mkdir()
        async with start_provider() as asked:
            measured = await _measure_daemon(asked, round_folder, await send_messages(asked, messages), plan)
            bare = await _measure_peer("bare", asked, await send_messages(asked, messages))
            documented = await _measure_peer(
                "documented", asked, await send_messages(asked, documented_messages)
            )
        yield {
            "daemon: polls/s": measured[0],
            "bare: polls/s": bare[0],
            "documented: polls/s": documented[0],
            "daemon: CPU us/poll": measured[1],
            "bare: CPU us/poll": bare[1],
            "documented: CPU us/poll": documented[1],
            "daemon / bare: polls/s (goal 0.7)": measured[0] / bare[0],
            "daemon / documented: polls/s": measured[0] / documented[0],
            "daemon / bare: CPU": measured[1] / bare[1],
        }


async def _measure_daemon(
    asked: Running, folder: Path, ids: Sequence[str], plan: Plan
) -> tuple[float, float]:
    """Return polls per second and microseconds of processor time per poll, without the first and last."""
    first_poll_seconds = plan.choose_size(FIRST_POLL_SECONDS, 1)
    async with (
        start_daemon(folder, asked.url, first_poll=f"{first_poll_seconds}s") as running,
        aiohttp.ClientSession() as session,
    ):
        before = await count_requests(session, asked)
        drop_ids(folder, ids)
        await wait_until_ingested(folder)
        marks = [
            await _wait_for_polls(session, asked, running, before + int(share * len(ids)))
            for share in _MEASURED
        ]
    (polls_1, at_1, cpu_1), (polls_2, at_2, cpu_2) = marks
    polls = max(1, polls_2 - polls_1)
    return polls / (at_2 - at_1), (cpu_2 - cpu_1) / polls * 1e6


async def _wait_for_polls(
    session: aiohttp.ClientSession, asked: Running, running: Running, polls: int
) -> tuple[int, float, float]:
    """Wait for so many polls; return their number then, the time, and the processor seconds so far."""
    while True:
        seen = await count_requests(session, asked)
        if seen >= polls:
            return seen, perf_counter(), running.cpu_seconds()
        await asyncio.sleep(PACE_SECONDS)


async def _measure_peer(kind: str, asked: Running, ids: Sequence[str]) -> tuple[float, float]:
    """Return the same for a peer, in a process of its own."""
    given = "\n".join(ids).encode()
    polls, seconds, cpu_seconds = json.loads(await run_peer("bench.peer_polls", kind, asked.url, given=given))
    return polls / seconds, cpu_seconds / polls * 1e6


async def send_messages(asked: Running, count: int) -> list[str]:
    """Make the provider send messages; return their ids once they have a final status."""
    async with (
        aiohttp.ClientSession(asked.url) as session,
        session.post("/-/send", json={"kind": "otp", "count": count}) as response,
    ):
        ids: list[str] = (await response.json())["ids"]
    # The slowest one-time password is final within half a minute: here, within a hundredth of a second.
    await asyncio.sleep(PACE_SECONDS)
    return ids


async def count_requests(session: aiohttp.ClientSession, asked: Running) -> int:
    """Return how many requests the provider has received."""
    async with session.get(f"{asked.url}/-/requests") as response:
        total: int = (await response.json())["total"]
    return total
