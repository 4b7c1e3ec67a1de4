"""Random changes in a drop directory: whatever happens, what must hold of ids and files holds.

Producers write, append, pause inside a line, rename, replace, truncate, rewrite
and delete; files change while they are read; the process dies at transactions
and starts again; room and time come and go. After each pass:

- no id is tracked that no producer ever wrote as a whole line, or left unterminated for thirty seconds;
- every line of every file in `done/` is tracked, and the same file is never there twice for one drop;

and after the last change, every line that is left anywhere is tracked and no file
is left over.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable
from pathlib import Path

from exporter.domain.model import SECOND_US
from exporter.ingest.drop.worker import UNTERMINATED_US
from tests.ingest.drop.rig import NOW, Crash, Rig

UNBOUNDED = 10**9


class Model:
    """One run; `step` does one random thing, `finish` lets it come to rest."""

    def __init__(self, path: Path, seed: int) -> None:
        """Start with an empty directory at `path`."""
        self._rig = Rig.make(path)
        self._chance = random.Random(seed)
        self._written: set[str] = set()
        self._count = 0
        self._stamp_ns = 0
        self._unterminated: dict[int, str] = {}
        """What is missing of a file's last line, by inode."""
        self._halves: dict[str, int] = {}
        """Lines that were left unterminated, and when."""
        self._rig.tracker.before_commit = self._meddle
        self._rig.tracker.after_commit = self._meddle
        self._meddle_share = 0.1

    async def step(self) -> None:
        """Do one thing."""
        chance = self._chance
        if chance.random() < 0.5:
            await self._pass()
        elif chance.random() < 0.1:
            self._rig.restart()
        elif chance.random() < 0.1:
            self._rig.tracker.limit = chance.choice([UNBOUNDED, len(self._rig.tracker.messages)])
        else:
            self._act()

    async def finish(self) -> None:
        """Change nothing more: nothing may be left, and nothing lost."""
        self._meddle_share = 0
        self._rig.tracker.limit = UNBOUNDED
        for path in self._files():
            with path.open("a") as file:
                file.write(self._end_of(path))
            self._touch(path)
        for entry in self._rig.path.iterdir():
            if entry.is_symlink() or entry.name.endswith(".tmp"):
                entry.unlink()
        left = {text for path in self._files() for text in path.read_text().split()}
        await self._rig.settle(passes=18)
        self._check()
        assert left <= self._rig.list_ids(), "a line was lost"
        assert self._rig.list_names() == set(), "a file was left"

    async def _pass(self) -> None:
        try:
            await self._rig.scan_after(self._chance.choice([0.5, 1, 2, 2, 2, 5, 31]))
        except Crash:
            self._rig.restart()
        self._check()

    def _check(self) -> None:
        for text in self._rig.list_ids() - self._written:
            age_us = self._rig.clock.monotonic() - self._halves[text]
            assert age_us >= UNTERMINATED_US, "half an id"
        done = self._rig.path / "done"
        for path in done.iterdir() if done.is_dir() else ():
            assert set(path.read_text().split()) <= self._rig.list_ids(), "moved before it was tracked"
        accepted = self._rig.counts.line_results["accepted"]
        assert accepted <= len(self._rig.list_ids()), "counted twice"

    def _meddle(self) -> None:
        """Change files while one is read; sometimes the process dies."""
        if self._chance.random() < self._meddle_share:
            self._act()
        if self._chance.random() < self._meddle_share / 4:
            raise Crash

    def _act(self) -> None:
        files = self._files()
        actions: list[Callable[[Path], None]] = [self._append, self._pause, self._rename, self._replace]
        actions += [self._truncate, self._rewrite, self._delete, self._link]
        if not files or self._chance.random() < 0.4:
            self._write()
        else:
            self._chance.choice(actions)(self._chance.choice(files))

    def _files(self) -> list[Path]:
        return [
            self._rig.path / name
            for name in sorted(self._rig.list_names())
            if name.endswith(".txt") and not (self._rig.path / name).is_symlink()
        ]

    def _new_name(self) -> Path:
        return self._rig.path / f"{self._chance.randrange(6)}.txt"

    def _id(self) -> str:
        """An id whose first six characters no other id has."""
        self._count += 1
        text = f"{self._count:06}abc"
        self._written.add(text)
        return text

    def _lines(self) -> str:
        return "".join(f"{self._id()}\n" for _ in range(self._chance.randint(0, 4)))

    def _touch(self, path: Path) -> None:
        """Give a write the time that it has in the model: otherwise thousands would share one."""
        self._stamp_ns += 1
        at_ns = (NOW + self._rig.clock.monotonic()) * (10**9 // SECOND_US) + self._stamp_ns
        os.utime(path, ns=(at_ns, at_ns))

    def _end_of(self, path: Path) -> str:
        """What is missing of the last line."""
        rest = self._unterminated.pop(path.stat().st_ino, "")
        content = path.read_text()
        return rest if content and not content.endswith("\n") else ""

    def _write(self) -> None:
        unfinished = self._rig.path / "w.tmp"
        unfinished.write_text(self._lines())
        self._touch(unfinished)
        target = self._new_name()
        with contextlib.suppress(OSError):
            self._unterminated.pop(target.lstat().st_ino, None)
        unfinished.rename(target)

    def _append(self, path: Path) -> None:
        rest = self._end_of(path)
        with path.open("a") as file:
            file.write(rest + self._lines())
        self._touch(path)

    def _pause(self, path: Path) -> None:
        """Append a line and stop inside it; it is terminated before the thirty seconds are over, or never."""
        line = self._id() + "\n"
        cut = self._chance.randint(6, len(line) - 2)
        rest = self._end_of(path)
        with path.open("a") as file:
            file.write(rest + line[:cut])
        self._unterminated[path.stat().st_ino] = line[cut:]
        self._halves[line[:cut]] = self._rig.clock.monotonic()
        self._touch(path)

    def _rename(self, path: Path) -> None:
        path.rename(self._new_name())

    def _replace(self, path: Path) -> None:
        other = self._rig.path / "r.tmp"
        other.write_text(self._lines())
        self._touch(other)
        other.rename(path)

    def _truncate(self, path: Path) -> None:
        """Cut off lines, and the end of the last one that stays: what was half a line is then all of it."""
        lines = path.read_text().split()
        left = lines[: self._chance.randint(0, len(lines))]
        os.truncate(path, len("\n".join(left)))
        self._written.update(left[-1:])
        self._unterminated[path.stat().st_ino] = "\n"
        self._touch(path)

    def _rewrite(self, path: Path) -> None:
        self._unterminated.pop(path.stat().st_ino, None)
        path.write_text(self._lines())
        self._touch(path)

    def _delete(self, path: Path) -> None:
        path.unlink()

    def _link(self, path: Path) -> None:
        link = self._new_name()
        if not link.exists() and not link.is_symlink():
            link.symlink_to(path)
