"""How long it takes to start, to refuse a second start, and to end when asked, whatever is under way.

The peer only imports what a daemon needs, and reads a configuration: `check-config`.
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
        check_seconds = await _seconds(_ended("check-config", "config.example.yaml"))
        ready_seconds, refused_seconds, idle_seconds = await _idle(_made(folder / f"{number}-idle"))
        yield {
            "check-config, s": check_seconds,
            "start to ready, s": ready_seconds,
            "start to ready / check-config": ready_seconds / check_seconds,
            "a second start refused, s": refused_seconds,
            "a second start refused / check-config (goal 2)": refused_seconds / check_seconds,
            "SIGTERM, idle: s (goal 5)": idle_seconds,
            "SIGTERM, busy: s (goal 5)": await _busy(_made(folder / f"{number}-busy"), "calm"),
            "SIGTERM, no answers: s (goal 5)": await _busy(_made(folder / f"{number}-hanging"), "hanging"),
            "SIGTERM and SIGINT: s (goal 2)": await _asked_twice(_made(folder / f"{number}-twice")),
            "demo: s to the first message that ends (goal 10)": await _demo(),
        }


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


async def _seconds(work: Awaitable[object]) -> float:
    began = perf_counter()
    await work
    return perf_counter() - began


async def _ended(*arguments: str, code: int = 0) -> None:
    """Run a command to its end; RuntimeError when that is another one."""
    command = [sys.executable, "-m", "exporter", *arguments]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    if await process.wait() != code:
        raise RuntimeError(f"{arguments[0]} ended with {process.returncode}")


async def _idle(folder: Path) -> tuple[float, float, float]:
    """Seconds from the start until it is ready, until a second one has gone, and to its end."""
    async with AsyncExitStack() as life:
        began = perf_counter()
        await life.enter_async_context(start_daemon(folder, NO_PROVIDER, first_poll="1s"))
        ready_seconds = perf_counter() - began
        again = ("run", f"--config.file={folder / 'config.yaml'}", "--web.listen-address=127.0.0.1:0")
        refused_seconds = await _seconds(_ended(*again, code=REFUSED))
        return ready_seconds, refused_seconds, await _seconds(life.aclose())


async def _busy(folder: Path, scenario: str) -> float:
    """Seconds to its end in the middle of its polls."""
    async with (
        start_provider(scenario) as asked,
        aiohttp.ClientSession() as session,
        AsyncExitStack() as life,
    ):
        await life.enter_async_context(start_daemon(folder, asked.url, first_poll="1s", interval="1s"))
        before = await count_requests(session, asked)
        drop_ids(folder, await send_messages(asked, 10 * BUSY_POLLS))
        await wait_until_ingested(folder)
        polls = BUSY_POLLS if scenario == "calm" else IN_FLIGHT
        while True:
            if await count_requests(session, asked) >= before + polls:
                return await _seconds(life.aclose())
            await asyncio.sleep(PACE_SECONDS)


async def _asked_twice(folder: Path) -> float:
    """Seconds from two signals to its end."""
    async with AsyncExitStack() as life:
        running = await life.enter_async_context(start_daemon(folder, NO_PROVIDER, first_poll="1s"))
        os.kill(running.process_id, signal.SIGTERM)
        os.kill(running.process_id, signal.SIGINT)
        return await _seconds(life.aclose())


async def _demo() -> float:
    """Seconds until a demo, in which an hour passes in a minute, has something to show."""
    began = perf_counter()
    async with start_demo(speed=60) as running, aiohttp.ClientSession() as session:
        while True:
            if await _finished(session, running):
                return perf_counter() - began
            await asyncio.sleep(PACE_SECONDS)


async def _finished(session: aiohttp.ClientSession, running: Running) -> bool:
    async with session.get(f"{running.url}/metrics") as response:
        lines = (await response.text()).splitlines()
    counts = (line.rpartition(" ")[2] for line in lines if line.startswith("smsbat_messages_finished_total{"))
    return any(float(count) for count in counts)
