"""One call to the system fails once: the k-th write, sync, rename, open or mkdir of the daemon's files.

Each fault gets a daemon of its own, under an strace that makes the call fail.
Whatever it was, nothing is lost, and the user is not left with a traceback:
either the daemon goes on and gets everything done, or it says what is wrong and
waits, or it ends with the exit code that says why. Afterwards, without the
fault, a new run must find everything.
"""

from __future__ import annotations

import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from exporter.domain.snapshot import Kind
from tests.kit.provider import Provider
from tests.torture.check import disagreements, read_state
from tests.torture.forked_program import Child, scrape, until
from tests.torture.home import Home
from tests.torture.provider import forked_provider
from tests.torture.report import Report

CALLS = ("pwrite64", "write", "fdatasync", "fsync", "rename", "renameat", "openat", "mkdir", "mkdirat")
ERRORS = ("ENOSPC", "EIO", "EMFILE", "EACCES")
MOST_CALLS = 200
EXIT_CODES = frozenset({74, 75, 78})
"""The disk fails; in use; the state can't be used."""
RECOVER_SECONDS = 6.0
"""A daemon that says what is wrong has as long to recover; it may wait instead."""
MORE_FILES = 97
"""Dropped beside the first three, so that renames and syncs come near `MOST_CALLS` too."""
MOST_PER_SHARE = 12


class Fault(NamedTuple):
    """One thing that goes wrong."""

    call: str
    error: str
    number: int
    """The how manieth such call of a thread fails, from 1."""

    @property
    def rule(self) -> str:
        """As strace takes it."""
        return f"inject={self.call}:error={self.error}:when={self.number}"


class Trial:
    """One daemon under one fault."""

    def __init__(self, folder: Path, provider: Provider, seed: int) -> None:
        """Work in `folder`, which is made."""
        self._rng = random.Random(seed)
        self._provider = provider
        self._home = Home(folder, provider.url, rate=100, retention="7d")
        self._trace = folder / "trace"
        self._tracked = 0.0
        self._finished = 0.0

    def run(self, fault: Fault | None) -> Report:
        """Live under the fault, then once more without it."""
        self._home.configure(self._provider.send("otp", "otp", 2))
        for size in (1, 3, 30):
            self._home.drop_file(self._provider.send("otp", "otp", size), self._rng)
        for message_id in self._provider.send("otp", "otp", MORE_FILES):
            self._home.drop_lines([message_id], [message_id])
        report = Report()
        child = self._home.start(self._tracer(fault))
        try:
            done = until(child, lambda: self._is_done(child), RECOVER_SECONDS)
            if not done and until(child, lambda: self._is_done(child) or _reported(child)):
                done = self._is_done(child)
            child.signal(signal.SIGTERM)
            child.wait()
        finally:
            child.kill()
        struck = "(INJECTED)" in self._trace.read_text("ascii", "replace")
        kind, wrong = _verdict(child, done=done, struck=struck)
        report.counts[kind] += 1
        report.counts["faults"] += struck
        report.findings += [*wrong, *self._live_again()]
        return report

    def calls(self) -> Counter[str]:
        """How often a thread makes each call at most, when nothing goes wrong."""
        self.run(None)
        made: Counter[tuple[str, str]] = Counter()
        for line in self._trace.read_text("ascii", "replace").splitlines():
            thread, _, call = line.partition(" ")
            made[thread, call.strip().partition("(")[0]] += 1
        most: Counter[str] = Counter()
        for (_, call), count in made.items():
            most[call] = max(most[call], count)
        return most

    def _tracer(self, fault: Fault | None) -> list[str]:
        """An strace that looks at our files only."""
        home, state, drop = self._home.folder, self._home.state, self._home.drop
        files = [state / name for name in ("state.sqlite3", "state.sqlite3-wal", "state.sqlite3-journal")]
        files += [
            state,
            state / "state.commits",
            state / "state.commits.tmp",
            home / "config.yaml",
            home / "key",
        ]
        files += [folder / name for folder in (drop, drop / "otp") for name in ("", "done", "failed")]
        files += [path / f".{name}.reason" for path in files[-6:] for name in map(Path, self._home.contents)]
        which = f"trace={fault.call if fault else ','.join(CALLS)}"
        paths = [argument for path in files for argument in ("-P", str(path))]
        rule = ["-e", fault.rule] if fault else []
        return [
            "strace",
            "-f",
            "-qq",
            "-o",
            str(self._trace),
            "-e",
            "signal=none",
            "-e",
            which,
            *rule,
            *paths,
        ]

    def _is_done(self, child: Child) -> bool:
        """Whether all ids are tracked, and somebody has begun to ask about them."""
        samples = scrape(child) or {}
        self._tracked = _total(samples, "smsbat_messages_tracked_total")
        self._finished = _total(samples, "smsbat_messages_finished_total")
        return not self._home.waiting() and self._tracked == len(self._home.sent) and self._finished > 0

    def _live_again(self) -> Iterator[str]:
        child = self._home.start()
        try:
            if not until(child, lambda: self._is_done(child)):
                yield f"the next run found {self._tracked:g} of {len(self._home.sent)}: {child.said()[-600:]}"
            child.signal(signal.SIGTERM)
            child.wait()
        finally:
            child.kill()
        if child.code != 0:
            yield f"the next run ended with {child.code}: {child.said()[-600:]}"
        yield from self._home.misplaced()
        reports, bad = len(list(self._home.drop.rglob("*.reason"))), self._home.bad_files
        if reports != bad:
            yield f"{reports} reports over {bad} files with bad lines"
        with self._home.image() as image:
            if image is None:
                yield "there is no state"
                return
            yield from disagreements(image)
            kept = read_state(image)
            tracked = sum(value for (_, kind, _), value in kept.totals.items() if kind is Kind.TRACKED)
            if kept.ids != self._home.sent or tracked != len(self._home.sent):
                yield f"{len(kept.ids)} ids are kept and {tracked} counted of {len(self._home.sent)}"


