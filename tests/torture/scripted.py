"""A run that is recorded for the power cuts: files are taken in, messages end, the state is reopened.

Run as a command, with the folder to work in. Everything is done by the real
drop directory, tracker and store. Around each step a line goes into the file
`steps`: `begin`, and when the step is acknowledged `done` with the number of
messages tracked by then.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from exporter.config import Settings, load
from exporter.domain.aggregates import StateDelta
from exporter.domain.lifecycle import Event, Observed, PollFailed
from exporter.domain.limiter import LimiterState
from exporter.domain.model import SECOND_US, Answer, Outcome, Status
from exporter.engine.tracker import Tracker
from exporter.ingest.drop.worker import DropSettings, DropWorker
from exporter.metrics.instruments import Instruments
from exporter.runtime.clock import SteadyClock
from exporter.store.sqlite import SqliteStore
from tests.store.engines import decide, make_tick

OPENED_AT = 1_795_000_000 * SECOND_US
_CONFIG = """\
accounts: [{name: main, base_url: "http://127.0.0.1:1", auth: {api_key_file: key}}]
"""
_BIG = 2_000
"""A file of this size takes the log over the length at which it is copied into the database."""


class Run:
    """The recorded run; its steps are the same each time."""

    def __init__(self, folder: Path) -> None:
        """Work in `folder`, which is there and empty."""
        self._folder = folder
        self._rng = random.Random(5)
        self._steps = os.open(folder / "steps", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._dropped = 0
        self._tracked = 0
        self._ended = 0

    def run(self) -> None:
        """Two lives on the same state."""
        (self._folder / "drop").mkdir()
        (self._folder / "config.yaml").write_text(_CONFIG, "utf-8")
        (self._folder / "key").write_text("made-up", "ascii")
        settings = load(self._folder / "config.yaml", {})
        for sizes in ((3, 40, 120, 5), (60, _BIG, 2, 7)):
            with self._step():
                store = SqliteStore(self._folder / "state", now=OPENED_AT)
            with ThreadPoolExecutor(1) as executor:
                asyncio.run(self._live(store, executor, settings, sizes))
            with self._step():
                store.close()
        os.close(self._steps)

    @contextmanager
    def _step(self) -> Iterator[None]:
        os.write(self._steps, b"begin\n")
        yield
        os.write(self._steps, b"done %d\n" % self._tracked)

    async def _live(
        self, store: SqliteStore, executor: ThreadPoolExecutor, settings: Settings, sizes: Sequence[int]
    ) -> None:
        clock, instruments = SteadyClock(), Instruments()
        tracker = Tracker(store, executor, settings, clock, instruments)
        with self._step():
            await tracker.start()
        directory = DropWorker(
            DropSettings(str(self._folder / "drop"), "main", "default", settle_us=0),
            {"main"},
            tracker,
            instruments.drop,
            clock,
        )
        for number, size in enumerate(sizes):
            self._drop(size, bad=number == 1)
            with self._step():
                taken = await directory.scan_once()
                self._tracked += taken.accepted
            for part in range(3):
                with self._step():
                    await tracker.run(store.apply, self._events(part), decide)
            with self._step():
                await tracker.run(store.persist, StateDelta(), {1: LimiterState(OPENED_AT, 0, 5.0)})
        with self._step():
            now = OPENED_AT + SECOND_US
            tick = make_tick(now)
            await tracker.run(store.collect_garbage, 0, limit=500, now=now, retention_us=0, tick=tick)

    def _drop(self, size: int, *, bad: bool) -> None:
        """Drop a file as the contract says: written beside, synced, renamed; and its folder synced too."""
        lines = [f"message-{self._dropped + n}" for n in range(size)] + ["no.id"] * bad
        self._dropped += size
        folder = self._folder / "drop" / ("otp" if size % 2 else "")
        if not folder.exists():
            folder.mkdir()
            _sync(folder.parent)
        draft = folder / ".draft.tmp"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.write(descriptor, "".join(f"{line}\n" for line in lines).encode())
        os.fsync(descriptor)
        os.close(descriptor)
        draft.rename(folder / f"{self._dropped}.txt")
        _sync(folder)

    def _events(self, part: int) -> list[Event]:
        """What a few polls brought."""
        events: list[Event] = []
        for _ in range(40):
            at = OPENED_AT + self._rng.randrange(SECOND_US)
            row = self._rng.randrange(1, self._tracked + 1)
            if part == 1:
                events.append(PollFailed(row, at, 0, Outcome.TIMEOUT))
            else:
                status = self._rng.choice((Status.PROCESSING, Status.DELIVERED, Status.UNDELIVERABLE))
                events.append(Observed(row, at, 0, Answer(status, parts=1, cost_nanos=7)))
        return events


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    os.fsync(descriptor)
    os.close(descriptor)


if __name__ == "__main__":
    Run(Path(sys.argv[1])).run()
