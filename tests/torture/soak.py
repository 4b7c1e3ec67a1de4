"""Days of traffic on virtual time: what memory, descriptors and files grow to, and how fast.

Everything of the daemon except its listeners runs; the provider fails at times. Each
hour's figures are taken at its end, the trend after a warm-up.
"""

from __future__ import annotations

import asyncio
import gc
import random
import resource
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import linear_regression
from typing import NamedTuple

import looptime

from exporter.config import Settings
from exporter.domain.model import Outcome, Reply
from exporter.domain.snapshot import Kind
from exporter.domain.states import Status
from tests.engine.provider import Provider, make_reply
from tests.engine.rig import Rig, start_rig
from tests.engine.settings import make_settings
from tests.torture.report import Report

SHARE_HOURS = 72
PART_SECONDS = 300
PART_MESSAGES = 600
"""Two a second, ten times the usual load: 17,000 messages a day."""
WARM_UP = 0.25
MOST_KIB_PER_HOUR = 1024
TREND_HOURS = 6
"""Fewer than this tell no trend."""
MOST_FILE_KIB = 64 * 1024
TOMBSTONE_BYTES = 100
"""What a forgotten message may leave in the file for a week; 27 of them are its own."""
_HOUR_SECONDS = 3600
_PROFILE = {
    "first_poll": "5s",
    "interval": "30s",
    "max_interval": "10m",
    "give_up_after": "50m",
    "deadline": "5m",
}
_WORDS = (Status.DELIVERED, Status.DELIVERED, Status.UNDELIVERABLE, Status.PROCESSING, Status.OTHER)
_FAILURES = (Outcome.SERVER_ERROR, Outcome.BAD_BODY, Outcome.TIMEOUT, Outcome.RATE_LIMITED)


class Figures(NamedTuple):
    """At the end of an hour."""

    resident_kib: int
    descriptors: int
    files_kib: int
    series: int
    pending: int


def _settings() -> Settings:
    return make_settings(
        rate=50, campaigns={"sale": "default"}, profiles={"default": _PROFILE}, storage={"retention": "1h"}
    )


def share(folder: Path, hours: int, seed: int) -> Report:
    """Live that many hours."""
    loop = looptime.new_event_loop(start=0, noop_cycles=0, _enabled=True)
    try:
        return loop.run_until_complete(_soaked(folder, hours, random.Random(seed)))
    finally:
        loop.close()


async def _soaked(folder: Path, hours: int, rng: random.Random) -> Report:
    down_until = 0.0

    def answer(_: str) -> Reply:
        nonlocal down_until
        now = asyncio.get_running_loop().time()
        if rng.random() < 0.0005:
            down_until = now + rng.uniform(1, 600)
        if now < down_until or rng.random() < 0.01:
            return Reply(rng.choice(_FAILURES))
        return make_reply(rng.choice(_WORDS))

    report, provider, figures = Report(), Provider(answer), []
    async with start_rig(folder, provider, _settings()) as rig:
        for hour in range(hours):
            for part in range(_HOUR_SECONDS // PART_SECONDS):
                await rig.send(PART_MESSAGES, rng.choice(("default", "sale")), prefix=f"h{hour}-{part}")
                await rig.pass_time(PART_SECONDS)
            report.counts["requests"] += len(provider.requests)
            provider.requests.clear()
            figures.append(_figures(rig))
        report.counts["hours"] += hours
        report.counts["messages"] += rig.submitted
        if rig.sum_series(Kind.TRACKED) != rig.submitted:
            report.findings.append(f"{rig.submitted} were sent, {rig.sum_series(Kind.TRACKED)} are counted")
    _judge(report, figures)
    return report


def _figures(rig: Rig) -> Figures:
    gc.collect()
    resident_pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return Figures(
        resident_pages * resource.getpagesize() // 1024,
        len(list(Path("/proc/self/fd").iterdir())),
        sum(path.stat().st_size for path in rig.folder.iterdir()) // 1024,
        len(rig.snapshot.values),
        rig.pending,
    )


def _judge(report: Report, figures: list[Figures]) -> None:
    """Compare the hours after the warm-up."""
    settled = figures[int(len(figures) * WARM_UP) :]
    first, last = settled[0], settled[-1]
    slope_kib = 0.0
    if len(settled) >= TREND_HOURS:
        slope_kib = linear_regression(range(len(settled)), [one.resident_kib for one in settled]).slope
    report.highest |= {
        "resident KiB": max(one.resident_kib for one in figures),
        "KiB grown an hour": round(slope_kib),
        "descriptors": max(one.descriptors for one in figures),
        "files KiB": max(one.files_kib for one in figures),
        "files KiB grown": last.files_kib - first.files_kib,
        "series": max(one.series for one in figures),
        "pending": max(one.pending for one in figures),
    }
    if slope_kib > MOST_KIB_PER_HOUR:
        report.findings.append(f"memory grows by {slope_kib:.0f} KiB an hour")
    if last.descriptors > first.descriptors:
        report.findings.append(f"descriptors grew from {first.descriptors} to {last.descriptors}")
    if last.series > first.series + 10:
        report.findings.append(f"series grew from {first.series} to {last.series}")
    left_kib = report.counts["messages"] * TOMBSTONE_BYTES // 1024
    if last.files_kib > MOST_FILE_KIB + left_kib:
        report.findings.append(f"the state is {last.files_kib} KiB large")


def shares(folder: Path, count: int, seed: int) -> list[Callable[[], Report]]:
    """A campaign of `count` hours; more than three days are lived side by side."""
    made: list[Callable[[], Report]] = []
    while count > 0:
        hours = min(count, SHARE_HOURS)
        count -= hours
        home = folder / f"share-{len(made)}"
        home.mkdir()
        made.append(partial(share, home, hours, seed * 1_000 + len(made)))
    return made