def _total(samples: dict[str, float], family: str) -> float:
    return sum(value for name, value in samples.items() if name.startswith(f"{family}{{"))


def _reported(child: Child) -> bool:
    """Whether the user was told that something is wrong."""
    said = child.said()
    return "level=warn" in said or "level=error" in said


def _verdict(child: Child, *, done: bool, struck: bool) -> tuple[str, list[str]]:
    """What kind of end that was, and what was wrong with it."""
    code, said, told = child.code, child.said(), _reported(child)
    wrong = ["a traceback"] if "Traceback" in said else []
    if not struck:
        return "not reached", wrong
    if code == 0:
        if done:
            return "recovered, told" if told else "recovered", wrong
        return "waits, told" if told else "waits", wrong if told else [*wrong, "waits and says nothing"]
    if code not in EXIT_CODES or "smsbat-exporter: " not in said:
        wrong.append(f"ended with {code}: {said[-600:]}")
    return f"exit {code}", wrong


def trials(folder: Path, seed: int, faults: Sequence[Fault]) -> Report:
    """Try some faults, one after the other."""
    whole = Report()
    folder.mkdir()
    with forked_provider(folder, seed=seed, speed=60) as provider:
        for number, fault in enumerate(faults):
            report = Trial(folder / str(number), provider, seed + number).run(fault)
            report.findings = [f"{fault.rule}: {wrong}" for wrong in report.findings]
            whole.add(report)
    return whole


def all_faults(folder: Path, seed: int) -> list[Fault]:
    """Every call of a run that can fail, up to `MOST_CALLS` of each, with each error."""
    folder.mkdir()
    with forked_provider(folder, seed=seed, speed=60) as provider:
        calls = Trial(folder / "home", provider, seed).calls()
    return [
        Fault(call, error, number)
        for call in CALLS
        for number in range(1, min(calls[call], MOST_CALLS) + 1)
        for error in ERRORS
    ]


def shares(folder: Path, count: int, seed: int) -> list[Callable[[], Report]]:
    """A campaign of `count` faults, or all that there are: of each call as many as of the others."""
    rng = random.Random(seed)
    faults = all_faults(folder / "calls", seed)
    rng.shuffle(faults)
    before: Counter[str] = Counter()
    in_turns = []
    for fault in faults:
        in_turns.append((before[fault.call], fault))
        before[fault.call] += 1
    chosen = [fault for _, fault in sorted(in_turns, key=lambda turn: turn[0])[:count]]
    rng.shuffle(chosen)
    size = max(1, min(MOST_PER_SHARE, count // 9))
    return [
        partial(trials, folder / str(number), seed + number, chosen[number : number + size])
        for number in range(0, len(chosen), size)
    ]
