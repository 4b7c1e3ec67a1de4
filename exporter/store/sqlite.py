"""The embedded store: the verbs of `Store` in SQLite."""

from __future__ import annotations

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from exporter.domain.aggregates import StateDelta
from exporter.domain.events import Event, Step
from exporter.domain.limiter import LimiterState
from exporter.domain.model import SECOND_US, Message, Policy, Priority, Source, Verdict
from exporter.domain.schedule import Rank
from exporter.domain.snapshot import Kind
from exporter.domain.states import ClaimState, Status
from exporter.store import (
    Accepted,
    Applied,
    Arrival,
    Claim,
    Claimed,
    CollectedGarbage,
    Decide,
    FileProgress,
    QueueTime,
    Restored,
    directory,
)
from exporter.store.database import Database, StoreDamaged
from exporter.store.sqlite_queue import PollQueue, encode_lane, find_lane, read_priority
from exporter.store.sqlite_restore import RATE_SCALE, count_commits, read_state

TOMBSTONE_LIFE_US = 7 * 86_400 * SECOND_US

# --- the SQL that is longer than a line or used twice ---------------------------------------------------

_COLUMNS = (
    "id, account_id, campaign_id, message_id, status, outcome, verdict, sent_at, accepted_at, due_at,"
    " polled_at, finished_at, uptime_at_accept_us, polls, failures, refusals, lane, claimed_status,"
    " claim_state, webhook_cost_nanos"
)
"""In the order of `model.Message`."""

