"""What a line of the log costs the one that logs, when it is written and when nobody reads it.

The peer is the standard library's handler, which writes each line itself.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path
from time import perf_counter

from bench.figures import Plan, Round
from exporter.runtime.log import start_logging


async def measure_rounds(plan: Plan, folder: Path) -> AsyncIterator[Round]:
    """Each round with logs of its own."""
    lines = plan.choose_size(100_000, 3_000)
    for number in range(plan.rounds):
        written = _measure_written(folder / f"{number}.log", lines)
        unread = _measure_unread(lines)
        library = _measure_library(folder / f"{number}-library.log", lines)
        yield {
            "to a file: us/line": written,
            "to a pipe that nobody reads: us/line": unread,
            "library, to a file: us/line": library,
            "to a file / library": written / library,
            "to a pipe that nobody reads / library": unread / library,
        }


def _measure_written(path: Path, lines: int) -> float:
    with path.open("w") as stream:
        handle = start_logging("debug", "logfmt", stream)
        each_us = _measure_line_us(logging.getLogger("smsbat.bench"), lines)
        handle.close()
    return each_us


def _measure_unread(lines: int) -> float:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        handle = start_logging("debug", "logfmt", stream)
        each_us = _measure_line_us(logging.getLogger("smsbat.bench"), lines)
        os.close(reading)
        handle.close()
    return each_us


def _measure_library(path: Path, lines: int) -> float:
    logger = logging.getLogger("bench.library")
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logger.addHandler(handler)
    each_us = _measure_line_us(logger, lines)
    logger.removeHandler(handler)
    handler.close()
    return each_us


def _measure_line_us(logger: logging.Logger, lines: int) -> float:
    """Microseconds of a line."""
    began = perf_counter()
    for number in range(lines):
        logger.debug("A message was polled", extra={"event": "polled", "fields": {"number": number}})
    return (perf_counter() - began) / lines * 1e6
