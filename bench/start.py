"""What it costs to start and do next to nothing; the peer is Python that does nothing."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from statistics import mean

from bench.figures import Plan, Round

STARTS = 10
COMMANDS = ("--version", "--help", "chek-config", "completion bash", "check-config config.example.yaml")


async def measure_rounds(plan: Plan, _folder: Path) -> AsyncIterator[Round]:
    """In each round a few starts of everything; a first run that compiles is not counted."""
    lines = {
        "python -c pass": ["-c", "pass"],
        **{line: ["-m", "exporter", *line.split()] for line in COMMANDS},
    }
    for argv in lines.values():
        await _cpu_ms(argv)
    for _ in range(plan.rounds):
        took = {
            line: mean([await _cpu_ms(argv) for _ in range(plan.choose_size(STARTS, 1))])
            for line, argv in lines.items()
        }
        yield {
            **{f"{line}: CPU ms": ms for line, ms in took.items()},
            "--version / python -c pass": took["--version"] / took["python -c pass"],
        }


async def _cpu_ms(argv: list[str]) -> float:
    """Processor time of one process of Python, user and system, from its start to its end."""
    before = getrusage(RUSAGE_CHILDREN)
    process = await asyncio.create_subprocess_exec(sys.executable, *argv, stdout=DEVNULL, stderr=DEVNULL)
    await process.wait()
    after = getrusage(RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
