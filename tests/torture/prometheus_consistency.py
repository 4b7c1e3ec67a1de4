"""A real Prometheus scrapes through kills, and is queried at the end: its numbers must be the provider's."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from exporter.domain.model import NANOS_PER_UNIT
from exporter.metrics import catalogue
from exporter.simulator.timeline import HANG_SHARE, draw
from tests.kit.daemon import Home, id_lines
from tests.kit.prometheus import Prometheus, scraping
from tests.kit.provider import Provider, simulated
from tests.kit.totals import Totals, select
from tests.kit.waiting import until
from tests.kit.web import free_port
from tests.torture.forked_program import Child, program
from tests.torture.report import Report

KILLS_OF_A_SHARE = 50
SPEED = 1200.0
"""The slowest message ends within seconds."""
RATE = 300.0
SENT = (5, 60)
"""Messages of a life, at least and at most."""
LIFE_SECONDS = (0.1, 3.5)
"""Shorter than a start, and longer than a scrape interval."""
DURABLE = [family.name for family in catalogue.STATE if family.type is catalogue.Type.COUNTER]
"""The counters that must outlive a process."""
_ALL_TIME = "[2h]"


class Trial:
    """One state directory, its provider, and the Prometheus that watches."""

    def __init__(self, folder: Path, provider: Provider, seed: int) -> None:
        """Make the folder; nothing runs yet."""
        self.home = Home(folder / "home", provider.url, RATE)
        self.address = f"127.0.0.1:{free_port()}"
        self.sent = 0
        self._provider = provider
        self._seed = seed
        self._lives = 0

    def start(self) -> Child:
        """Begin a life, always at the same address."""
        self._lives += 1
        arguments = ("run", f"--config.file={self.home.config}", f"--web.listen-address={self.address}")
        return Child(program(arguments), self.home.folder / f"life-{self._lives}.log")

    def send(self, count: int) -> None:
        """Send messages, and drop a file of their ids."""
        ids = self._provider.send("otp", "default", count)
        self.sent += count
        self.home.put(f"{self._lives}-{self.sent}.txt", id_lines(ids))

    @property
    def ending(self) -> int:
        """How many messages ever end."""
        return sum(draw(self._seed, index).end >= HANG_SHARE for index in range(self.sent))


def share(folder: Path, kills: int, seed: int) -> Report:
    """Kill a daemon that many times, let it finish, and compare."""
    rng, report = random.Random(seed), Report()
    with simulated(folder, speed=SPEED, seed=seed) as provider:
        trial = Trial(folder, provider, seed)
        with scraping(folder, {"daemon": trial.address}) as prometheus:
            for _ in range(kills):
                child = trial.start()
                trial.send(rng.randint(*SENT))
                child.wait(rng.uniform(*LIFE_SECONDS))
                child.kill()
                report.counts["kills"] += 1
            last = trial.start()
            try:
                until(
                    lambda: (
                        _total(prometheus, "smsbat_messages_finished_total") == trial.ending
                        and _total(prometheus, "smsbat_messages_tracked_total") == trial.sent
                    ),
                    "Prometheus has seen the end",
                )
                report.findings += differences(prometheus, provider, trial.sent)
                report.findings += steps(prometheus, report)
            finally:
                last.kill()
        report.counts["messages"] += trial.sent
    return report


def _total(prometheus: Prometheus, name: str) -> float:
    return sum(prometheus.values(f"sum({name})").values())


def differences(prometheus: Prometheus, provider: Provider, sent: int) -> list[str]:
    """Where the counters are not the provider's own sums."""
    totals = provider.totals()
    costs = {
        label: round(cost * NANOS_PER_UNIT)
        for label, cost in _by(prometheus, "smsbat_cost_total", "currency").items()
    }
    finished = _by(prometheus, "smsbat_messages_finished_total", "status")
    pairs: list[tuple[str, Any, Any]] = [
        ("tracked", _total(prometheus, "smsbat_messages_tracked_total"), sent),
        ("parts", _total(prometheus, "smsbat_message_parts_total"), select(totals, "parts").total()),
        ("cost", costs, _of_all(totals, "cost_nanos")),
        ("finished", finished, _of_all(totals, "finished")),
    ]
    return [f"{what}: Prometheus has {seen}, the provider {due}" for what, seen, due in pairs if seen != due]


def _of_all(totals: Totals, what: str) -> dict[tuple[str, ...], int]:
    """By label, of the only campaign that there is."""
    return {tuple(labels): value for (_, *labels), value in select(totals, what).items()}


def _by(prometheus: Prometheus, name: str, label: str) -> dict[tuple[str, ...], float]:
    return prometheus.values(f"sum by ({label}) ({name}) > 0", label)


def steps(prometheus: Prometheus, report: Report) -> list[str]:
    """Resets, steps back, and increases that are not the difference of the last sample and the first."""
    found = []
    for name in DURABLE:
        increases = {
            _key(one): float(one["value"][1]) for one in prometheus.query(f"increase({name}{_ALL_TIME})")
        }
        for one in prometheus.query(f"{name}{_ALL_TIME}"):
            values = [float(value) for _, value in one["values"]]
            report.counts["samples"] += len(values)
            if values != sorted(values):
                found.append(f"{name} steps back")
            rise = values[-1] - values[0]
            if len(values) < 2:
                continue
            # Prometheus extends what it saw by up to 1.1 of the mean interval at both ends.
            most = rise * (1 + 2.2 / (len(values) - 1)) + 1
            if not rise <= increases[_key(one)] <= most:
                found.append(f"increase of {name} is {increases[_key(one)]}, it rose by {rise}")
    starts = prometheus.query(f'changes(process_start_time_seconds{{job="daemon"}}{_ALL_TIME})')
    report.counts["restarts that Prometheus saw"] += sum(int(float(one["value"][1])) for one in starts)
    return found


def _key(series: dict[str, Any]) -> frozenset[tuple[str, str]]:
    return frozenset((name, value) for name, value in series["metric"].items() if name != "__name__")


def shares(folder: Path, count: int, seed: int) -> list[Callable[[], Report]]:
    """A campaign of `count` kills."""
    made: list[Callable[[], Report]] = []
    while count > 0:
        kills = min(count, KILLS_OF_A_SHARE)
        count -= kills
        home = folder / f"share-{len(made)}"
        home.mkdir()
        made.append(partial(share, home, kills, seed * 1_000 + len(made)))
    return made
