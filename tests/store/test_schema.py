"""The schema of the SQLite file: fresh, migrated, killed in between, newer, or changed."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest

from exporter.domain.events import Observed
from exporter.domain.limiter import LimiterState
from exporter.domain.model import Answer, Message, Priority
from exporter.domain.snapshot import Kind, SeriesKey
from exporter.domain.states import FINISHED, ClaimState, Status
from exporter.runtime.errors import StoreUnusable
from exporter.store import Claim, directory, schema
from exporter.store.sqlite import SqliteStore
from tests.domain.example import SENT_AT
from tests.store.engines import decide, list_queue

ROOT = Path(__file__).parents[2]


# --- schema -----------------------------------------------------------------------------------------


def tables(connection: sqlite3.Connection) -> list[tuple[str, ...]]:
    """All tables, their columns and their indexes."""
    rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name")
    return rows.fetchall()


def test_a_fresh_schema_equals_a_migrated_one() -> None:
    """Whichever version a file starts from, its schema becomes that of a new one."""
    steps = schema.read_migrations()
    assert [number for number, _ in steps] == list(range(1, len(steps) + 1))
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


# --- a state of an earlier version ------------------------------------------------------------------

NONE, OPEN, SETTLED = ClaimState
OLD_CLAIMS = {
    "none": ((Status.NEW, 0, -1), (Status.NEW, NONE, None)),
    "open": ((Status.NEW, 3, -1), (Status.DELIVERED, OPEN, None)),
    "settled": ((Status.PROCESSING, -4, -1), (Status.UNDELIVERABLE, SETTLED, None)),
    "ended": ((Status.DELIVERED, 0, -1), (Status.NEW, NONE, None)),
    "ended-open": ((Status.EXPIRED, 5, -1), (Status.PERMANENTERROR, OPEN, None)),
    "ended-settled": ((Status.DELIVERED, -3, -1), (Status.DELIVERED, SETTLED, None)),
    "cost-0": ((Status.DELIVERED, 0, 0), (Status.NEW, NONE, 0)),
    "cost": ((Status.DELIVERED, -3, 7), (Status.DELIVERED, SETTLED, 7)),
}
"""By message id: what version 2 wrote (status, hearsay, told_nanos), and the claim and cost that it means."""
MEANINGS = {message_id: meaning for message_id, (_, meaning) in OLD_CLAIMS.items()}


def make_older(path: Path, version: int, messages: Iterable[str] = OLD_CLAIMS) -> None:
    """Make a state as an exporter with that schema left it; `messages` are keys of OLD_CLAIMS."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for number, sql in schema.read_migrations()[:version]:
            connection.executescript(f"BEGIN; {sql} PRAGMA user_version = {number}; COMMIT;")
        connection.execute("INSERT INTO meta VALUES ('created_at', 1), ('commits', 5)")
        connection.execute("INSERT INTO accounts (name, answering_us) VALUES ('main', 11)")
        connection.execute("INSERT INTO campaigns (account_id, name) VALUES (1, 'default')")
        connection.execute("INSERT INTO series VALUES (1, ?, 'delivered', '', 3)", (Kind.FINISHED,))
        for message_id in messages:
            (status, hearsay, told_nanos), _ = OLD_CLAIMS[message_id]
            outcome = status if status in FINISHED else Status.NEW
            connection.execute(
                "INSERT INTO messages (account_id, campaign_id, message_id, status, outcome, sent_at,"
                " accepted_at, due_at, answering_base_us) VALUES (1, 1, ?, ?, ?, 7, 7, 7, 9)",
                (message_id, status, outcome),
            )
            if version > 1:
                connection.execute(
                    "UPDATE messages SET hearsay = ?, told_nanos = ? WHERE message_id = ?",
                    (hearsay, told_nanos, message_id),
                )


def list_meanings(messages: Iterable[Message]) -> dict[str, tuple[Status, ClaimState, int | None]]:
    """The claims and costs of messages."""
    return {m.message_id: (m.claimed_status, m.claim_state, m.webhook_cost_nanos) for m in messages}


def test_a_state_of_signs_and_sentinels_is_read_right(tmp_path: Path) -> None:
    """Every claim means what it meant, what must be polled is polled, and the counters go on."""
    make_older(tmp_path / directory.DATABASE, 2)
    store = SqliteStore(tmp_path, now=SENT_AT)
    messages = store.read(range(1, len(OLD_CLAIMS) + 1))
    assert list_meanings(messages) == MEANINGS
    assert {message.uptime_at_accept_us for message in messages} == {9}
    assert {message.message_id for message in messages if not message.unsettled} == {"ended", "ended-settled"}
    assert store.queue_older({1: Priority.NORMAL}, limit=100) == len(OLD_CLAIMS)
    assert list_queue(store) == [message for message in messages if message.unsettled]
    assert store.restore().accounts == {"main": (1, LimiterState(11))}
    answer = Answer(Status.DELIVERED, cost_nanos=5, currency="UAH")
    store.apply([Observed(message.row, SENT_AT, 11, answer) for message in messages], decide)
    values = dict(store.restore().values)
    assert values[SeriesKey(1, Kind.FINISHED, "delivered")] == 3 + 3
    assert values[SeriesKey(1, Kind.LATE, "delivered")] == 1
    assert values[SeriesKey(1, Kind.COST_NANOS, "UAH")] == (3 + 1 + 2) * 5
    store.close()


def test_messages_of_a_version_before_webhooks(tmp_path: Path) -> None:
    """A state that a version without these columns wrote goes on as it was."""
    make_older(tmp_path / directory.DATABASE, 1, ["none"])
    store = SqliteStore(tmp_path, now=SENT_AT)
    (message,) = store.find([1], ["none"])["none"]
    assert (message.claim_state, message.webhook_cost_nanos, message.pending) == (NONE, None, True)
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


@pytest.mark.parametrize("statement", [5, 10, 11, 13])
def test_a_killed_upgrade_leaves_the_older_state(tmp_path: Path, statement: int) -> None:
    """Neither a renamed column nor a converted value is left, and the next start converts all of them."""
    path = tmp_path / directory.DATABASE
    make_older(path, 2)
    with closing(sqlite3.connect(path)) as connection:
        before = list(connection.iterdump())
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(path), str(statement)], cwd=ROOT, check=False)
    assert killed.returncode == -9
    with closing(sqlite3.connect(path)) as connection:
        assert schema.read_version(connection) == 2
        assert list(connection.iterdump()) == before
    store = SqliteStore(tmp_path, now=SENT_AT)
    assert list_meanings(store.read(range(1, len(OLD_CLAIMS) + 1))) == MEANINGS
    store.close()


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
