"""A drop directory with what it needs: a clock moved by the test, a tracker and counters in memory."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from exporter.domain.model import SECOND_US, NewMessage, Source
from exporter.engine.tracker import Tracked
from exporter.ingest.drop.reporting import Summary
from exporter.ingest.drop.worker import After, DropSettings, DropWorker
from exporter.store import READ_TO_THE_END

NOW = 1_795_000_000 * SECOND_US
ACCOUNTS = frozenset({"main", "second"})


class HandClock:
    """Time moves when a test says so."""

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> int:
        """Microseconds since the epoch."""
        return self.at

    def monotonic(self) -> int:
        """Microseconds since the test began."""
        return self.at - NOW

    async def sleep(self, duration_us: int) -> None:
        """Time passes at once."""
        self.at += duration_us

    async def wait(self, event: asyncio.Event, limit_us: int) -> bool:
        """Time passes at once."""
        await asyncio.sleep(0)
        self.at += limit_us
        return event.is_set()


def make_lines(count: int, prefix: str = "id") -> str:
    """That many ids."""
    return "".join(f"{prefix}{number:07}\n" for number in range(count))


class Crash(BaseException):
    """The process dies here."""


class MemoryTracker:
    """A tracker in memory: each `track` is one transaction."""

    def __init__(self) -> None:
        self.messages: dict[str, NewMessage] = {}
        self.progressed: dict[bytes, int] = {}
        self.transactions: list[int] = []
        """Messages of each `track` that was not blocked."""
        self.offered = 0
        self.limit = 10**9
        self.on_progress: Callable[[], None] = lambda: None
        """Called when a file's offset is read."""
        self.before_commit: Callable[[], None] = lambda: None
        """Called as a transaction begins."""
        self.after_commit: Callable[[], None] = lambda: None
        """Called when it is committed."""

    async def get_file_progress(self, file_key: bytes) -> int:
        """See `MessageTracker`."""
        self.on_progress()
        return self.progressed.get(file_key, 0)

    async def track(
        self, batch: Sequence[NewMessage], source: Source, *, file_key: bytes, offset: int, last: bool
    ) -> Tracked:
        """See `MessageTracker`."""
        assert source is Source.DROP
        self.offered += 1
        self.before_commit()
        new = {message.message_id: message for message in batch if message.message_id not in self.messages}
        if len(self.messages) + len(new) > self.limit:
            return Tracked(blocked=True)
        self.messages |= new
        self.progressed[file_key] = READ_TO_THE_END if last else offset
        self.transactions.append(len(batch))
        self.after_commit()
        return Tracked(len(new), len(batch) - len(new))


class Counts:
    """The counters of the drop directory."""

    def __init__(self) -> None:
        self.files: Counter[str] = Counter()
        self.line_results: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.is_up: dict[str, bool] = {}
        self.is_blocked: bool | None = None

    def count_file(self, result: str) -> None:
        """See `DropInstruments`."""
        self.files[result] += 1

    def count_lines(self, result: str, count: int) -> None:
        """See `DropInstruments`."""
        self.line_results[result] += count

    def count_rejected(self, reason: str, count: int) -> None:
        """See `DropInstruments`."""
        self.reasons[reason] += count

    def set_up(self, directory: str, up: bool) -> None:  # noqa: FBT001 - the protocol's signature
        """See `DropInstruments`."""
        self.is_up[directory] = up

    def set_blocked(self, blocked: bool) -> None:  # noqa: FBT001 - the protocol's signature
        """See `DropInstruments`."""
        self.is_blocked = blocked


@dataclass
class Rig:
    """One directory and its worker; `restart` makes a new worker over the same store."""

    path: Path
    clock: HandClock
    tracker: MemoryTracker
    counts: Counts
    drop: DropWorker
    after: After

    @classmethod
    def make(cls, path: Path, after: After = After.MOVE) -> Rig:
        """Make the directory and everything around it."""
        path.mkdir(exist_ok=True)
        clock, tracker, counts = HandClock(), MemoryTracker(), Counts()
        return cls(path, clock, tracker, counts, _make_worker(path, after, tracker, counts, clock), after)

    def restart(self) -> None:
        """The process ends, as by SIGKILL, and starts again."""
        self.drop.close()
        self.drop = _make_worker(self.path, self.after, self.tracker, self.counts, self.clock)

    async def scan_after(self, seconds: float) -> Summary:
        """One pass, so much later."""
        self.clock.at += int(seconds * SECOND_US)
        return await self.drop.scan_once()

    async def settle(self, passes: int = 3) -> Summary:
        """Enough passes for files that are not written to any more."""
        summary = await self.drop.scan_once()
        for _ in range(passes):
            summary = await self.scan_after(2)
        return summary

    def drop_file(self, name: str, content: str | bytes) -> Path:
        """Put a file there as the contract asks: written elsewhere, then renamed."""
        unfinished = self.path / ".unfinished.tmp"
        unfinished.write_bytes(content.encode() if isinstance(content, str) else content)
        target = self.path / name
        target.parent.mkdir(exist_ok=True)
        unfinished.rename(target)
        return target

    def list_names(self, folder: str = "") -> set[str]:
        """The files in a folder."""
        place = self.path / folder
        return {entry.name for entry in place.iterdir() if not entry.is_dir()} if place.is_dir() else set()

    def list_ids(self) -> set[str]:
        """What is tracked."""
        return set(self.tracker.messages)


def _make_worker(
    path: Path, after: After, tracker: MemoryTracker, counts: Counts, clock: HandClock
) -> DropWorker:
    settings = DropSettings(os.fspath(path), "main", "default", after)
    return DropWorker(settings, ACCOUNTS, tracker, counts, clock)
