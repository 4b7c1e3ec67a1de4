"""SIGKILL at random times in a daemon's life, and what must hold after each.

A *generation* is one state directory over many lives: each life is started,
given work, and killed; then its files are looked at as they lie there. The last
life of a generation is left alone until the daemon's counters are those of
the provider, and must end in order.
"""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from exporter.domain.snapshot import Kind
from tests.kit.arrivals import count_busiest_second, find_closest_repeat_us
from tests.kit.provider import Provider
from tests.kit.totals import select
from tests.torture.check import disagreements, read_state
from tests.torture.forked_program import Child, port_of, scrape, until
from tests.torture.home import Home
from tests.torture.provider import forked_provider
from tests.torture.report import Report

SPEED = 12
"""How many times faster than real time the provider's messages live."""
RATE = 50
LIVES: dict[str, tuple[float, float, int]] = {
    "start": (0.0, 0.25, 30),
    "aimed": (0.0, 1.5, 30),
    "ingest": (0.1, 1.3, 15),
    "load": (1.0, 3.5, 12),
    "maintenance": (4.8, 6.0, 3),
    "reload": (0.15, 1.5, 10),
    "shutdown": (0.1, 2.0, 12),
}
"""By kind: the shortest and the longest life in seconds, and how often."""
AIM_STEP_SECONDS = 50e-6
FEW_KILLS, MANY_KILLS = 3, 60
"""In a generation: every fourth is short, since only the first start makes the tables."""
SETTLE_LOOKS, SETTLE_STEP_SECONDS = 200, 0.25
"""In less than the minute after which a poller looks around even if nothing woke it.

The daemon answers each look: where the machine is busy they take longer, as its work does.
"""
CLOSEST_US = 1_000_000
TOLERANCE_US = 50_000
"""A pause may be shorter by the time that a request takes on its way."""
BURST, IN_FLIGHT = RATE // 10, 10
"""A second may be fuller by what was saved up for it, and by what was under way as it began."""


