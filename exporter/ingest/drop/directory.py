"""A drop directory as a file system: listing it, opening one file safely, archiving a file that was read.

Anyone who may write into the directory may swap names at any moment, so nothing
here goes by name alone: directories are held open and files are named relative
to them, links are never followed, and a file counts as the one that was seen
only while its `Identity` says so. Blocking calls: for a thread.

An archived file goes into `done/` or `failed/` beside it, or is deleted; by then
its ids are on disk. A rename moves whatever has the name, so what was moved is
checked afterwards and put back when it is not the file that was read. Nothing
in `done/` or `failed/` is ever overwritten.
"""

from __future__ import annotations

import errno
import heapq
import os
import stat
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from exporter.domain.label_values import reject_label_value
from exporter.ingest.formats.formats import SUFFIXES

OBSERVED_FILES = 10_000
"""How many of the waiting files are watched at a time: the oldest."""

_ROOT = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FOLDER = _ROOT | os.O_NOFOLLOW
# Without O_NONBLOCK, opening a FIFO that was put in a file's place waits for its writer for ever.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
_ARCHIVES = frozenset({"done", "failed"})
_UNFINISHED = (".tmp", ".part")
_NO_ACCESS = (errno.EACCES, errno.EPERM)
# Nothing is wrong with the file: the next pass tries again, and says if not even the directory opens.
_SHORT_OF = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_NAME_BYTES = 200
"""Longer names are cut, so that there is room for what is added to them (file systems stop at 255)."""


class Identity(NamedTuple):
    """What distinguishes one state of one file from every other."""

    device: int
    inode: int
    size_bytes: int
    modified_ns: int
    changed_ns: int
    """Of the inode: owner, mode, name. Lets a file be checked again after `chmod`."""

    @classmethod
    def of(cls, status: os.stat_result) -> Identity:
        """The identity that `stat` shows; of what is no regular file, only which one it is."""
        if not stat.S_ISREG(status.st_mode):
            return cls(status.st_dev, status.st_ino, 0, 0, 0)
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    def has_same_content(self, other: Identity) -> bool:
        """Whether nothing was written since; a change of name, mode or links is none."""
        return self[:4] == other[:4]


class DropFile(NamedTuple):
    """One file, where it was seen."""

    folder: str
    """The subdirectory, which names the campaign; "" for the directory itself."""
    name: str
    identity: Identity

    @property
    def suffix(self) -> str:
        """The end of the name, in lower case."""
        return os.path.splitext(self.name)[1].lower()  # noqa: PTH122 - a name as it came, not always a path

    @property
    def tag(self) -> str:
        """What is added to the name where that is taken."""
        return f"{(self.identity.inode ^ self.identity.modified_ns) & 0xFFFFFFFF:08x}"


@contextmanager
def open_descriptor(path: str, flags: int, within: int | None = None) -> Iterator[int]:
    """A descriptor, closed at the end; a file that it makes is for its owner only. Raises OSError."""
    descriptor = os.open(path, flags, 0o600, dir_fd=within)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def open_folder(root: str, folder: str) -> Iterator[int]:
    """The directory that a file was found in; `root` may be a link (it is configured), a folder may not."""
    with open_descriptor(root, _ROOT) as base:
        if not folder:
            yield base
            return
        with open_descriptor(folder, _FOLDER, base) as within:
            yield within


# --- listing ------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Listing:
    """What one scan of the directory showed."""

    files: list[DropFile] = field(default_factory=list)
    """The OBSERVED_FILES oldest of those not remembered, oldest first."""
    skipped: list[tuple[str, DropFile]] = field(default_factory=list)
    """What can't be read, with its result: `not_regular`, `ignored`, `unreadable`."""
    remembered: set[Identity] = field(default_factory=set)
    """Of the identities passed in, those still there."""
    exposed: bool = False
    """Anyone may remove or replace files here: world-writable without the sticky bit."""


def scan_directory(root: str, remembered: Container[Identity]) -> Listing:
    """List what is in `root` and its subdirectories; raises OSError when it can't be read."""
    listing = Listing()
    with open_descriptor(root, _ROOT) as base:
        mode = os.fstat(base).st_mode
        listing.exposed = bool(mode & stat.S_IWOTH) and not mode & stat.S_ISVTX
        listing.files = heapq.nsmallest(
            OBSERVED_FILES,
            _list_files(base, "", listing, remembered),
            key=lambda found: (found.identity.modified_ns, found.folder, found.name),
        )
    return listing


def _list_files(
    descriptor: int, folder: str, listing: Listing, remembered: Container[Identity]
) -> Iterator[DropFile]:
    """The files that can be read; the rest goes into `listing`."""
    with os.scandir(descriptor) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith(".") or name.endswith(_UNFINISHED) or name in _ARCHIVES:
                continue
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue  # gone since it was listed
            found = DropFile(folder, name, Identity.of(status))
            if stat.S_ISDIR(status.st_mode) and not folder and not reject_label_value(name):
                yield from _list_subdirectory(descriptor, found, listing, remembered)
            elif found.identity in remembered:
                listing.remembered.add(found.identity)
            elif result := _find_obstacle(status, found):
                if len(listing.skipped) < OBSERVED_FILES:
                    listing.skipped.append((result, found))
            else:
                yield found


