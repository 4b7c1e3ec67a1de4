"""The schema of the SQLite file: fresh, migrated, killed in between, newer, or changed."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from exporter.domain.model import Priority
from exporter.runtime.errors import StoreUnusable
from exporter.store import Claim, directory, schema
from exporter.store.sqlite import SqliteStore
from tests.domain.example import SENT_AT

ROOT = Path(__file__).parents[2]


# --- schema -----------------------------------------------------------------------------------------


def tables(connection: sqlite3.Connection) -> list[tuple[str, ...]]:
    """All tables, their columns and their indexes."""
    rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name")
    return rows.fetchall()


def test_a_fresh_schema_equals_a_migrated_one() -> None:
    """Whichever version a file starts from, its schema becomes that of a new one."""
    steps = schema.read_migrations()
    numbers = [number for number, _ in steps]
    assert numbers == sorted(set(numbers))
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        schema.migrate(fresh)
        for upto in range(len(steps) + 1):
            with closing(sqlite3.connect(":memory:", isolation_level=None)) as older:
                for number, sql in steps[:upto]:
                    older.executescript(f"BEGIN; {sql} PRAGMA user_version = {number}; COMMIT;")
                schema.migrate(older)
                assert tables(older) == tables(fresh)
                assert schema.read_version(older) == schema.find_newest_version()
                assert schema.has_our_tables(older)


def test_migrating_twice_changes_nothing(tmp_path: Path) -> None:
    """Opening again finds everything as it was."""
    SqliteStore(tmp_path, now=SENT_AT).close()
    store = SqliteStore(tmp_path, now=SENT_AT + 1)
    assert store.restore().created_at == SENT_AT
    store.close()


_KILLED = """
import os, sqlite3, sys
from exporter.store import schema
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA journal_mode = WAL")
statements = 0
def count(statement):
    global statements
    statements += 1
    if statements == int(sys.argv[2]):
        os.kill(os.getpid(), 9)
connection.set_trace_callback(count)
schema.migrate(connection)
"""


@pytest.mark.parametrize("statement", [3, 6, 10])
def test_a_killed_migration_leaves_nothing(tmp_path: Path, statement: int) -> None:
    """A migration that is killed in the middle is rolled back, and succeeds the next time."""
    path = tmp_path / directory.DATABASE
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(path), str(statement)], cwd=ROOT, check=False)
    assert killed.returncode == -9
    with closing(sqlite3.connect(path)) as connection:
        assert schema.read_version(connection) == 0
        assert tables(connection) == []
    SqliteStore(tmp_path, now=SENT_AT).close()


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    """A file of a newer version is left as it is, and the error says what to do."""
    SqliteStore(tmp_path, now=SENT_AT).close()
    path = tmp_path / directory.DATABASE
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {schema.find_newest_version() + 1}")
    for fresh_when_damaged in (False, True):
        with pytest.raises(StoreUnusable, match="knows only") as refused:
            SqliteStore(tmp_path, now=SENT_AT, fresh_when_damaged=fresh_when_damaged)
        assert refused.value.exit_code == 78
        assert "newer version" in refused.value.hint
    assert [file.name for file in tmp_path.iterdir() if "corrupt" in file.name] == []


def test_an_index_of_the_operator_is_no_damage(tmp_path: Path) -> None:
    """Tables and indexes of others are left as they are."""
    SqliteStore(tmp_path, now=SENT_AT).close()
    with closing(sqlite3.connect(tmp_path / directory.DATABASE)) as connection:
        connection.execute("CREATE INDEX mine ON messages (status)")
    SqliteStore(tmp_path, now=SENT_AT).close()


def test_a_changed_table_is_refused(tmp_path: Path) -> None:
    """A missing index is damage, reported before anything is counted."""
    SqliteStore(tmp_path, now=SENT_AT).close()
    with closing(sqlite3.connect(tmp_path / directory.DATABASE)) as connection:
        connection.execute("DROP INDEX messages_by_id")
    with pytest.raises(StoreUnusable, match="damaged"):
        SqliteStore(tmp_path, now=SENT_AT)


def test_messages_of_a_version_without_a_queue_are_queued_in_pieces(tmp_path: Path) -> None:
    """Each start goes on where the one before was killed; settled messages stay out, and all is due once."""
    with closing(sqlite3.connect(tmp_path / directory.DATABASE, isolation_level=None)) as connection:
        for number, sql in schema.read_migrations():
            if number <= 2:
                connection.executescript(f"BEGIN; {sql} PRAGMA user_version = {number}; COMMIT;")
        connection.execute("INSERT INTO meta VALUES ('created_at', 1), ('commits', 5)")
        connection.executemany(
            "INSERT INTO messages (account_id, campaign_id, message_id, outcome, sent_at, accepted_at,"
            " due_at, answering_base_us) VALUES (1, ?, ?, ?, 7, 7, ?, 0)",
            [(1 + n % 2, f"id-{n}", 3 if n % 5 == 0 else 0, 100 + n) for n in range(25)],
        )
    priorities = {1: Priority.LOW, 2: Priority.HIGH}
    looked_at = []
    for _ in range(4):
        store = SqliteStore(tmp_path, now=SENT_AT)
        looked_at.append(store.queue_older(priorities, limit=10))
        store.close()
    assert looked_at == [10, 10, 5, 0]
    store = SqliteStore(tmp_path, now=SENT_AT)
    queued = [
        [message.due_at for message in store.claim(Claim(1, p, 0, SENT_AT, 100, (), {})).messages]
        for p in Priority
    ]
    pending = [100 + n for n in range(25) if n % 5]
    assert queued == [[at for at in pending if at % 2], [], [at for at in pending if not at % 2]]
    store.close()
