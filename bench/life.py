"""How long it takes to start, to refuse a second start, and to end on a signal, whatever is under way.

The peer is a start that imports as much and does little: `check-config`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack
from pathlib import Path
from time import perf_counter

import aiohttp

from bench.figures import Plan, Round
from bench.ingestion import NO_PROVIDER
from bench.polls import count_requests, send_messages
from bench.programs import (
    PACE_SECONDS,
    Running,
    drop_ids,
    start_daemon,
    start_demo,
    start_provider,
    wait_until_ingested,
)

REFUSED = 75
IN_FLIGHT = 10
BUSY_POLLS = 100


async def measure_rounds(plan: Plan, folder: Path) -> AsyncIterator[Round]:
    """Each round with new daemons."""
    for number in range(plan.rounds):
        ready, check, refused, idle = await _measure_idle(_make_folder(folder / f"{number}-idle"))
        yield {
            "check-config, s": check,
            "start to ready, s": ready,
            "start to ready / check-config": ready / check,
            "a second start refused, s": refused,
            "a second start refused / check-config (goal 2)": refused / check,
            "SIGTERM, idle: s (goal 5)": idle,
            "SIGTERM, busy: s (goal 5)": await _measure_busy(
                _make_folder(folder / f"{number}-busy"), "calm", BUSY_POLLS
            ),
            "SIGTERM, no answers: s (goal 5)": await _measure_busy(
                _make_folder(folder / f"{number}-hanging"), "hanging", IN_FLIGHT
            ),
            "SIGTERM and SIGINT: s (goal 2)": await _measure_two_signals(
                _make_folder(folder / f"{number}-twice")
            ),
            "demo: s to the first final status (goal 10)": await _measure_demo(),
        }


def _make_folder(folder: Path) -> Path:
    folder.mkdir()
    return folder


async def _measure_seconds(work: Awaitable[object]) -> float:
    began = perf_counter()
    await work
    return perf_counter() - began


async def _run_command(*arguments: str, code: int = 0) -> None:
    """Run a command to its end; RuntimeError when its exit code is another one."""
    command = [sys.executable, "-m", "exporter", *arguments]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    if await process.wait() != code:
        raise RuntimeError(f"{arguments[0]} ended with {process.returncode}")


async def _measure_idle(folder: Path) -> tuple[float, float, float, float]:
    """Seconds until it is ready, of a check, of a second start, and from SIGTERM to its end."""
    async with AsyncExitStack() as life:
        began = perf_counter()
        await life.enter_async_context(start_daemon(folder, NO_PROVIDER, first_poll="1s"))
        ready = perf_counter() - began
        config = str(folder / "config.yaml")
        check = await _measure_seconds(_run_command("check-config", config))
        again = ("run", f"--config.file={config}", "--web.listen-address=127.0.0.1:0")
        refused = await _measure_seconds(_run_command(*again, code=REFUSED))
        return ready, check, refused, await _measure_seconds(life.aclose())


async def _measure_busy(folder: Path, scenario: str, polls: int) -> float:
    """Seconds from SIGTERM to its end, after so many polls of ten times as many messages."""
    async with (
        start_provider(scenario) as provider,
        aiohttp.ClientSession() as session,
        AsyncExitStack() as life,
    ):
        await life.enter_async_context(start_daemon(folder, provider.url, first_poll="1s", interval="1s"))
        before = await count_requests(session, provider)
        drop_ids(folder, await send_messages(provider, 10 * polls))
        await wait_until_ingested(folder)
        while True:
            if await count_requests(session, provider) >= before + polls:
                return await _measure_seconds(life.aclose())
            await asyncio.sleep(PACE_SECONDS)


async def _measure_two_signals(folder: Path) -> float:
    """Seconds from two signals to its end."""
    async with AsyncExitStack() as life:
        running = await life.enter_async_context(start_daemon(folder, NO_PROVIDER, first_poll="1s"))
        os.kill(running.process_id, signal.SIGTERM)
        os.kill(running.process_id, signal.SIGINT)
        return await _measure_seconds(life.aclose())


async def _measure_demo() -> float:
    """Seconds until a demo, in which an hour passes in a minute, shows a final status."""
    began = perf_counter()
    async with start_demo(speed=60) as running, aiohttp.ClientSession() as session:
        while True:
            if await _has_finished(session, running):
                return perf_counter() - began
            await asyncio.sleep(PACE_SECONDS)


async def _has_finished(session: aiohttp.ClientSession, running: Running) -> bool:
    async with session.get(f"{running.url}/metrics") as response:
        lines = (await response.text()).splitlines()
    counts = (line.rpartition(" ")[2] for line in lines if line.startswith("smsbat_messages_finished_total{"))
    return any(float(count) for count in counts)
