"""Power cuts, replayed: a recorded run, of whose writes some are dropped or torn, opened by the real store.

After each operation of the record, images of the disk are made (`disk`) and
opened by the real store. An image must be sound, and must hold exactly what the
store held after some transaction that is not older than what was acknowledged
by then; the dropped files are in one place each, and what lies in `done/` is
tracked.
"""

from __future__ import annotations

import marshal
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from exporter.domain.snapshot import Kind
from exporter.runtime.errors import StoreError
from exporter.store.sqlite import SqliteStore
from tests.torture.check import disagreements
from tests.torture.disk import Disk
from tests.torture.report import Report
from tests.torture.scripted import OPENED_AT
from tests.torture.trace import Op, Sync, Write, record

_TABLES = {
    "meta": "name <> 'commits'",
    "accounts": "1",
    "campaigns": "1",
    "messages": "1",
    "tombstones": "1",
    "series": "1",
    "cohorts": "1",
    "files": "1",
}
_ROW_WRITES = 16
IMAGES_PER_SHARE = 2_000
"""A few for each operation that is cut after."""


@dataclass(frozen=True, slots=True)
class Recording:
    """What the run did, and below which folder."""

    folder: str
    ops: Sequence[Op]

    @property
    def state(self) -> str:
        """Where the state was."""
        return f"{self.folder}/state"

    def without_log_syncs(self) -> Recording:
        """As if commits were not synced: `synchronous = NORMAL`."""
        kept = [op for op in self.ops if not (isinstance(op, Sync) and op.path.endswith("-wal"))]
        return Recording(self.folder, kept)

    def acknowledged_early(self) -> Recording:
        """As if each step was acknowledged as it begins."""
        ops: list[Op] = []
        begun = 0
        for op in self.ops:
            if _is_step(op, b"begin"):
                begun = len(ops)
            elif _is_step(op, b"done"):
                ops.insert(begun, op)
            else:
                ops.append(op)
        return Recording(self.folder, ops)


@dataclass(frozen=True, slots=True)
class Moment:
    """One state that the store had after a transaction."""

    commits: int
    content: int
    """A hash of all rows, good in this process and those forked from it."""
    tracked: int


def recorded(folder: Path) -> Recording:
    """Record the scripted run in `folder`, which is there and empty."""
    home = folder / "home"
    home.mkdir()
    ops = record(["-m", "tests.torture.scripted", str(home)], home, folder / "trace")
    return Recording(str(home), ops)


def _is_step(op: Op, word: bytes) -> bool:
    return isinstance(op, Write) and op.path.endswith("/steps") and op.data.startswith(word)


