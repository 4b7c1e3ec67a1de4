"""How many requests a second without a rate limit, and what one costs in processor time.

The daemon does all that it does in earnest: ids from a file, state on the
disk, a commit for what it learns. Its peers only ask: a bare loop that keeps
ten connections busy and parses what comes, and the loop that the provider's
documentation shows.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from time import perf_counter

import aiohttp

from bench.figures import Plan, Round
from bench.programs import PACE_SECONDS, Running, daemon, drop_ids, output_of, provider, until_taken_in

FIRST_POLL_SECONDS = 6
"""After this long the ids are all taken in, so that only polling is measured."""
_MEASURED = (0.05, 0.95)
"""From which to which share of the polls."""


async def rounds(plan: Plan, folder: Path) -> AsyncIterator[Round]:
    """Each round with new messages and a new daemon."""
    messages, documented_messages = plan.size(12_000, 200), plan.size(50, 20)
    for number in range(plan.rounds):
        round_folder = folder / str(number)
        round_folder.mkdir()
        async with provider() as asked:
            measured = await _daemon(asked, round_folder, await send(asked, messages), plan)
            bare = await _peer("bare", asked, await send(asked, messages))
            documented = await _peer("documented", asked, await send(asked, documented_messages))
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


async def _daemon(asked: Running, folder: Path, ids: Sequence[str], plan: Plan) -> tuple[float, float]:
    """Polls a second and microseconds of processor time a poll, without the first and the last of them."""
    first_poll_seconds = plan.size(FIRST_POLL_SECONDS, 1)
    async with (
        daemon(folder, asked.url, first_poll=f"{first_poll_seconds}s") as running,
        aiohttp.ClientSession() as session,
    ):
        before = await arrived(session, asked)
        drop_ids(folder, ids)
        await until_taken_in(folder)
        marks = [await _mark(session, asked, running, before + int(share * len(ids))) for share in _MEASURED]
    (polls_1, at_1, cpu_1), (polls_2, at_2, cpu_2) = marks
    polls = max(1, polls_2 - polls_1)
    return polls / (at_2 - at_1), (cpu_2 - cpu_1) / polls * 1e6


async def _mark(
    session: aiohttp.ClientSession, asked: Running, running: Running, polls: int
) -> tuple[int, float, float]:
    """Wait for so many polls; how many there are then, the time, and the processor seconds so far."""
    while True:
        seen = await arrived(session, asked)
        if seen >= polls:
            return seen, perf_counter(), running.cpu_seconds()
        await asyncio.sleep(PACE_SECONDS)


async def _peer(kind: str, asked: Running, ids: Sequence[str]) -> tuple[float, float]:
    """The same of a peer, in a process of its own."""
    given = "\n".join(ids).encode()
    polls, seconds, cpu_seconds = json.loads(await output_of("bench.askers", kind, asked.url, given=given))
    return polls / seconds, cpu_seconds / polls * 1e6


async def send(asked: Running, count: int) -> list[str]:
    """Let the provider send messages; their ids, once they have ended."""
    async with (
        aiohttp.ClientSession(asked.url) as session,
        session.post("/-/send", json={"kind": "otp", "count": count}) as response,
    ):
        ids: list[str] = (await response.json())["ids"]
    # The slowest one-time password ends within half a minute: here, a hundredth of a second.
    await asyncio.sleep(PACE_SECONDS)
    return ids


async def arrived(session: aiohttp.ClientSession, asked: Running) -> int:
    """Requests that the provider has seen."""
    async with session.get(f"{asked.url}/-/requests") as response:
        total: int = (await response.json())["total"]
    return total
