"""The cost of many pending messages: resident memory, and the time from the start of the process to ready.

The peer holds a dictionary of id to (due, attempts) and a heap of the same, read
from the same state.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from time import perf_counter

from bench.figures import Plan, Round
from bench.ingestion import NO_PROVIDER, make_ids
from bench.programs import drop_ids, run_peer, start_daemon, wait_until_ingested
from exporter.store.directory import DATABASE

_MIB = 2**20


async def measure_rounds(plan: Plan, folder: Path) -> AsyncIterator[Round]:
    """Start a daemon for each round, on the same state."""
    count = plan.choose_size(1_000_000, 5_000)
    async with start_daemon(folder, NO_PROVIDER, first_poll="24h") as running:
        idle_bytes = running.resident_bytes()
        drop_ids(folder, make_ids(count))
        await wait_until_ingested(folder)
    database = folder / "state" / DATABASE
    for _ in range(plan.rounds):
        began = perf_counter()
        async with start_daemon(folder, NO_PROVIDER, first_poll="24h") as running:
            ready_seconds = perf_counter() - began
            resident_bytes = running.resident_bytes()
        began = perf_counter()
        peer_idle_bytes, peer_bytes = json.loads(await run_peer("bench.peer_memory", str(database)))
        peer_seconds = perf_counter() - began
        yield {
            "daemon: resident MiB (goal 200)": resident_bytes / _MIB,
            "dictionary and heap: resident MiB": peer_bytes / _MIB,
            "daemon: bytes/message": (resident_bytes - idle_bytes) / count,
            "dictionary and heap: bytes/message": (peer_bytes - peer_idle_bytes) / count,
            "daemon / dictionary and heap: bytes/message": (resident_bytes - idle_bytes)
            / (peer_bytes - peer_idle_bytes),
            "daemon: start to ready, s (goal 10)": ready_seconds,
            "dictionary and heap: start to read, s": peer_seconds,
            "daemon / dictionary and heap: s": ready_seconds / peer_seconds,
        }