def _placed(image: Mapping[str, bytes], recording: Recording, folder: Path) -> None:
    """Write the state of an image into `folder`, anew."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for path, content in image.items():
        if path.startswith(recording.state + "/"):
            (folder / path.rpartition("/")[2]).write_bytes(content)


def _moment(path: Path, later: int = 0) -> Moment:
    """What the database holds; `later` transactions were made since by whoever looked."""
    with closing(sqlite3.connect(path)) as connection:
        content = 0
        for table, which in _TABLES.items():
            rows = connection.execute(f"SELECT * FROM {table} WHERE {which} ORDER BY 1, 2").fetchall()  # noqa: S608 - constants
            # Version 2 of the format has the same bytes for the same values.
            content = hash((content, marshal.dumps(rows, 2)))
        (commits,) = connection.execute("SELECT value FROM meta WHERE name = 'commits'").fetchone()
        counted = connection.execute(
            "SELECT coalesce(sum(value), 0) FROM series WHERE kind = ?", (Kind.TRACKED,)
        )
        (tracked,) = counted.fetchone()
    return Moment(int(commits) - later, content, int(tracked))


@dataclass(frozen=True, slots=True)
class History:
    """What the store held, as the run was recorded."""

    moments: Mapping[int, Moment]
    """By the number of transactions."""
    acknowledged: Sequence[Moment]
    """At the end of each step."""


def history(recording: Recording, folder: Path) -> History:
    """Follow the store through the recording; each of its states must be sound."""
    state = folder / "moment"
    _placed({}, recording, state)
    SqliteStore(state, now=OPENED_AT).close()
    latest = _moment(state / "state.sqlite3", later=1)
    moments, acknowledged = {0: latest}, []
    disk = Disk()
    for op in recording.ops:
        disk.add(op)
        if isinstance(op, Sync) and op.path.endswith("-wal"):
            _placed(disk.whole(), recording, state)
            assert disagreements(state / "state.sqlite3") == []
            if _has_tables(state / "state.sqlite3"):
                latest = _moment(state / "state.sqlite3")
                moments[latest.commits] = latest
        elif _is_step(op, b"done"):
            assert isinstance(op, Write)
            assert latest.tracked == int(op.data.split()[1]), "acknowledged, and never synced"
            acknowledged.append(latest)
    return History(moments, acknowledged)


def _has_tables(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as connection:
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone() is None:
            return False
        return connection.execute("SELECT 1 FROM meta").fetchone() is not None


def _places(ops: Sequence[Op]) -> frozenset[int]:
    """After which operations to cut: all, but of a long row of writes only some."""
    places, row = set(), 0
    for number, op in enumerate(ops):
        row = row + 1 if isinstance(op, Write) else 0
        if row <= _ROW_WRITES or row % _ROW_WRITES == 0:
            places.add(number)
    return frozenset(places)


class Cutter:
    """Cuts a recording after each of its operations, again and again."""

    def __init__(self, recording: Recording, past: History, folder: Path, seed: int) -> None:
        """`past` is that of the recording as it was made; work in `folder`."""
        self._recording = recording
        self._past = past
        self._state = folder / f"image-{seed}"
        self._rng = random.Random(seed)
        self._seen: set[int] = set()
        self.report = Report()

    def cut(self, images: int) -> None:
        """Make and open about that many images, spread over the record."""
        places = _places(self._recording.ops)
        share = images / len(places)
        disk, acknowledged, steps = Disk(), self._past.moments[0], iter(self._past.acknowledged)
        for number, op in enumerate(self._recording.ops):
            disk.add(op)
            if _is_step(op, b"done"):
                acknowledged = next(steps)
            for _ in range(int(share) + (self._rng.random() < share % 1) if number in places else 0):
                self.report.counts["images"] += 1
                image = disk.image(self._rng)
                if self._is_new(image, acknowledged):
                    where = f"{type(op).__name__} {op.path.rpartition('/')[2]}"
                    self.report.findings += [
                        f"after {where}: {wrong}" for wrong in self._open(image, acknowledged)
                    ]

    def _is_new(self, image: Mapping[str, bytes], acknowledged: Moment) -> bool:
        content = hash((acknowledged.commits, *sorted(image.items())))
        known = content in self._seen
        self._seen.add(content)
        self.report.counts["distinct"] += not known
        return not known

    def _open(self, image: Mapping[str, bytes], acknowledged: Moment) -> Iterator[str]:
        """What is wrong with one image."""
        _placed(image, self._recording, self._state)
        try:
            store = SqliteStore(self._state, now=OPENED_AT)
            warning = store.restore().warning
            store.close()
        except StoreError as error:
            yield f"{type(error).__name__}: {error.message}"
            return
        if warning:
            yield warning
        moment = _moment(self._state / "state.sqlite3", later=1)
        if moment.commits < acknowledged.commits:
            yield f"transaction {acknowledged.commits} was acknowledged, {moment.commits} are left"
        elif moment != self._past.moments.get(moment.commits):
            yield f"no state that there ever was, after {moment.commits} transactions"
        yield from self._dropped(image)

    def _dropped(self, image: Mapping[str, bytes]) -> Iterator[str]:
        """What is wrong with the dropped files."""
        with closing(sqlite3.connect(self._state / "state.sqlite3")) as connection:
            tracked = {row[0] for row in connection.execute("SELECT message_id FROM messages")}
            forgotten = connection.execute("SELECT count(*) FROM tombstones").fetchone()[0]
        for path, content in image.items():
            if "/done/" in path:
                ids = {line for line in content.decode().split() if "." not in line}
                if len(ids - tracked) > forgotten:
                    yield "ids of a file in done/ are not tracked"


def cut(recording: Recording, past: History, folder: Path, seed: int, images: int) -> Report:
    """Cut a recording; works in `folder`, beside others with another seed."""
    cutter = Cutter(recording, past, folder, seed)
    cutter.cut(images)
    return cutter.report


def shares(folder: Path, count: int, seed: int) -> list[Callable[[], Report]]:
    """A campaign of `count` images."""
    recording = recorded(folder)
    past = history(recording, folder)
    sizes = [min(IMAGES_PER_SHARE, count - done) for done in range(0, count, IMAGES_PER_SHARE)]
    return [
        partial(cut, recording, past, folder, seed * 1000 + number, images)
        for number, images in enumerate(sizes)
    ]
