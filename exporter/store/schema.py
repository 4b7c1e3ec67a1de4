"""The schema of the SQLite store: its migrations, and whether a file has the tables that they make."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from importlib import resources


def read_migrations() -> list[tuple[int, str]]:
    """All schema changes in order: (version, SQL)."""
    folder = resources.files("exporter.store") / "sql" / "sqlite"
    return sorted(
        (int(file.name.split("_", 1)[0]), file.read_text("utf-8"))
        for file in folder.iterdir()
        if file.name.endswith(".sql")
    )


def find_newest_version() -> int:
    """The version that this program writes."""
    return read_migrations()[-1][0]


def read_version(connection: sqlite3.Connection) -> int:
    """The version that a file has; 0 for an empty one."""
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    return int(found)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the schema up to date, each step in a transaction of its own; raises sqlite3.Error."""
    for number, sql in read_migrations():
        if number > read_version(connection):
            try:
                connection.executescript(f"BEGIN IMMEDIATE; {sql} PRAGMA user_version = {number}; COMMIT;")
            except sqlite3.Error:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise


def has_our_tables(connection: sqlite3.Connection) -> bool:
    """Whether all tables and indexes are there just as the migrations make them; others do no harm."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        migrate(fresh)
        return _list_definitions(fresh) <= _list_definitions(connection)


def _list_definitions(connection: sqlite3.Connection) -> set[tuple[str, str, str, str]]:
    return set(connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql <> ''"))
