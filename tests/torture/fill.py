"""The disk is full for a while, again and again.

Works on a small file system of its own, so it is started in a namespace where
it may mount one: `unshare --mount --map-root-user python -m tests.torture fill`.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.kit.provider import Provider
from tests.torture.check import disagreements, read_state
from tests.torture.forked_program import Child, scrape, until
from tests.torture.home import Home
from tests.torture.provider import forked_provider
from tests.torture.report import Report

DISK_BYTES = 8 * 2**20
FILE_IDS = 400
"""Enough that a few files take more than what a log has allocated already."""
FILES_UNTIL_FULL = 12
NO_ROOM = 74
TIMES_PER_SHARE = 10


class Trial:
    """One state on a small disk."""

    def __init__(self, folder: Path, provider: Provider, seed: int) -> None:
        """Mount the disk where the state is to be."""
        self._rng = random.Random(seed)
        self._provider = provider
        self._home = Home(folder / "home", provider.url, rate=20, retention="7d")
        self._home.state.mkdir()
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(self._home.state)], check=True
        )
        self._filler = self._home.state / "filler"
        self._samples: dict[str, float] = {}
        self.report = Report()

    def close(self) -> None:
        """Unmount."""
        subprocess.run(["umount", str(self._home.state)], check=True)

    def run(self, times: int) -> None:
        """Fill the disk and free it that often, with a new start into a full disk in between."""
        child = self._home.start()
        try:
            for number in range(times):
                self._fill_up(child)
                if number % 4 == 3:
                    child = self._start_again(child)
                self._free(child)
                self.report.counts["times"] += 1
            child.signal(signal.SIGTERM)
            child.wait()
        finally:
            child.kill()
        if child.code != 0 or "Traceback" in child.said():
            self._found(f"ended with {child.code}", child)
        self._audit()

    def _up(self, child: Child) -> float | None:
        samples = scrape(child)
        self._samples = samples or {}
        return None if samples is None else samples.get("smsbat_store_up")

    def _fill_up(self, child: Child) -> None:
        """Leave no room, and drop files until the daemon feels it."""
        if not until(child, lambda: self._up(child) == 1):
            self._found("did not come up", child)
        _fill(self._filler)
        for _ in range(FILES_UNTIL_FULL):
            self._home.drop_file(self._provider.send("otp", "otp", FILE_IDS), self._rng)
            until(child, lambda: self._up(child) == 0 or not self._home.waiting())
            if self._samples.get("smsbat_store_up") == 0:
                break
        else:
            self._found("never said that the disk is full", child)
        if not self._samples:
            self._found("/metrics does not answer while the disk is full", child)
        for wrong in self._home.misplaced():
            self._found(wrong, child)

    def _start_again(self, child: Child) -> Child:
        """Kill it while the disk is full; what is started into that says so, or waits."""
        child.kill()
        again = self._home.start()
        if not until(again, lambda: self._up(again) is not None):
            if again.code != NO_ROOM or "Traceback" in again.said():
                self._found(f"started into a full disk it ended with {again.code}", again)
            self.report.counts["refused to start"] += 1
            self._filler.unlink()
            again = self._home.start()
        return again

    def _free(self, child: Child) -> None:
        """Make room: everything goes on by itself."""
        self._filler.unlink(missing_ok=True)
        if not until(child, lambda: self._up(child) == 1 and not self._home.waiting()):
            self._found("did not recover by itself", child)
        if "Traceback" in child.said():
            self._found("a traceback", child)

    def _audit(self) -> None:
        with self._home.image() as image:
            assert image is not None
            self.report.findings += disagreements(image)
            if read_state(image).ids != self._home.sent:
                self.report.findings.append("not all ids are tracked")
        self.report.findings += self._home.misplaced()
        self.report.counts["messages"] = len(self._home.sent)

    def _found(self, what: str, child: Child) -> None:
        self.report.findings.append(f"{what}: {child.said()[-800:]}")


def _fill(filler: Path) -> None:
    """Write until nothing more can be written."""
    descriptor = os.open(filler, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    piece = bytes(2**16)
    try:
        while piece:
            try:
                os.write(descriptor, piece)
            except OSError:
                piece = piece[: len(piece) // 2]
    finally:
        os.close(descriptor)


def fill(folder: Path, seed: int, times: int) -> Report:
    """Fill one disk that often; works in `folder`, which is made."""
    folder.mkdir()
    with forked_provider(folder, seed=seed, speed=60) as provider:
        trial = Trial(folder, provider, seed)
        try:
            trial.run(times)
        finally:
            trial.close()
    return trial.report


def shares(folder: Path, count: int, seed: int) -> list[Callable[[], Report]]:
    """A campaign of `count` fillings."""
    return [
        partial(fill, folder / str(number), seed + number, min(TIMES_PER_SHARE, count - done))
        for number, done in enumerate(range(0, count, TIMES_PER_SHARE))
    ]
