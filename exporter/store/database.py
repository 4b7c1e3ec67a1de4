"""One SQLite file: opened exclusively, checked, its errors translated, its transactions.

SQLite would copy its log into the database by itself after a commit, and hide
when that fails; a failed sync repeated later reports success for pages that the
kernel has dropped. So that copying is done here, where a failure is seen: once
the disk has failed, this process no longer touches the file.
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
    """The database has content that this program never wrote."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} is damaged",
            hint="restore a backup, or save what can be read with: "
            f'sqlite3 "{path}" ".recover" | sqlite3 new.sqlite3; '
            "storage.on_corrupt: fresh sets it aside and starts with empty counters",
        )


def translate_error(error: sqlite3.Error, path: Path) -> StoreError:
    """The store's error for one of SQLite's; `path` is the database's."""
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
            return StoreDamaged(path)
        case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return StoreBroken(
                f"{path} can't be read or written ({name})",
                hint="check the disk, its free space, and the owner and mode of the directory",
            )
        case 0 if isinstance(error, sqlite3.OperationalError):
            # Raised by Python for a text that is no UTF-8.
            return StoreDamaged(path)
    return StoreError(f"{path}: {name}", hint="try again; if it happens again, report it with this line")


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
            raise translate_error(error, path) from None
        try:
            self._prepare()
        except BaseException:
            self._close_connection()
            raise

    def _prepare(self) -> None:
        with self._translate_errors():
            for statement in _PREPARATION:
                # All rows: a change of mode is committed, and fails, only after its first row.
                self._connection.execute(statement).fetchall()
            if self._connection.execute("PRAGMA quick_check(1)").fetchall() != [("ok",)]:
                raise StoreDamaged(self.path)
            self._migrate()

    def _migrate(self) -> None:
        version, newest = schema.read_version(self._connection), schema.find_newest_version()
        if version > newest:
            raise StoreUnusable(
                f"{self.path} has schema version {version}, but this program knows only {newest}",
                hint="run the newer version of the exporter, or restore the backup from before the upgrade",
                code=Code.STORE_NEWER,
            )
        try:
            schema.migrate(self._connection)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_ERROR:
                # Only a schema that isn't what its version says keeps a migration from working.
                raise StoreDamaged(self.path) from None
            raise
        if not schema.has_our_tables(self._connection):
            raise StoreDamaged(self.path)

    @property
    def broken(self) -> bool:
        """Whether the disk has failed, so that the file may not be used any more."""
        return self._broken is not None

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Cursor]:
        """Commit what the block does, or nothing of it."""
        with self._translate_errors():
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
    def read(self) -> Iterator[sqlite3.Cursor]:
        """Read; values that this program never writes are damage."""
        with self._translate_errors():
            try:
                yield self._connection.cursor()
            except (ValueError, TypeError, OverflowError):
                raise StoreDamaged(self.path) from None

    def close(self) -> None:
        """Copy the log into the database and close it; does nothing once the disk has failed."""
        if self._broken is not None:
            return
        try:
            with self._translate_errors():
                self._checkpoint(self._connection.cursor())
        finally:
            self._close_connection()

    def _close_connection(self) -> None:
        """Close, unless the disk has failed.

        Closing would sync again, get no error this time, and delete the log, which may hold the only copy.
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
    def _translate_errors(self) -> Iterator[None]:
        if self._broken is not None:
            raise self._broken
        try:
            yield
        except sqlite3.Error as error:
            known = translate_error(error, self.path)
            if isinstance(known, StoreBroken):
                self._broken = known
            raise known from None
