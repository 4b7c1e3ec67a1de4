"""One SQLite file: opened alone, checked, and its errors told apart.

SQLite would copy its log into the database by itself after a commit, and keep
it to itself when that fails; a failed sync repeated later reports success for
pages that the kernel has dropped. So that copying is done here, where a failure
is seen: once the disk has failed, this process touches the file no more.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exporter.runtime.errors import Code, StoreBroken, StoreBusy, StoreError, StoreFull, StoreUnusable
from exporter.store import schema

CACHE_KIB = 16_384
BUSY_TIMEOUT_SECONDS = 0.5
CHECKPOINT_ROWS = 2_000
"""After this many changed rows the log is copied into the database: 5 to 30 MB of log."""
_PREPARATION = (
    # EXCLUSIVE before WAL: then no shared-memory file is made, and a second process is refused.
    "PRAGMA locking_mode = EXCLUSIVE",
    "PRAGMA journal_mode = WAL",
    # NORMAL would lose acknowledged commits on a power cut.
    "PRAGMA synchronous = FULL",
    "PRAGMA wal_autocheckpoint = 0",
    "PRAGMA secure_delete = ON",
    "PRAGMA temp_store = MEMORY",
    f"PRAGMA cache_size = -{CACHE_KIB}",
    "PRAGMA journal_size_limit = 67108864",
    # Takes the lock, and keeps it.
    "BEGIN IMMEDIATE",
    "COMMIT",
)


class StoreDamaged(StoreUnusable):
    """The database holds what we never wrote."""


def damaged(path: Path) -> StoreDamaged:
    """The error for a database that holds what we never wrote."""
    return StoreDamaged(
        f"{path} is damaged",
        hint="put a backup back, or save what can be read with: "
        f'sqlite3 "{path}" ".recover" | sqlite3 new.sqlite3; '
        "storage.on_corrupt: fresh sets it aside and starts with empty counters",
    )


def translated(error: sqlite3.Error, path: Path) -> StoreError:
    """What a failure of SQLite means for us; `path` is the database's."""
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreBusy(
                f"{path} is in use by another process",
                hint="stop the other exporter first, or give this one a --storage.path of its own",
            )
        case sqlite3.SQLITE_FULL:
            return StoreFull(f"no room to write {path}", hint="free some space; nothing was lost")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_FORMAT:
            return damaged(path)
        case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return StoreBroken(
                f"{path} can't be read or written ({name})",
                hint="check the disk, its free space, and the owner and mode of the directory",
            )
        case 0 if isinstance(error, sqlite3.OperationalError):
            # Python's own complaint about a text that is no UTF-8.
            return damaged(path)
    return StoreError(f"{path}: {name}", hint="try again; if it stays, report it with this line")


class Database:
    """An open file and its transactions; used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Open `path` for this process alone, checked and up to date.

        Raises `StoreBusy`, `StoreUnusable`, `StoreFull` or `StoreBroken`.
        """
        self.path = path
        self._broken: StoreBroken | None = None
        self._checkpointed_rows = 0
        try:
            self._connection = sqlite3.connect(
                path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise translated(error, path) from None
        try:
            self._prepare()
        except BaseException:
            self._let_go()
            raise

    def _prepare(self) -> None:
        with self._translating():
            for statement in _PREPARATION:
                # To its last row: a change of mode is committed, and fails, only after its first one.
                self._connection.execute(statement).fetchall()
            if self._connection.execute("PRAGMA quick_check(1)").fetchall() != [("ok",)]:
                raise damaged(self.path)
            self._migrate()

    def _migrate(self) -> None:
        version, newest = schema.version(self._connection), schema.newest()
        if version > newest:
            raise StoreUnusable(
                f"{self.path} has schema version {version}, but this program knows only {newest}",
                hint="run the newer version of the exporter, or put back the backup from before the upgrade",
                code=Code.STORE_NEWER,
            )
        try:
            schema.migrate(self._connection)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_ERROR:
                # Only a schema that isn't what its version says keeps a migration from working.
                raise damaged(self.path) from None
            raise
        if not schema.is_ours(self._connection):
            raise damaged(self.path)

    @property
    def broken(self) -> bool:
        """Whether the disk has failed, so that nothing may be done any more."""
        return self._broken is not None

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Cursor]:
        """Commit what the block does, or nothing of it."""
        with self._translating():
            cursor = self._connection.cursor()
            cursor.execute("BEGIN IMMEDIATE")
            try:
                yield cursor
                cursor.execute("UPDATE meta SET value = value + 1 WHERE name = 'commits'")
                cursor.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    cursor.execute("ROLLBACK")
                raise
            if self._connection.total_changes - self._checkpointed_rows >= CHECKPOINT_ROWS:
                self._checkpoint(cursor)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Cursor]:
        """Read; what can't be understood as what we wrote is damage."""
        with self._translating():
            try:
                yield self._connection.cursor()
            except (ValueError, TypeError, OverflowError):
                raise damaged(self.path) from None

    def close(self) -> None:
        """Copy the log into the database and close it; does nothing once the disk has failed."""
        if self._broken is not None:
            return
        try:
            with self._translating():
                self._checkpoint(self._connection.cursor())
        finally:
            self._let_go()

    def _let_go(self) -> None:
        """Close, unless the disk has failed.

        Closing would sync again, be told that all is well, and drop the log,
        which may hold the only copy.
        """
        if self._broken is None:
            self._connection.close()

    def _checkpoint(self, cursor: sqlite3.Cursor) -> None:
        try:
            cursor.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
                raise
            # What was committed is safe in the log; the next transaction tries again.
            return
        self._checkpointed_rows = self._connection.total_changes

    @contextmanager
    def _translating(self) -> Iterator[None]:
        if self._broken is not None:
            raise self._broken
        try:
            yield
        except sqlite3.Error as error:
            known = translated(error, self.path)
            if isinstance(known, StoreBroken):
                self._broken = known
            raise known from None
