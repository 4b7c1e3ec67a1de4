"""The directory of the database: making it, the commit marker, and setting a damaged database aside.

The commit marker is a small file beside the database with the number of its
transactions. A database that has seen fewer is a restored backup: its counters
would step back, which Prometheus reads as a reset and adds up again.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from exporter.domain.model import SECOND_US
from exporter.runtime.errors import Code, StoreBroken, StoreUnusable

DATABASE = "state.sqlite3"
COMMIT_MARKER = "state.commits"
_NETWORK_FILE_SYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs"})


def prepare_directory(directory: Path) -> Path:
    """Make the directory and the database file, for their owner only, if they are missing; returns the file.

    Raises `StoreBroken` or `StoreUnusable`.
    """
    path = directory / DATABASE
    try:
        made = [folder for folder in (directory, *directory.parents) if not folder.exists()]
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in made:
            # Until its name is durable, a power cut takes the folder away with all that is synced in it.
            sync_directory(folder.parent)
        _refuse_network_file_system(directory)
        if not path.exists():
            # Only a new file is opened here. Closing any descriptor of a database drops the locks that
            # this process has on it, unnoticed: a second process could open it too.
            path.touch(mode=0o600)
    except OSError as error:
        raise StoreBroken(
            f"{path} can't be opened: {error.strerror}",
            hint="check the owner and mode of the directory, or choose another --storage.path",
        ) from None
    return path


def sync_directory(directory: Path) -> None:
    """Make the names of the files durable too: SQLite tries, and ignores when that fails.

    Raises `StoreBroken`.
    """
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system without anything to sync in a folder
            raise StoreBroken(
                f"{directory} can't be synced: {error.strerror}", hint="check the disk"
            ) from None


def set_damaged_aside(directory: Path, now: int) -> None:
    """Rename a damaged database and its log, so that a new one can begin beside them."""
    for name in (DATABASE, f"{DATABASE}-wal"):
        damaged_file = directory / name
        if damaged_file.exists():
            damaged_file.rename(directory / f"{name}.corrupt-{now // SECOND_US}")


def read_commit_marker(directory: Path) -> int:
    """How many transactions the database had seen when the marker was written; 0 when unknown."""
    try:
        text = (directory / COMMIT_MARKER).read_text("ascii").strip()
    except (OSError, UnicodeError):
        return 0
    # A longer number is no count of ours, and too big for a column.
    return int(text) if text.isdecimal() and len(text) < len(str(2**63)) else 0


def write_commit_marker(directory: Path, commits: int) -> None:
    """Record how many transactions are durable; a lost marker costs nothing, so it is not synced."""
    draft = directory / f"{COMMIT_MARKER}.tmp"
    try:
        draft.touch(mode=0o600)
        draft.write_text(f"{commits}\n", "ascii")
        draft.replace(directory / COMMIT_MARKER)
    except OSError:
        _remove_draft(draft)


def _remove_draft(draft: Path) -> None:
    try:
        draft.unlink(missing_ok=True)
    except OSError:
        # A disk that can't even delete it fails where it matters: at the next commit.
        return


def _refuse_network_file_system(directory: Path) -> None:
    """Locks and syncs of network file systems don't do what SQLite needs."""
    try:
        mounts = Path("/proc/self/mounts").read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return
    resolved = directory.resolve()
    best = ("", "")
    for fields in (line.split() for line in mounts):
        mount_point = fields[1].replace("\\040", " ")
        if resolved.is_relative_to(mount_point) and len(mount_point) >= len(best[0]):
            best = (mount_point, fields[2])
    if best[1] in _NETWORK_FILE_SYSTEMS:
        raise StoreUnusable(
            f"{directory} is on a network file system ({best[1]})",
            hint="SQLite can lose data there: choose a --storage.path on a local disk",
            code=Code.STORE_NETWORK,
        )