class Generation:
    """One state directory, from the first start to the last stop."""

    def __init__(self, folder: Path, provider: Provider, rng: random.Random) -> None:
        """Begin with nothing."""
        retention = "1s" if rng.random() < 0.2 else "7d"
        self._home = Home(folder / "home", provider.url, rate=RATE, retention=retention)
        self._provider = provider
        self._rng = rng
        self._published: dict[str, float] = {}
        self._kind = ""
        self.report = Report()

    def run(self, kills: int) -> None:
        """Live and die that often, then live on in peace."""
        kinds, weights = list(LIVES), [often for _, _, often in LIVES.values()]
        for _ in range(kills):
            (self._kind,) = self._rng.choices(kinds, weights)
            if self._kind == "aimed":
                self._drop(None)
            child = self._home.start()
            try:
                if self._kind == "aimed":
                    self._aim(child)
                else:
                    self._live(child)
            finally:
                child.kill()
            self.report.counts[self._kind] += 1
            self.report.counts["kills"] += 1
            self._look(child)
        self._kind = "settle"
        self._settle()
        self._ask_the_provider()

    # --- one life ---------------------------------------------------------------------------------

    def _live(self, child: Child) -> None:
        shortest, longest, _ = LIVES[self._kind]
        ends_at = self._rng.uniform(shortest, longest)
        moments: list[tuple[float, Callable[[Child], None]]] = [(ends_at, lambda _: None)]
        if self._rng.random() < 0.5:
            moments.append((self._rng.uniform(0, ends_at), self._drop))
        moments += [(self._rng.uniform(0, ends_at), self._scrape) for _ in range(2)]
        if self._kind == "load" and self._rng.random() < 0.5:
            moments.append((self._rng.uniform(0, ends_at), self._trouble))
        if self._kind == "reload":
            # The reload is under way when the end comes.
            moments.append((max(0.0, ends_at - self._rng.uniform(0, 0.06)), self._reload))
        if self._kind == "shutdown":
            moments.append((max(0.0, ends_at - self._rng.uniform(0, 0.06)), _terminate))
        began_at = time.monotonic()
        for after_seconds, act in sorted(moments, key=lambda moment: moment[0]):
            if child.wait(began_at + after_seconds - time.monotonic()):
                return
            act(child)

    def _aim(self, child: Child) -> None:
        """Wait until the daemon has just written to the store, and a little longer.

        Most of a life nothing is written: kills at any instant would hardly ever fall between two writes.
        """
        log = self._home.state / "state.sqlite3-wal"
        writes, size_bytes = self._rng.randint(1, 10), 0
        until_at = time.monotonic() + LIVES["aimed"][1]
        while time.monotonic() < until_at and writes:
            time.sleep(AIM_STEP_SECONDS)
            before, size_bytes = size_bytes, log.stat().st_size if log.exists() else 0
            writes -= size_bytes != before
        child.wait(self._rng.choice((0.0, self._rng.uniform(0, 0.004))))

    def _drop(self, _: Child | None) -> None:
        ids = self._provider.send("otp", "otp", self._rng.randint(1, 6))
        if self._home.contents and self._rng.random() < 0.2:
            ids = [*ids, *self._home.ids_in[self._rng.choice(list(self._home.ids_in))]]
        self._home.drop_file(ids, self._rng)

    def _reload(self, child: Child) -> None:
        self._home.configure(self._provider.send("otp", "otp", self._rng.randint(1, 3)))
        # Before it listens for it, this signal ends the program: that is a kill like any other.
        child.signal(signal.SIGHUP)

    def _trouble(self, _: Child) -> None:
        self._provider.fault(self._rng.choice(("status", "reset", "garbage")), share=0.3, seconds=0.5)

    def _scrape(self, child: Child) -> None:
        samples = scrape(child)
        if samples is None:
            return
        for name, value in samples.items():
            if not _is_state_counter(name):
                continue
            before = self._published.get(name, 0.0)
            if value < before:
                self._found(f"{name} fell from {before:g} to {value:g}")
            self._published[name] = value
        missing = self._published.keys() - samples.keys()
        if missing:
            self._found(f"{len(missing)} series are gone, such as {min(missing)}")

    # --- what must hold after it ---------------------------------------------------------------------

    def _look(self, child: Child) -> None:
        """Look at what the life left behind."""
        said = child.said()
        expected = {-signal.SIGKILL} | ({0, -signal.SIGTERM} if self._kind == "shutdown" else set())
        expected |= {-signal.SIGHUP} if self._kind == "reload" else set()
        if child.code not in expected or "Traceback" in said:
            self._found(f"ended with {child.code}: {said[-2000:]}")
        child.output.unlink()
        for wrong in self._home.misplaced():
            self._found(wrong)
        with self._home.image() as image:
            # A life can end before the first table is there.
            if image is None or image.stat().st_size == 0:
                if self._published or self._home.acknowledged():
                    self._found("the database is gone")
                return
            self._audit(image)

    def _audit(self, image: Path) -> None:
        for wrong in disagreements(image):
            self._found(wrong)
        kept = read_state(image)
        lost = self._home.acknowledged() - kept.ids
        if len(lost) > kept.forgotten:
            self._found(f"{len(lost)} acknowledged ids are lost, {kept.forgotten} were forgotten")
        strange = kept.ids - self._home.sent
        if strange:
            self._found(f"{len(strange)} ids were never sent")
        counted = sum(value for (_, kind, _), value in kept.totals.items() if kind is Kind.TRACKED)
        published = sum(
            v for n, v in self._published.items() if n.startswith("smsbat_messages_tracked_total")
        )
        if published > counted:
            self._found(f"{published:g} were published as tracked, {counted} are on disk")

    def _settle(self) -> None:
        """Let the daemon catch up; then it must say what the provider says."""
        self._provider.heal()
        child = self._home.start()
        began_at = time.monotonic()
        try:
            until(child, lambda: port_of(child) is not None)
            for _ in range(SETTLE_LOOKS):
                if self._caught_up(child) or child.wait(SETTLE_STEP_SECONDS):
                    break
            else:
                self._found(f"never caught up: {child.said()[-1000:]}")
            self.report.highest["seconds to catch up"] = int(time.monotonic() - began_at)
            child.signal(signal.SIGTERM)
            if not child.wait():
                self._found("SIGTERM did not end it")
        finally:
            child.kill()
        if child.code != 0:
            self._found(f"ended with {child.code} after SIGTERM: {child.said()[-2000:]}")
        for wrong in self._home.misplaced():
            self._found(wrong)
        with self._home.image() as image:
            if image is not None:
                self._audit(image)
                self._compare(image)

    def _caught_up(self, child: Child) -> bool:
        self._scrape(child)
        if port_of(child) is None or self._home.waiting():
            return False
        finished = sum(
            v for n, v in self._published.items() if n.startswith("smsbat_messages_finished_total")
        )
        return finished >= self._provider.finished()

    def _compare(self, image: Path) -> None:
        """The counters are those of the provider."""
        told = self._provider.totals(seen=True)
        by_label: dict[Kind, Counter[str]] = {kind: Counter() for kind in Kind}
        for (_, kind, label), value in read_state(image).totals.items():
            by_label[kind][label] += value
        if by_label[Kind.TRACKED].total() != len(self._home.sent):
            self._found(f"tracked {by_label[Kind.TRACKED].total()} of {len(self._home.sent)}")
        for kind in (Kind.FINISHED, Kind.COST_NANOS, Kind.PARTS):
            ours = {label: value for label, value in by_label[kind].items() if value}
            theirs = {"".join(label): value for (_, *label), value in select(told, kind.name.lower()).items()}
            if ours != theirs:
                self._found(f"{kind.name}: we count {ours}, the provider {theirs}")
        self.report.counts["messages"] = len(self._home.sent)

    def _ask_the_provider(self) -> None:
        """What arrived there: never twice in a second for a message, never more than the rate."""
        arrivals = self._provider.arrivals()
        closest_us = find_closest_repeat_us(arrivals)
        if closest_us is not None:
            self.report.lowest["us between requests for a message"] = closest_us
            if closest_us < CLOSEST_US - TOLERANCE_US:
                self._found(f"two requests for one message came {closest_us} us apart")
        busiest = count_busiest_second(arrivals)
        self.report.highest["requests in a second"] = busiest
        if busiest > RATE + BURST + IN_FLIGHT:
            self._found(f"{busiest} requests came in one second")
        self.report.counts["requests"] = len(arrivals)

    def _found(self, what: str) -> None:
        self.report.findings.append(f"{self._kind}: {what}")


