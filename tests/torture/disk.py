"""A disk whose power can be cut: what is durable, what is under way, and what a cut may leave of that.

The model is harsher than most file systems, within what POSIX allows. What was
written to a file since its last sync is there after a cut, or not, in any
choice, and torn between sectors of 512 bytes; where only what follows has
arrived, there are zeros. Names (create, rename, unlink) of one folder arrive in
order, up to any of them, unless the folder was synced; a rename between two
folders is one step, which ties them together.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import PurePosixPath

from tests.torture.trace import Create, MakeFolder, Op, Open, Rename, Sync, Truncate, Unlink, Write

SECTOR_BYTES = 512


@dataclass(slots=True)
class _File:
    """One inode: what is durable, and what came after it."""

    durable: bytes = b""
    under_way: list[Write | Truncate] = field(default_factory=list)

    def content(self, chosen: Sequence[Write | Truncate]) -> bytes:
        """What it holds when `chosen` has arrived too."""
        content = bytearray(self.durable)
        for change in chosen:
            if isinstance(change, Truncate):
                grown = change.size_bytes - len(content)
                content = content + bytes(grown) if grown > 0 else content[: change.size_bytes]
                continue
            offset = change.offset or 0
            if offset > len(content):
                content += bytes(offset - len(content))
            content[offset : offset + len(change.data)] = change.data
        return bytes(content)


@dataclass(frozen=True, slots=True)
class _Naming:
    """A change of names: None is no file, or no name."""

    file: int
    old: str | None
    new: str | None

    @property
    def folders(self) -> set[str]:
        """The folders that it changes."""
        return {str(PurePosixPath(path).parent) for path in (self.old, self.new) if path is not None}


class Disk:
    """What the operations so far have left; `image` is what a cut right now could leave of it."""

    def __init__(self) -> None:
        """Empty."""
        self._files: list[_File | None] = []
        """By number; None is a folder."""
        self._names: dict[str, int] = {}
        """As the process sees them."""
        self._durable_names: dict[str, int] = {}
        self._namings: list[_Naming] = []
        self._positions: dict[str, int] = {}

    def add(self, op: Op) -> None:
        """Let one operation happen."""
        match op:
            case Open(path, descriptor, cut):
                self._positions[descriptor] = 0
                if cut:
                    self._file(path).under_way.append(Truncate(path, 0))
            case Write():
                self._write(op)
            case Truncate(path):
                self._file(path).under_way.append(op)
            case Sync(path):
                self._sync(path)
            case _:
                self._name(op)

    def _name(self, op: Create | MakeFolder | Rename | Unlink) -> None:
        match op:
            case Create(path):
                if path not in self._names:
                    self._make(path, _File())
            case MakeFolder(path):
                self._make(path, None)
            case Rename(path, to):
                self._names[to] = self._names.pop(path)
                self._namings.append(_Naming(self._names[to], path, to))
            case Unlink(path):
                self._namings.append(_Naming(self._names.pop(path), path, None))

    def _make(self, path: str, file: _File | None) -> None:
        self._files.append(file)
        self._names[path] = len(self._files) - 1
        self._namings.append(_Naming(self._names[path], None, path))

    def _file(self, path: str) -> _File:
        file = self._files[self._names[path]]
        assert file is not None
        return file

    def _write(self, op: Write) -> None:
        if op.offset is None:
            at = self._positions[op.descriptor]
            self._positions[op.descriptor] = at + len(op.data)
            op = Write(op.path, at, op.data, op.descriptor)
        self._file(op.path).under_way.append(op)

    def _sync(self, path: str) -> None:
        number = self._names.get(path)
        file = self._files[number] if number is not None else None
        if file is not None:
            file.durable = file.content(file.under_way)
            file.under_way.clear()
            return
        folders, synced = {path}, []
        for naming in reversed(self._namings):
            if naming.folders & folders:
                folders |= naming.folders
                synced.append(naming)
        for naming in reversed(synced):
            _apply(self._durable_names, naming)
        self._namings = [naming for naming in self._namings if naming not in synced]

    # --- cuts ---------------------------------------------------------------------------------------

    def whole(self) -> dict[str, bytes]:
        """All files, with everything arrived."""
        return {
            path: file.content(file.under_way)
            for path, number in self._names.items()
            if (file := self._files[number]) is not None
        }

    def image(self, rng: random.Random) -> dict[str, bytes]:
        """The files that a cut might leave: path to content; a file in a folder that is lost is lost."""
        names = dict(self._durable_names)
        stopped: set[str] = set()
        arriving = rng.choice((0.0, 0.5, 0.9, 1.0))
        for naming in self._namings:
            if naming.folders & stopped or rng.random() >= arriving:
                stopped |= naming.folders
            else:
                _apply(names, naming)
        image = {}
        for path, number in names.items():
            file = self._files[number]
            if file is not None and _reachable(path, names, self._names):
                image[path] = file.content(_arrived(file, rng))
        return image


def _apply(names: dict[str, int], naming: _Naming) -> None:
    if naming.old is not None:
        names.pop(naming.old, None)
    if naming.new is not None:
        names[naming.new] = naming.file


def _reachable(path: str, names: dict[str, int], all_names: dict[str, int]) -> bool:
    """Whether all folders above are there, of those that were made while it was recorded."""
    return all(str(above) in names or str(above) not in all_names for above in PurePosixPath(path).parents)


def _arrived(file: _File, rng: random.Random) -> list[Write | Truncate]:
    """Of the changes under way, some."""
    changes = file.under_way
    if not changes:
        return []
    match rng.randrange(5):
        case 0:
            return []
        case 1:
            return list(changes)
        case 2:
            return list(changes[: rng.randrange(len(changes) + 1)])
        case 3:
            return [change for change in changes if rng.random() < 0.5]
    arrived: list[Write | Truncate] = []
    for change in changes[: rng.randrange(len(changes)) + 1]:
        if isinstance(change, Write) and (change is changes[-1] or rng.random() < 0.3):
            arrived += _torn(change, rng)
        else:
            arrived.append(change)
    return arrived


def _torn(write: Write, rng: random.Random) -> list[Write | Truncate]:
    """Some of a write's sectors: the first, the last, or any; the file may have grown all the same."""
    offset = write.offset or 0
    end = offset + len(write.data)
    cuts = [offset, *range(offset - offset % SECTOR_BYTES + SECTOR_BYTES, end, SECTOR_BYTES), end]
    sectors = list(pairwise(cuts))
    middle = rng.randrange(len(sectors) + 1)
    kept = rng.choice((sectors[:middle], sectors[middle:], [one for one in sectors if rng.random() < 0.5]))
    torn: list[Write | Truncate] = [
        Write(write.path, at, write.data[at - offset : to - offset], "") for at, to in kept
    ]
    return torn