def _list_subdirectory(
    base: int, found: DropFile, listing: Listing, remembered: Container[Identity]
) -> Iterator[DropFile]:
    """The files of one campaign."""
    try:
        with open_descriptor(found.name, _FOLDER, base) as descriptor:
            yield from _list_files(descriptor, found.name, listing, remembered)
    except OSError as error:
        if error.errno not in _NO_ACCESS:
            return  # gone, or replaced: the next scan shows which
        if found.identity in remembered:
            listing.remembered.add(found.identity)
        else:
            listing.skipped.append(("unreadable", found))


def _find_obstacle(status: os.stat_result, found: DropFile) -> str:
    """Why this is no file to read, or ""."""
    if stat.S_ISDIR(status.st_mode):
        return "ignored"
    # A second name elsewhere could be the way to a file that its writer may not read.
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        return "not_regular"
    return "" if found.suffix in SUFFIXES else "ignored"


def open_file(root: str, found: DropFile) -> int | str | None:
    """A descriptor of the file, if it is still a regular one; None if not; a result if it can't be opened.

    None too where only the process has no room for one more descriptor. Whether it is the same file,
    unchanged, is for the reader to check again and again.
    """
    try:
        with open_folder(root, found.folder) as within:
            descriptor = os.open(found.name, _FILE, dir_fd=within)
    except OSError as error:
        if error.errno == errno.ENOENT or error.errno in _SHORT_OF:
            return None
        return "not_regular" if error.errno == errno.ELOOP else "unreadable"
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
        return descriptor
    os.close(descriptor)
    return None


# --- archiving ----------------------------------------------------------------------------------------


class ArchivePlan(NamedTuple):
    """Where a file is to go."""

    place: str
    """`done` or `failed`."""
    delete: bool
    report: bytes
    """What goes into `failed/NAME.reason`; empty for none."""


class Archived(Enum):
    """What happened to the file."""

    MOVED = 1
    GONE = 2
    """Its name is gone, or is another file's by now."""
    CHANGED = 3
    """It was written to after it was read: it is back in its place, to be read again."""


def archive_file(root: str, found: DropFile, plan: ArchivePlan) -> Archived:
    """Carry out `plan`; raises OSError when the directory doesn't allow it: then the file is in its place."""
    with open_folder(root, found.folder) as within:
        outcome = _check_file(within, found.name, found.identity)
        if outcome is not Archived.MOVED:
            return outcome
        with _open_own_folder(within, plan.place) as place, _open_own_folder(within, "failed") as failed:
            name = _find_free_name(found.name, found.tag, place, failed)
            if plan.report:
                _write_report(failed, name, plan.report)
            try:
                os.rename(found.name, name, src_dir_fd=within, dst_dir_fd=place)
            except FileNotFoundError:
                outcome = Archived.GONE
            except OSError:
                # It is tried again each pass: every one of them would leave a report behind.
                if plan.report:
                    os.unlink(name + ".reason", dir_fd=failed)
                raise
            else:
                outcome = _check_file(place, name, found.identity)
                if outcome is not Archived.MOVED:
                    _put_back(place, name, within, found.name, found.tag)
                elif plan.delete:
                    os.unlink(name, dir_fd=place)
            if plan.report and outcome is not Archived.MOVED:
                os.unlink(name + ".reason", dir_fd=failed)
            _sync_folder(place)
            _sync_folder(within)
        return outcome


def _check_file(within: int, name: str, identity: Identity) -> Archived:
    """MOVED when `name` is the file, as it was read."""
    try:
        now = Identity.of(os.stat(name, dir_fd=within, follow_symlinks=False))
    except FileNotFoundError:
        return Archived.GONE
    if now.has_same_content(identity):
        return Archived.MOVED
    return Archived.CHANGED if now[:2] == identity[:2] else Archived.GONE


@contextmanager
def _open_own_folder(within: int, name: str) -> Iterator[int]:
    """A directory that this process made; what others made could lead, or be read, elsewhere."""
    with suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=within)
    with open_descriptor(name, _FOLDER, within) as descriptor:
        if os.fstat(descriptor).st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, f"{name}/ belongs to another user")
        yield descriptor


def _find_free_name(name: str, tag: str, *places: int) -> str:
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
    with open_descriptor(unfinished, _NEW_FILE, failed) as descriptor:
        view = memoryview(report)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    os.rename(unfinished, name + ".reason", src_dir_fd=failed, dst_dir_fd=failed)
    _sync_folder(failed)


def _sync_folder(folder: int) -> None:
    """Make renames last; where a directory can't be synced, a lost one only has the file read again."""
    with suppress(OSError):
        os.fsync(folder)