def _terminate(child: Child) -> None:
    child.signal(signal.SIGTERM)


def _is_state_counter(name: str) -> bool:
    """Whether this series must never fall, over restarts too."""
    family = name.partition("{")[0]
    return family.startswith(
        (
            "smsbat_messages_tracked",
            "smsbat_messages_finished",
            "smsbat_messages_late",
            "smsbat_slo_messages",
            "smsbat_slo_missed",
            "smsbat_slo_unobserved",
            "smsbat_cost",
            "smsbat_message_parts",
            "smsbat_fallbacks",
            "smsbat_channel_messages",
            "smsbat_delivery_duration",
            "smsbat_first_knowledge",
        )
    )


def generation(folder: Path, seed: int, kills: int) -> Report:
    """Live one generation in `folder`, which is there and empty."""
    with forked_provider(folder, seed=seed, speed=SPEED) as provider:
        lived = Generation(folder, provider, random.Random(seed))
        lived.run(kills)
    return lived.report


def shares(folder: Path, count: int, seed: int) -> list[Callable[[], Report]]:
    """A campaign of `count` kills."""
    made: list[Callable[[], Report]] = []
    many = min(MANY_KILLS, max(FEW_KILLS, count // 12))
    while count > 0:
        kills = min(count, many if len(made) % 4 else FEW_KILLS)
        count -= kills
        home = folder / str(len(made))
        home.mkdir()
        made.append(partial(generation, home, seed * 100_000 + len(made), kills))
    return made