_SELECT_MESSAGE = f"SELECT {_COLUMNS} FROM messages WHERE id = ?"  # noqa: S608 - a constant
_SELECT_BY_ID = f"SELECT {_COLUMNS} FROM messages WHERE account_id = ? AND message_id = ?"  # noqa: S608 - a constant
_SELECT_MESSAGES = f"SELECT {_COLUMNS} FROM messages WHERE id > ? ORDER BY id LIMIT ?"  # noqa: S608 - a constant
_SELECT_NEWER = "SELECT id, campaign_id, sent_at, due_at, lane FROM messages WHERE id > ?"
_SELECT_OLDEST = "SELECT min(sent_at) FROM messages WHERE campaign_id = ? AND outcome = 0"
_INSERT_MESSAGE = (
    "INSERT INTO messages"
    " (account_id, campaign_id, message_id, sent_at, accepted_at, due_at, uptime_at_accept_us, verdict,"
    " lane) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
_UPDATE_MESSAGE = (
    "UPDATE messages SET status = ?, verdict = ?, due_at = ?, polled_at = ?,"
    " polls = ?, failures = ?, refusals = ?, lane = ?, claimed_status = ?,"
    " claim_state = ?, webhook_cost_nanos = ? WHERE id = ?"
)
_PULL_FORWARD = (
    "UPDATE messages SET due_at = ? WHERE id IN (SELECT id FROM messages INDEXED BY messages_queue"
    " WHERE lane = ? AND due_at > ? LIMIT ?)"
)
_PUT_META = "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"
_FINISH_MESSAGE = "UPDATE messages SET outcome = ?, finished_at = ? WHERE id = ?"
_UPDATE_ACCOUNT = "UPDATE accounts SET uptime_us = ?, paused_until = ?, rate_micros = ? WHERE id = ?"
_ADD_TO_SERIES = (
    "INSERT INTO series (campaign_id, kind, label1, label2, value) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET value = value + excluded.value"
)
_ADD_TO_COHORT = (
    "INSERT INTO cohorts (campaign_id, began_at, sent, delivered, met, missed, finished, fell_back)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
    " sent = sent + excluded.sent, delivered = delivered + excluded.delivered,"
    " met = met + excluded.met, missed = missed + excluded.missed,"
    " finished = finished + excluded.finished, fell_back = fell_back + excluded.fell_back"
)
_PUT_FILE = (
    "INSERT INTO files (file_key, progress, touched_at) VALUES (?, ?, ?)"
    " ON CONFLICT DO UPDATE SET progress = excluded.progress, touched_at = excluded.touched_at"
)


# --- the verbs --------------------------------------------------------------------------------------------


class SqliteStore:
    """See `Store`; one connection, used by one thread at a time."""

    def __init__(self, folder: Path, *, now: int, fresh_when_damaged: bool = False) -> None:
        """Open or create the state in `folder`; raises `StoreError`."""
        self._folder = folder
        self._path = directory.prepare_directory(folder)
        self._queue = PollQueue()
        self._warning = ""
        try:
            self._database = self._open_database(now)
        except StoreDamaged as error:
            if not fresh_when_damaged:
                raise
            directory.set_damaged_aside(folder, now)
            directory.prepare_directory(folder)
            self._database = self._open_database(now)
            self._warning = (
                f"{error.message}: set aside; counters start at 0, and what was pending is forgotten"
            )

    def _open_database(self, now: int) -> Database:
        """Open the database; make the first entries of a new one, notice a restored backup."""
        database = Database(self._path)
        try:
            with database.transaction() as cursor:
                cursor.execute(
                    "INSERT INTO meta (name, value) VALUES ('created_at', ?), ('commits', 0)"
                    " ON CONFLICT DO NOTHING",
                    (now,),
                )
            directory.sync_directory(self._folder)
            with database.read() as cursor:
                commits = count_commits(cursor)
            marked = directory.read_commit_marker(self._folder)
            if commits < marked:
                self._warning = (
                    f"{self._path} is older than what was last published (a restored backup?):"
                    " counters start at 0"
                )
                # Exposed counters would fall: start them at 0, which Prometheus understands.
                with database.transaction() as cursor:
                    cursor.execute("DELETE FROM series WHERE kind <> ?", (Kind.MESSAGES,))
                    cursor.execute("UPDATE meta SET value = ? WHERE name = 'created_at'", (now,))
                    cursor.execute("UPDATE meta SET value = ? WHERE name = 'commits'", (marked,))
        except BaseException:
            database.close()
            raise
        return database

    def restore(self) -> Restored:
        """See `Store`."""
        with self._database.read() as cursor:
            return read_state(cursor, self._warning)

    def queue_older(self, priorities: Mapping[int, Priority], *, limit: int) -> int:
        """See `Store`."""
        with self._database.read() as cursor:
            row = cursor.execute("SELECT value FROM meta WHERE name = 'queued_up_to'").fetchone()
            if row is None:
                return 0
            found = cursor.execute(_SELECT_MESSAGES, (int(row[0]), limit)).fetchall()
        messages = [self._read_message(row) for row in found]
        lanes = [
            (find_lane(m._replace(priority=priorities.get(m.campaign_id, m.priority))), m.row)
            for m in messages
            if m.unsettled
        ]
        with self._database.transaction() as cursor:
            cursor.executemany("UPDATE messages SET lane = ? WHERE id = ?", lanes)
            if messages:
                cursor.execute(_PUT_META, ("queued_up_to", messages[-1].row))
            else:
                cursor.execute("DELETE FROM meta WHERE name = 'queued_up_to'")
        return len(messages)

    def pull_forward(self, account_id: int, priority: Priority, *, latest: int, limit: int) -> int:
        """See `Store`."""
        self._queue.due.forget()
        pulled = 0
        with self._database.transaction() as cursor:
            for rank in Rank:
                lane = encode_lane(account_id, priority, rank)
                pulled += cursor.execute(_PULL_FORWARD, (latest, lane, latest, limit - pulled)).rowcount
        return pulled

    def ensure_account(self, account: str) -> int:
        """See `Store`."""
        with self._database.transaction() as cursor:
            cursor.execute("INSERT INTO accounts (name) VALUES (?) ON CONFLICT DO NOTHING", (account,))
            (found,) = cursor.execute("SELECT id FROM accounts WHERE name = ?", (account,)).fetchone()
        return int(found)

    def ensure_campaign(self, account_id: int, campaign: str) -> int:
        """See `Store`."""
        pair = (account_id, campaign)
        with self._database.transaction() as cursor:
            cursor.execute(
                "INSERT INTO campaigns (account_id, name) VALUES (?, ?) ON CONFLICT DO NOTHING", pair
            )
            (found,) = cursor.execute(
                "SELECT id FROM campaigns WHERE account_id = ? AND name = ?", pair
            ).fetchone()
        return int(found)

    def track(  # noqa: PLR0913 - one transaction: all that it writes comes in at once
        self,
        account_id: int,
        arrivals: Sequence[Arrival],
        source: Source,
        *,
        now: int,
        uptime_us: int,
        room: int,
        file: FileProgress | None,
    ) -> Accepted:
        """See `Store`."""
        accepted = Accepted()
        # A webhook reports how a message ended, not when it was sent.
        verdict = Verdict.EXEMPT if source is Source.WEBHOOK else Verdict.NONE
        try:
            with self._database.transaction() as cursor:
                lanes = {priority: encode_lane(account_id, priority, Rank.FIRST) for priority in Priority}
                values = [
                    (
                        *(account_id, a.campaign_id, a.message_id, a.sent_at, now, a.due_at, uptime_us),
                        *(verdict, lanes[a.priority]),
                    )
                    for a in _leave_out_tombstones(cursor, account_id, arrivals)
                ]
                new = _insert_new(cursor, values, room)
                accepted.rows = [row[0] for row in new]
                sent = Counter((row[1], row[2]) for row in new)
                for (campaign_id, sent_at), amount in sent.items():
                    accepted.changes.add_tracked(campaign_id, source, sent_at, amount)
                _add_changes(cursor, accepted.changes)
                if file is not None:
                    cursor.execute(_PUT_FILE, (*file, now))
        except _NoRoomError:
            return Accepted(full=True)
        # The earliest of each campaign comes last.
        for campaign_id, sent_at in dict(sorted(sent, reverse=True)).items():
            self._queue.add(campaign_id, sent_at)
        for (due_at, lane), amount in Counter((row[3], row[4]) for row in new).items():
            self._queue.due.add(account_id, read_priority(lane), due_at, amount)
        return accepted

    def read_file_progress(self, file_key: bytes) -> int:
        """See `Store`."""
        with self._database.read() as cursor:
            row = cursor.execute("SELECT progress FROM files WHERE file_key = ?", (file_key,)).fetchone()
            return int(row[0]) if row else 0

    def claim(self, claim: Claim) -> Claimed:
        """See `Store`."""
        with self._database.read() as cursor:
            found = self._queue.find_due(cursor, claim)
        return Claimed(self.read(found.rows), found.next_due_at, found.passed_over)

    def count_due(self, account_ids: Iterable[int], queue_now: int) -> dict[tuple[int, Priority], int]:
        """See `Store`."""
        with self._database.read() as cursor:
            return {
                (account_id, priority): self._queue.due.count(cursor, account_id, priority, queue_now)
                for account_id in account_ids
                for priority in Priority
            }

    def read(self, rows: Iterable[int]) -> list[Message]:
        """See `Store`."""
        with self._database.read() as cursor:
            found = (cursor.execute(_SELECT_MESSAGE, (row,)).fetchone() for row in rows)
            return [self._read_message(row) for row in found if row is not None]

    def find(self, account_ids: Sequence[int], message_ids: Iterable[str]) -> dict[str, list[Message]]:
        """See `Store`."""
        found: dict[str, list[Message]] = {}
        with self._database.read() as cursor:
            for message_id in message_ids:
                for account_id in account_ids:
                    row = cursor.execute(_SELECT_BY_ID, (account_id, message_id)).fetchone()
                    if row is not None:
                        found.setdefault(message_id, []).append(self._read_message(row))
        return found

    def apply(self, events: Sequence[Event], decide: Decide) -> Applied:
        """See `Store`; this process alone holds the file, so a row stays as it is read before BEGIN."""
        before = {message.row: message for message in self.read({event.row for event in events})}
        after = dict(before)
        applied = Applied([], StateDelta())
        for event in events:
            message = after.get(event.row)
            if message is not None:
                step = decide(message, event)
                after[event.row] = step.message
                applied.changes.add_step(step)
                applied.steps.append(step)
        changed = [(message, after[row]) for row, message in before.items() if after[row] is not message]
        if changed:
            with self._database.transaction() as cursor:
                _update_messages(cursor, [message for _, message in changed])
                _add_changes(cursor, applied.changes)
            for old, new in changed:
                self._queue.due.move(old, new)
            applied.committed = True
        return applied

    def persist(
        self,
        changes: StateDelta,
        accounts: Mapping[int, LimiterState],
        queue_time: QueueTime | None = None,
    ) -> None:
        """See `Store`."""
        with self._database.transaction() as cursor:
            _add_changes(cursor, changes)
            cursor.executemany(
                _UPDATE_ACCOUNT,
                [
                    (kept.uptime_us, kept.paused_until, int(kept.rate * RATE_SCALE), account_id)
                    for account_id, kept in accounts.items()
                ],
            )
            if queue_time is not None:
                cursor.executemany(
                    _PUT_META,
                    [("queue_us", queue_time.queue_us), ("queue_wall_us", queue_time.wall_us)],
                )
        self._write_commit_marker()

    def judge_lapsed(
        self, policies: Mapping[int, Policy], *, now: int, limit: int, tick: Callable[[Message], Step]
    ) -> StateDelta:
        """See `Store`."""
        changes = StateDelta()
        with self._database.read() as cursor:
            rows = self._queue.find_lapsed(cursor, policies, now, limit)
        steps = [(message, tick(message)) for message in self.read(rows)]
        moved = [(before, step) for before, step in steps if step.message is not before]
        if not moved:
            return changes
        for _, step in moved:
            changes.add_step(step)
        try:
            with self._database.transaction() as cursor:
                _update_messages(cursor, [step.message for _, step in moved])
                _add_changes(cursor, changes)
        except BaseException:
            self._queue.look_again()
            raise
        for before, step in moved:
            self._queue.due.move(before, step.message)
        return changes

    def collect_garbage(
        self, cursor: int, *, limit: int, now: int, retention_us: int, tick: Callable[[Message], Step]
    ) -> CollectedGarbage:
        """See `Store`."""
        with self._database.read() as reader:
            found = reader.execute(_SELECT_MESSAGES, (cursor, limit)).fetchall()
        collected = CollectedGarbage(found[-1][0] if len(found) == limit else 0)
        messages = [self._read_message(row) for row in found]
        old = [m for m in messages if m.fully_counted and m.finished_at + retention_us <= now]
        steps = [(m, tick(m)) for m in messages if not m.fully_counted]
        moved = [(before, step) for before, step in steps if step.message is not before]
        if not old and not moved:
            return collected
        for _, step in moved:
            collected.changes.add_step(step)
        for message in old:
            collected.changes.remove_message(message)
        with self._database.transaction() as writing:
            _update_messages(writing, [step.message for _, step in moved])
            writing.executemany(
                "INSERT INTO tombstones (digest, until) VALUES (?, ?) ON CONFLICT DO NOTHING",
                [(_hash_id(m.account_id, m.message_id), now + TOMBSTONE_LIFE_US) for m in old],
            )
            writing.executemany("DELETE FROM messages WHERE id = ?", [(m.row,) for m in old])
            _add_changes(writing, collected.changes)
        for before, step in moved:
            self._queue.due.move(before, step.message)
        for message in old:
            self._queue.due.move(message, None)
        return collected

    def prune(self, *, now: int, cohorts_before: int, files_before: int) -> None:
        """See `Store`."""
        with self._database.transaction() as cursor:
            cursor.execute(
                "DELETE FROM cohorts WHERE began_at < ? AND met = 0 AND missed = 0", (cohorts_before,)
            )
            cursor.execute("DELETE FROM tombstones WHERE until < ?", (now,))
            cursor.execute("DELETE FROM files WHERE touched_at < ?", (files_before,))

    def find_oldest_pending(self, campaign_ids: Iterable[int]) -> dict[int, int]:
        """See `Store`."""
        with self._database.read() as cursor:
            found = {one: cursor.execute(_SELECT_OLDEST, (one,)).fetchone()[0] for one in campaign_ids}
            return {one: int(sent_at) for one, sent_at in found.items() if sent_at is not None}

    def close(self) -> None:
        """See `Store`."""
        try:
            if not self._database.broken:
                self._write_commit_marker()
        finally:
            self._database.close()

    def _read_message(self, row: tuple[int, ...]) -> Message:
        """A row as a message; raises `StoreDamaged` for values that this program never writes."""
        try:
            return _make_message(row)
        except ValueError:
            raise StoreDamaged(self._path) from None

    def _write_commit_marker(self) -> None:
        with self._database.read() as cursor:
            directory.write_commit_marker(self._folder, count_commits(cursor))


# --- rows as values of the domain -------------------------------------------------------------------------

_STATUSES = {status.value: status for status in Status}
_VERDICTS = {verdict.value: verdict for verdict in Verdict}
_CLAIM_STATES = {state.value: state for state in ClaimState}
_OPTIONAL = (int, type(None))
_OTHER_TYPES = {"message_id": (str,), "priority": _OPTIONAL, "webhook_cost_nanos": _OPTIONAL}
_TYPES = tuple(_OTHER_TYPES.get(field, (int,)) for field in Message._fields)


def _make_message(row: tuple[int, ...]) -> Message:
    """A message of a row of `_COLUMNS`; raises ValueError."""
    if not all(map(isinstance, row, _TYPES)):
        raise ValueError("a column has a type that was never written")
    try:
        return Message._make(
            (
                *row[:4],
                *(_STATUSES[row[4]], _STATUSES[row[5]], _VERDICTS[row[6]]),
                *row[7:16],
                read_priority(row[16]),
                *(_STATUSES[row[17]], _CLAIM_STATES[row[18]], row[19]),
            )
        )
    except KeyError:
        raise ValueError("a status, verdict or claim state that was never written") from None


# --- writing, within a transaction that the caller has begun ----------------------------------------------


class _NoRoomError(Exception):
    """Rolls a batch back that would exceed the limit of tracked messages."""


def _hash_id(account_id: int, message_id: str) -> bytes:
    """What is left of a message after its retention."""
    return hashlib.blake2b(f"{account_id}/{message_id}".encode(), digest_size=16).digest()


def _leave_out_tombstones(
    cursor: sqlite3.Cursor, account_id: int, arrivals: Sequence[Arrival]
) -> Iterable[Arrival]:
    """The ids without those that were tracked, finished and deleted not long ago."""
    if cursor.execute("SELECT 1 FROM tombstones LIMIT 1").fetchone() is None:
        return arrivals
    return [
        arrival
        for arrival in arrivals
        if cursor.execute(
            "SELECT 1 FROM tombstones WHERE digest = ?", (_hash_id(account_id, arrival.message_id),)
        ).fetchone()
        is None
    ]


def _insert_new(
    cursor: sqlite3.Cursor, values: Iterable[tuple[object, ...]], room: int
) -> list[tuple[int, ...]]:
    """Insert those messages that are new, and read them back; raises when they are more than `room`."""
    (before,) = cursor.execute("SELECT coalesce(max(id), 0) FROM messages").fetchone()
    cursor.executemany(_INSERT_MESSAGE, values)
    new = cursor.execute(_SELECT_NEWER, (before,)).fetchall()
    if len(new) > max(0, room):
        raise _NoRoomError
    return new


def _update_messages(cursor: sqlite3.Cursor, messages: Iterable[Message]) -> None:
    """Write what can change of these messages."""
    values, finished = [], []
    for m in messages:
        values.append(
            (
                *(m.status, m.verdict, m.due_at, m.polled_at, m.polls, m.failures, m.refusals),
                *(find_lane(m), m.claimed_status, m.claim_state, m.webhook_cost_nanos, m.row),
            )
        )
        if not m.pending:
            # Apart: naming the outcome makes SQLite write the index of pending messages anew.
            finished.append((m.outcome, m.finished_at, m.row))
    cursor.executemany(_UPDATE_MESSAGE, values)
    cursor.executemany(_FINISH_MESSAGE, finished)


def _add_changes(cursor: sqlite3.Cursor, changes: StateDelta) -> None:
    """Add to the counters and cohorts."""
    cursor.executemany(_ADD_TO_SERIES, [(*key, n) for key, n in changes.counts.items() if n])
    cursor.executemany(_ADD_TO_COHORT, [(*key, *cohort) for key, cohort in changes.cohorts.items()])
