"""Random changes of files in a drop directory, at length: what producers do, against a model.

The changes, and what must hold after them, are in `tests.ingest.drop.model`.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.ingest.drop.model import Model
from tests.torture.report import Report

SHARE_SEQUENCES = 500
STEPS = 60
MAX_FINDINGS = 5
"""Of a share."""


def share(folder: Path, count: int, seed: int) -> Report:
    """Play `count` sequences; the one that breaks is named by its seed."""
    # Each refused file has a line in the log; nobody reads a hundred thousand of them.
    logging.getLogger("smsbat").addHandler(logging.NullHandler())
    report = Report()
    for number in range(seed, seed + count):
        with tempfile.TemporaryDirectory(dir=folder) as home:
            try:
                asyncio.run(_sequence(Path(home) / "drop", number))
            except Exception as error:  # noqa: BLE001 - whatever comes out is what is looked for
                report.findings.append(f"sequence {number}: {type(error).__name__}: {error}")
        report.counts["sequences"] += 1
        report.counts["steps"] += STEPS
        if len(report.findings) >= MAX_FINDINGS:
            break
    return report


async def _sequence(directory: Path, seed: int) -> None:
    model = Model(directory, seed)
    for _ in range(STEPS):
        await model.step()
    await model.finish()


def shares(folder: Path, count: int, seed: int) -> list[Callable[[], Report]]:
    """A campaign of `count` sequences."""
    first = seed * 10_000_000
    return [
        partial(share, folder, min(SHARE_SEQUENCES, count - start), first + start)
        for start in range(0, count, SHARE_SEQUENCES)
    ]
