"""An hour of real time at ten times the usual load: memory, descriptors, stalls and files, minute by minute.

The daemon as it is run, with everything on: ids come by file and over HTTP,
webhooks come late, twice or not at all, the provider fails now and then, the
configuration is reloaded each minute, and a scraper looks twice a second. In
the end the counters equal the provider's totals.
"""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import linear_regression
from typing import NamedTuple

from exporter.store.database import CACHE_KIB
from exporter.store.directory import DATABASE
from tests.ingest.webhook.daemon import WebhookDaemon, count_finished
from tests.kit.processes import Running
from tests.kit.provider import Provider, simulated
from tests.kit.waiting import until
from tests.kit.web import ask
from tests.torture.report import Report

MESSAGES_PER_SECOND = 20
"""With what is asked about them, a hundred requests a second and more; the documentation's loop has ten."""
LOOK_SECONDS = 0.5
LOTS_PER_FILE = 5
FAULT_EVERY = 100
"""Lots, seconds: something goes wrong for a while."""
RETENTION = "5m"
"""Soon there are as many messages as ever; what is left of those before grows on for a week."""
WARM_UP = 0.25
TREND_SAMPLES = 1_200
"""Fewer looks than this tell no trend."""
MOST_KIB_PER_HOUR = 1024
MOST_DESCRIPTORS = 128
_PROFILE = "{first_poll: 1s, interval: 2s, max_interval: 5m, deadline: 30s, give_up_after: 12h}"
_BADLY = {"loss_share": 0.3, "repeat_share": 0.2, "delay_seconds": 0.1, "jitter_seconds": 2.0, "retries": 100}
_FAULTS = ("status", "reset", "garbage", "unknown_status")
_LAG = re.compile(r"^smsbat_event_loop_lag_seconds (\S+)$", re.MULTILINE)
_HOUR_SECONDS = 3600


class Look(NamedTuple):
    """What a scrape and the kernel tell at one moment."""

    at_seconds: float
    resident_kib: int
    descriptors: int
    files_kib: int
    database_kib: int
    lag_seconds: float
    scrape_seconds: float


def share(folder: Path, seconds: int, seed: int) -> Report:
    """Live that long."""
    report = Report()
    with simulated(folder, seed=seed) as provider:
        house = WebhookDaemon(folder / "house", provider.url, rate=100, profile=_PROFILE, retention=RETENTION)
        with house.start() as daemon:
            provider.webhooks(house.webhook_url, **_BADLY)
            looks = _lived(house, daemon, provider, seconds)
            provider.heal()
            _compare_totals(report, house, provider)
            report.findings += [
                f"the log has {line}"
                for line in daemon.events()
                if line["level"] == "error" and line["event"] != "account_outage"
            ]
    report.counts["seconds"] += seconds
    _judge(report, looks)
    return report


def _lived(house: WebhookDaemon, daemon: Running, provider: Provider, seconds: int) -> list[Look]:
    began = time.monotonic()
    looks: list[Look] = []
    lot = 0
    while (now := time.monotonic() - began) < seconds:
        looks.append(_look(house, daemon, now))
        while lot < now:
            _send(house, provider, lot)
            lot += 1
            if lot % 60 == 0:
                daemon.signal(signal.SIGHUP)
            if lot % FAULT_EVERY == 0:
                provider.fault(_FAULTS[lot // FAULT_EVERY % len(_FAULTS)], share=0.3, seconds=5)
        time.sleep(max(0.0, began + now + LOOK_SECONDS - time.monotonic()))
    return looks


def _send(house: WebhookDaemon, provider: Provider, lot: int) -> None:
    """A second's messages, by turns over HTTP and by file."""
    ids = provider.send("otp", "default", MESSAGES_PER_SECOND)
    if lot % LOTS_PER_FILE:
        house.post_ids(ids)
    else:
        draft = house.folder / "draft"
        draft.write_text("\n".join([*ids, ""]), "ascii")
        draft.rename(house.drop / f"{lot}.txt")


def _look(house: WebhookDaemon, daemon: Running, at_seconds: float) -> Look:
    began = time.monotonic()
    answer = ask(house.address, "/metrics")
    scrape_seconds = time.monotonic() - began
    assert answer.status == 200, answer
    lag = _LAG.search(answer.text)
    process, state = Path(f"/proc/{daemon.pid}"), house.folder / "state"
    pages = int((process / "statm").read_text("ascii").split()[1])
    return Look(
        at_seconds,
        pages * 4,
        len(list((process / "fd").iterdir())),
        sum(path.stat().st_size for path in state.iterdir()) // 1024,
        (state / DATABASE).stat().st_size // 1024,
        float(lag.group(1)) if lag else 0.0,
        scrape_seconds,
    )


def _compare_totals(report: Report, house: WebhookDaemon, provider: Provider) -> None:
    """Wait until the provider is quiet and every end is known."""
    try:
        until(
            lambda: house.read_counters() == count_finished(provider),
            "the counters equal the provider's",
            every_seconds=1,
        )
    except AssertionError as error:
        report.findings.append(str(error))
    report.counts["messages"] += provider.sent
    report.counts["finished"] += provider.finished()
    report.counts["requests"] += provider.requests()


def _judge(report: Report, looks: list[Look]) -> None:
    settled = looks[int(len(looks) * WARM_UP) :]
    scrapes = sorted(look.scrape_seconds for look in looks)
    lags = sorted(look.lag_seconds for look in looks)
    report.highest |= {
        "resident KiB": max(look.resident_kib for look in looks),
        "descriptors": max(look.descriptors for look in looks),
        "state KiB": looks[-1].files_kib,
        "event loop lag p99, ms": round(lags[int(len(lags) * 0.99)] * 1e3),
        "event loop lag, ms": round(lags[-1] * 1e3),
        "scrape p99, ms": round(scrapes[int(len(scrapes) * 0.99)] * 1e3),
        "scrape, ms": round(scrapes[-1] * 1e3),
    }
    if len(settled) >= TREND_SAMPLES:
        hours = [look.at_seconds / _HOUR_SECONDS for look in settled]
        # SQLite keeps pages of the database at hand, up to a limit: that is no leak.
        apart = [look.resident_kib - min(look.database_kib, CACHE_KIB) for look in settled]
        slope_kib = linear_regression(hours, apart).slope
        report.highest["KiB grown an hour, without the database's cache"] = round(slope_kib)
        if slope_kib > MOST_KIB_PER_HOUR:
            report.findings.append(f"memory grows by {slope_kib:.0f} KiB an hour")
    if report.highest["descriptors"] > MOST_DESCRIPTORS:
        report.findings.append(f"there were {report.highest['descriptors']} descriptors")


def shares(folder: Path, count: int, seed: int) -> list[Callable[[], Report]]:
    """A campaign of `count` seconds: one life."""
    return [partial(share, folder, count, seed)]
