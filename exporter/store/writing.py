"""What the SQLite store writes, inside a transaction that its caller has begun."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence

from exporter.domain.aggregates import StateDelta
from exporter.domain.model import Message
from exporter.store import Arrival, statements
from exporter.store.rows import changed_values


def digest(account_id: int, message_id: str) -> bytes:
    """What is left of a message after its retention."""
    return hashlib.blake2b(f"{account_id}/{message_id}".encode(), digest_size=16).digest()


class NoRoomError(Exception):
    """Rolls a batch back that would go over the limit of tracked messages."""


def inserted(
    cursor: sqlite3.Cursor, values: Iterable[tuple[object, ...]], room: int
) -> list[tuple[int, ...]]:
    """Insert those messages that are new, and read where; raises when they are more than `room`."""
    (before,) = cursor.execute("SELECT coalesce(max(id), 0) FROM messages").fetchone()
    cursor.executemany(statements.INSERT_MESSAGE, values)
    new = cursor.execute(statements.SELECT_NEWER, (before,)).fetchall()
    if len(new) > max(0, room):
        raise NoRoomError
    return new


def without_tombstones(
    cursor: sqlite3.Cursor, account_id: int, arrivals: Sequence[Arrival]
) -> Iterable[Arrival]:
    """Leave out what was tracked, finished and forgotten not long ago."""
    if cursor.execute("SELECT 1 FROM tombstones LIMIT 1").fetchone() is None:
        return arrivals
    return [
        arrival
        for arrival in arrivals
        if cursor.execute(
            "SELECT 1 FROM tombstones WHERE digest = ?", (digest(account_id, arrival.message_id),)
        ).fetchone()
        is None
    ]


def update(cursor: sqlite3.Cursor, messages: Iterable[Message]) -> None:
    """Write what can change of these messages."""
    cursor.executemany(statements.UPDATE_MESSAGE, map(changed_values, messages))


def write(cursor: sqlite3.Cursor, changes: StateDelta) -> None:
    """Add to the counters and cohorts."""
    cursor.executemany(statements.ADD_TO_SERIES, [(*key, n) for key, n in changes.counts.items() if n])
    cursor.executemany(statements.ADD_TO_COHORT, [(*key, *cohort) for key, cohort in changes.cohorts.items()])
