"""The peers of `polls`: `python -m bench.peer_polls bare|documented URL`, with ids on the standard input.

Prints [polls, seconds, processor seconds].
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from resource import RUSAGE_SELF, getrusage
from time import perf_counter

import aiohttp
import uvloop

from bench.programs import KEY

IN_FLIGHT = 10
PAUSE_SECONDS = 1.0


async def _poll(session: aiohttp.ClientSession, message_id: str) -> None:
    async with session.get(f"/bat/message/{message_id}", headers={"X-Authorization-Key": KEY}) as response:
        json.loads(await response.read())


async def poll_at_once(session: aiohttp.ClientSession, ids: Sequence[str]) -> None:
    """Poll all ids, with ten requests in flight."""
    left = iter(ids)

    async def work(left: Iterator[str]) -> None:
        for message_id in left:
            await _poll(session, message_id)

    async with asyncio.TaskGroup() as workers:
        for _ in range(IN_FLIGHT):
            workers.create_task(work(left))


async def poll_in_batches(session: aiohttp.ClientSession, ids: Sequence[str]) -> None:
    """Poll ten ids in parallel, then pause for a second, as in the provider's documentation."""
    for start in range(0, len(ids), IN_FLIGHT):
        async with asyncio.TaskGroup() as group:
            for message_id in ids[start : start + IN_FLIGHT]:
                group.create_task(_poll(session, message_id))
        await asyncio.sleep(PAUSE_SECONDS)


async def _main(kind: str, url: str) -> None:
    ids = sys.stdin.read().split()
    loop = {"bare": poll_at_once, "documented": poll_in_batches}[kind]
    connector = aiohttp.TCPConnector(limit=IN_FLIGHT)
    async with aiohttp.ClientSession(url, connector=connector) as session:
        began, cpu_began = perf_counter(), _read_cpu_seconds()
        await loop(session, ids)
        print(json.dumps([len(ids), perf_counter() - began, _read_cpu_seconds() - cpu_began]))


def _read_cpu_seconds() -> float:
    used = getrusage(RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main(*sys.argv[1:]))
