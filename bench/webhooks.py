"""How many webhooks a second are durable, and how long each takes to be acknowledged, in both modes.

Each tells the end of a message that is tracked, so that each changes the disk.
The provider is not there: nothing but webhooks is at work. The peer is an
aiohttp handler that parses the same bodies and does nothing with them.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from bench.figures import Plan, Round
from bench.ingestion import NO_PROVIDER, made_up_ids
from bench.posting import Posted, post_all, request
from bench.programs import daemon, drop_ids, free_port, until_taken_in

TOKEN = "bench-token-1234567890"  # noqa: S105 - of a daemon that lives as long as this
MODES = ("verify", "trust")
RATE = 1_000


async def rounds(plan: Plan, folder: Path) -> AsyncIterator[Round]:
    """Each round with new daemons."""
    ids = made_up_ids(plan.size(20_000, 200))
    for number in range(plan.rounds):
        figures: dict[str, float] = {}
        for mode in MODES:
            round_folder = folder / f"{number}-{mode}"
            round_folder.mkdir()
            figures |= await _daemon(round_folder, mode, ids)
        async with _bare() as address:
            figures |= _figures("bare", *await _both(address, ids))
        for mode in MODES:
            figures[f"{mode} / bare, at most"] = figures[_most(mode)] / figures[_most("bare")]
        yield figures


def _most(name: str) -> str:
    return f"{name}, at most: webhooks/s"


async def _both(address: str, ids: Sequence[str]) -> tuple[Posted, Posted]:
    """Half of the webhooks at the goal's rate, the other half as fast as they are answered."""
    requests = [request(f"/webhook/{TOKEN}", message_id) for message_id in ids]
    half = len(requests) // 2
    paced = await post_all(address, requests[:half], rate=RATE)
    return paced, await post_all(address, requests[half:])


def _figures(name: str, paced: Posted, fast: Posted) -> dict[str, float]:
    webhooks = len(fast.latencies)
    for posted in (paced, fast):
        if posted.statuses != {204: len(posted.latencies)}:
            raise RuntimeError(f"{name}: not all were taken: {posted.statuses}")
    return {
        f"{name}, at {RATE}/s: p50, ms": paced.latencies[webhooks // 2] * 1e3,
        f"{name}, at {RATE}/s: p99, ms{' (goal 50)' if name in MODES else ''}": paced.latencies[
            int(webhooks * 0.99)
        ]
        * 1e3,
        _most(name): webhooks / fast.seconds,
        f"{name}, at most: p50, ms": fast.latencies[webhooks // 2] * 1e3,
        f"{name}, at most: p99, ms": fast.latencies[int(webhooks * 0.99)] * 1e3,
    }


async def _daemon(folder: Path, mode: str, ids: Sequence[str]) -> dict[str, float]:
    """Its figures, and the processor time that it takes."""
    address = f"127.0.0.1:{free_port()}"
    (folder / "token").write_text(TOKEN, "ascii")
    more = f"webhook: {{listen: '{address}', token_file: {folder / 'token'}, mode: {mode}}}\n"
    async with daemon(folder, NO_PROVIDER, first_poll="24h", more=more) as running:
        drop_ids(folder, ids)
        await until_taken_in(folder)
        cpu_began = running.cpu_seconds()
        figures = _figures(mode, *await _both(address, ids))
        cpu_seconds = running.cpu_seconds() - cpu_began
        return {**figures, f"{mode}: CPU us/webhook": cpu_seconds / len(ids) * 1e6}


@asynccontextmanager
async def _bare() -> AsyncIterator[str]:
    """The peer's address."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.hooks", stdin=PIPE, stdout=PIPE
    )
    if process.stdout is None or process.stdin is None:
        raise RuntimeError("no pipes")
    try:
        yield (await process.stdout.readline()).decode("ascii").strip()
    finally:
        process.stdin.close()
        await process.wait()
