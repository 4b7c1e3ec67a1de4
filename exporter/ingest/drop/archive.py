"""Putting a file aside that was taken in: into `done/` or `failed/` beside it, or away altogether.

By now its ids are on disk. A rename moves whatever bears the name, so what was
moved is looked at afterwards and put back when it is not the file that was
read. Nothing that lies in `done/` or `failed/` is ever overwritten. Blocking
calls: for a thread.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from typing import NamedTuple

from exporter.ingest.drop.directory import DropFile, Identity, opened, opened_folder

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
_NAME_BYTES = 200
"""Longer names are cut, so that there is room for what is added to them (file systems stop at 255)."""


class Plan(NamedTuple):
    """What is to become of a file."""

    place: str
    """`done` or `failed`."""
    delete: bool
    report: bytes
    """What goes into `failed/NAME.reason`; empty for none."""


class Placed(Enum):
    """What came of it."""

    MOVED = 1
    CLIENT_DISCONNECTED = 2
    """Its name is gone, or is another file's by now."""
    CHANGED = 3
    """It was written to after it was read: it is back in its place, to be read again."""


def put_aside(root: str, found: DropFile, plan: Plan) -> Placed:
    """Carry out `plan`; raises OSError when the directory doesn't let us: then the file is in its place."""
    with opened_folder(root, found.folder) as within:
        placed = _placed(within, found.name, found.identity)
        if placed is not Placed.MOVED:
            return placed
        with _ours(within, plan.place) as place, _ours(within, "failed") as failed:
            name = _free_name(found.name, found.tag, place, failed)
            if plan.report:
                _write_report(failed, name, plan.report)
            try:
                os.rename(found.name, name, src_dir_fd=within, dst_dir_fd=place)
            except FileNotFoundError:
                placed = Placed.CLIENT_DISCONNECTED
            except OSError:
                # It is tried again each pass: every one of them would leave a report behind.
                if plan.report:
                    os.unlink(name + ".reason", dir_fd=failed)
                raise
            else:
                placed = _placed(place, name, found.identity)
                if placed is not Placed.MOVED:
                    _put_back(place, name, within, found.name, found.tag)
                elif plan.delete:
                    os.unlink(name, dir_fd=place)
            if plan.report and placed is not Placed.MOVED:
                os.unlink(name + ".reason", dir_fd=failed)
            _sync(place)
            _sync(within)
        return placed


def _placed(within: int, name: str, identity: Identity) -> Placed:
    """Whether `name` is the file, as it was read."""
    try:
        now = Identity.of(os.stat(name, dir_fd=within, follow_symlinks=False))
    except FileNotFoundError:
        return Placed.CLIENT_DISCONNECTED
    if now.same_content(identity):
        return Placed.MOVED
    return Placed.CHANGED if now[:2] == identity[:2] else Placed.CLIENT_DISCONNECTED


@contextmanager
def _ours(within: int, name: str) -> Iterator[int]:
    """A directory that we made; what others made could lead, or be read, elsewhere."""
    with suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=within)
    with opened(name, _DIRECTORY, within) as descriptor:
        if os.fstat(descriptor).st_uid != os.geteuid():
            raise PermissionError
        yield descriptor


def _free_name(name: str, tag: str, *places: int) -> str:
    """A name that is free in all `places`, as is that of its report."""
    stem = os.fsdecode(os.fsencode(name)[:_NAME_BYTES])
    free, count = stem, 0
    while any(_exists(place, free) or _exists(place, free + ".reason") for place in places):
        free = f"{stem}.{tag}.{count}" if count else f"{stem}.{tag}"
        count += 1
    return free


def _exists(within: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=within, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _put_back(place: int, name: str, within: int, original: str, tag: str) -> None:
    """Return what was moved by mistake, under another name when its own is taken again."""
    stem, suffix = os.path.splitext(original)  # noqa: PTH122 - a name, not a path
    back, count = original, 0
    while True:
        try:
            # A link, unlike a rename, never replaces what came there in the meantime.
            os.link(name, back, src_dir_fd=place, dst_dir_fd=within, follow_symlinks=False)
        except FileExistsError:
            back = f"{stem}.{tag}.{count}{suffix}"
            count += 1
        except OSError:  # a directory, or a file system without links
            os.rename(name, back, src_dir_fd=place, dst_dir_fd=within)
            return
        else:
            os.unlink(name, dir_fd=place)
            return


def _write_report(failed: int, name: str, report: bytes) -> None:
    """Write `NAME.reason` whole or not at all."""
    unfinished = f".{name}.reason"
    with opened(unfinished, _NEW_FILE, failed) as descriptor:
        view = memoryview(report)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    os.rename(unfinished, name + ".reason", src_dir_fd=failed, dst_dir_fd=failed)
    _sync(failed)


def _sync(directory: int) -> None:
    """Make renames last; where a directory can't be synced, a lost one only has the file read again."""
    with suppress(OSError):
        os.fsync(directory)
