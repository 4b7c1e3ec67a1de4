"""How many webhooks per second are stored, and how long each takes to be acknowledged, in both modes.

Each reports a final status of a tracked message, so that each is written to the
disk. There is no provider, so that nothing else uses the processor. The peer is
an aiohttp handler that parses the same bodies and does nothing with them.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from bench.figures import Plan, Round
from bench.ingestion import NO_PROVIDER, make_ids
from bench.posting import Posted, make_request, post_all
from bench.programs import drop_ids, find_free_port, start_daemon, wait_until_ingested

TOKEN = "bench-token-1234567890"  # noqa: S105 - of a daemon that ends with the benchmark
MODES = ("verify", "trust")
RATE = 1_000


async def measure_rounds(plan: Plan, folder: Path) -> AsyncIterator[Round]:
    """Start new daemons for each round."""
    ids = make_ids(plan.choose_size(20_000, 200))
    for number in range(plan.rounds):
        figures: dict[str, float] = {}
        for mode in MODES:
            round_folder = folder / f"{number}-{mode}"
            round_folder.mkdir()
            figures |= await _measure_daemon(round_folder, mode, ids)
        async with _start_bare() as address:
            figures |= _name_figures("bare", *await _post_both(address, ids))
        for mode in MODES:
            figures[f"{mode} / bare, at most"] = (
                figures[_name_highest_rate(mode)] / figures[_name_highest_rate("bare")]
            )
        yield figures


def _name_highest_rate(name: str) -> str:
    return f"{name}, at most: webhooks/s"


async def _post_both(address: str, ids: Sequence[str]) -> tuple[Posted, Posted]:
    """Post half of the webhooks at the goal's rate, the other half as fast as they are answered."""
    requests = [make_request(f"/webhook/{TOKEN}", message_id) for message_id in ids]
    half = len(requests) // 2
    paced = await post_all(address, requests[:half], rate=RATE)
    return paced, await post_all(address, requests[half:])


def _name_figures(name: str, paced: Posted, fast: Posted) -> dict[str, float]:
    webhooks = len(fast.latencies)
    for posted in (paced, fast):
        if posted.statuses != {204: len(posted.latencies)}:
            raise RuntimeError(f"{name}: not all were accepted: {posted.statuses}")
    return {
        f"{name}, at {RATE}/s: p50, ms": paced.latencies[webhooks // 2] * 1e3,
        f"{name}, at {RATE}/s: p99, ms{' (goal 50)' if name in MODES else ''}": paced.latencies[
            int(webhooks * 0.99)
        ]
        * 1e3,
        _name_highest_rate(name): webhooks / fast.seconds,
        f"{name}, at most: p50, ms": fast.latencies[webhooks // 2] * 1e3,
        f"{name}, at most: p99, ms": fast.latencies[int(webhooks * 0.99)] * 1e3,
    }


async def _measure_daemon(folder: Path, mode: str, ids: Sequence[str]) -> dict[str, float]:
    """Return the daemon's figures, and its processor time per webhook."""
    address = f"127.0.0.1:{find_free_port()}"
    (folder / "token").write_text(TOKEN, "ascii")
    more = f"webhook: {{listen: '{address}', token_file: {folder / 'token'}, mode: {mode}}}\n"
    async with start_daemon(folder, NO_PROVIDER, first_poll="24h", more=more) as running:
        drop_ids(folder, ids)
        await wait_until_ingested(folder)
        cpu_began = running.cpu_seconds()
        figures = _name_figures(mode, *await _post_both(address, ids))
        cpu_seconds = running.cpu_seconds() - cpu_began
        return {**figures, f"{mode}: CPU us/webhook": cpu_seconds / len(ids) * 1e6}


@asynccontextmanager
async def _start_bare() -> AsyncIterator[str]:
    """Run the peer; yield its address."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.peer_webhooks", stdin=PIPE, stdout=PIPE
    )
    if process.stdout is None or process.stdin is None:
        raise RuntimeError("no pipes")
    try:
        yield (await process.stdout.readline()).decode("ascii").strip()
    finally:
        process.stdin.close()
        await process.wait()
