"""A drop directory as a file system: what lies in it, opening one file safely, putting it aside.

Whoever may write into the directory may swap names at any instant, so nothing
here goes by name alone: directories are held open and files are named relative
to them, links are never followed, and a file counts as the one that was seen
only while its `Identity` says so. Blocking calls: for a thread.
"""

from __future__ import annotations

import errno
import heapq
import os
import stat
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from exporter.domain.label_values import reject_label_value
from exporter.ingest.formats.formats import SUFFIXES

OBSERVED_FILES = 10_000
"""Of the files that wait, how many are watched at a time: the oldest."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Without O_NONBLOCK, opening a FIFO that was put in a file's place waits for its writer for ever.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_ASIDE = frozenset({"done", "failed"})
_UNFINISHED = (".tmp", ".part")
_SAME_ACCESS = (errno.EACCES, errno.EPERM)
# Nothing is wrong with the file: the next pass tries again, and tells if not even the directory opens.
_SHORT_OF = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class Identity(NamedTuple):
    """What tells one state of one file from every other."""

    device: int
    inode: int
    size_bytes: int
    modified_ns: int
    changed_ns: int
    """Of the inode: owner, mode, name. Lets a file be looked at again after `chmod`."""

    @classmethod
    def of(cls, found: os.stat_result) -> Identity:
        """The identity that `stat` shows; of what is no regular file, only which one it is."""
        if not stat.S_ISREG(found.st_mode):
            return cls(found.st_dev, found.st_ino, 0, 0, 0)
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def same_content(self, other: Identity) -> bool:
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


@dataclass(slots=True)
class Listing:
    """What one look into the directory showed."""

    files: list[DropFile] = field(default_factory=list)
    """Of those not remembered the OBSERVED_FILES oldest, oldest first."""
    notices: list[tuple[str, DropFile]] = field(default_factory=list)
    """What is passed over, with its result: `not_regular`, `ignored`, `unreadable`."""
    remembered: set[Identity] = field(default_factory=set)
    """Of the identities passed in, those still there."""
    exposed: bool = False
    """Anyone may remove or replace files here: world-writable without the sticky bit."""


@contextmanager
def opened(path: str, flags: int, within: int | None = None) -> Iterator[int]:
    """A descriptor, closed at the end; a file that it makes is ours alone. Raises OSError."""
    descriptor = os.open(path, flags, 0o600, dir_fd=within)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def opened_folder(root: str, folder: str) -> Iterator[int]:
    """The directory that a file was found in; `root` may be a link (it is configured), a folder may not."""
    with opened(root, _DIRECTORY) as base:
        if not folder:
            yield base
            return
        with opened(folder, _DIRECTORY | os.O_NOFOLLOW, base) as within:
            yield within


def scan_directory(root: str, remembered: Container[Identity]) -> Listing:
    """List what is in `root` and its subdirectories; raises OSError when it can't be read."""
    listing = Listing()
    with opened(root, _DIRECTORY) as base:
        mode = os.fstat(base).st_mode
        listing.exposed = bool(mode & stat.S_IWOTH) and not mode & stat.S_ISVTX
        listing.files = heapq.nsmallest(
            OBSERVED_FILES,
            _files(base, "", listing, remembered),
            key=lambda found: (found.identity.modified_ns, found.folder, found.name),
        )
    return listing


def _files(
    descriptor: int, folder: str, listing: Listing, remembered: Container[Identity]
) -> Iterator[DropFile]:
    """The files that can be taken; the rest goes into `listing`."""
    with os.scandir(descriptor) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith(".") or name.endswith(_UNFINISHED) or name in _ASIDE:
                continue
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue  # gone since it was listed
            found = DropFile(folder, name, Identity.of(status))
            if stat.S_ISDIR(status.st_mode) and not folder and not reject_label_value(name):
                yield from _subdirectory(descriptor, found, listing, remembered)
            elif found.identity in remembered:
                listing.remembered.add(found.identity)
            elif result := _passed_over(status, found):
                if len(listing.notices) < OBSERVED_FILES:
                    listing.notices.append((result, found))
            else:
                yield found


def _subdirectory(
    base: int, found: DropFile, listing: Listing, remembered: Container[Identity]
) -> Iterator[DropFile]:
    """The files of one campaign."""
    try:
        with opened(found.name, _DIRECTORY | os.O_NOFOLLOW, base) as descriptor:
            yield from _files(descriptor, found.name, listing, remembered)
    except OSError as error:
        if error.errno not in _SAME_ACCESS:
            return  # gone, or replaced: the next look tells
        if found.identity in remembered:
            listing.remembered.add(found.identity)
        else:
            listing.notices.append(("unreadable", found))


def _passed_over(status: os.stat_result, found: DropFile) -> str:
    """Why this is no file to take, or ""."""
    if stat.S_ISDIR(status.st_mode):
        return "ignored"
    # A second name elsewhere could be the way to a file that its writer may not read.
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        return "not_regular"
    return "" if found.suffix in SUFFIXES else "ignored"


def open_found(root: str, found: DropFile) -> int | str | None:
    """A descriptor of what was found, if still a regular file; None if not; a result if it can't be had.

    None too where only the process has no room for one more. Whether it is the same file, unchanged, is for
    the reader to see, who looks again and again.
    """
    try:
        with opened_folder(root, found.folder) as within:
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
