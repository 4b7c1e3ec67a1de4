"""The embedded store: the verbs of `Store` in SQLite."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from exporter.domain.aggregates import StateDelta
from exporter.domain.events import Event, Step
from exporter.domain.limiter import LimiterState
from exporter.domain.model import SECOND_US, Message, Source, Verdict
from exporter.domain.snapshot import Kind
from exporter.store import (
    Accepted,
    Arrival,
    CollectedGarbage,
    Decide,
    FileProgress,
    Planned,
    Restored,
    directory,
    statements,
)
from exporter.store.database import Database, StoreDamaged, damaged
from exporter.store.rows import RATE_SCALE, commit_count, integers, message_from, restored
from exporter.store.writing import NoRoomError, digest, inserted, update, without_tombstones, write

TOMBSTONE_LIFE_US = 7 * 86_400 * SECOND_US
_CHUNK_ROWS = 10_000


class SqliteStore:
    """See `Store`; one connection, used by one thread at a time."""

    def __init__(self, folder: Path, *, now: int, fresh_when_damaged: bool = False) -> None:
        """Open or create the state in `folder`; raises `StoreError`."""
        self._folder = folder
        self._path = directory.claim(folder)
        self._warning = ""
        try:
            self._database = self._opened(now)
        except StoreDamaged as error:
            if not fresh_when_damaged:
                raise
            directory.set_aside(folder, now)
            directory.claim(folder)
            self._database = self._opened(now)
            self._warning = (
                f"{error.message}: set aside; counters start at 0, and what was pending is forgotten"
            )

    def _opened(self, now: int) -> Database:
        """Open the database; make the first entries of a new one, notice one put back from a copy."""
        opened = Database(self._path)
        try:
            with opened.transaction() as cursor:
                cursor.execute(
                    "INSERT INTO meta (name, value) VALUES ('created_at', ?), ('commits', 0)"
                    " ON CONFLICT DO NOTHING",
                    (now,),
                )
            directory.sync(self._folder)
            with opened.reading() as cursor:
                commits = commit_count(cursor)
            mirrored = directory.read_commit_marker(self._folder)
            if commits < mirrored:
                self._warning = (
                    f"{self._path} is older than what was last published (a restored backup?):"
                    " counters start at 0"
                )
                # Exposed counters would fall: begin them anew, which Prometheus understands.
                with opened.transaction() as cursor:
                    cursor.execute("DELETE FROM series WHERE kind <> ?", (Kind.MESSAGES,))
                    cursor.execute("UPDATE meta SET value = ? WHERE name = 'created_at'", (now,))
                    cursor.execute("UPDATE meta SET value = ? WHERE name = 'commits'", (mirrored,))
        except BaseException:
            opened.close()
            raise
        return opened

    def restore(self) -> Restored:
        """See `Store`."""
        with self._database.reading() as cursor:
            return restored(cursor, self._warning)

    def schedule(self) -> Iterator[Sequence[Planned]]:
        """See `Store`."""
        with self._database.reading() as cursor:
            cursor.execute(statements.SELECT_SCHEDULE)
            while chunk := cursor.fetchmany(_CHUNK_ROWS):
                yield [Planned._make(integers(row)) for row in chunk]

    def account_id(self, account: str) -> int:
        """See `Store`."""
        with self._database.transaction() as cursor:
            cursor.execute("INSERT INTO accounts (name) VALUES (?) ON CONFLICT DO NOTHING", (account,))
            (found,) = cursor.execute("SELECT id FROM accounts WHERE name = ?", (account,)).fetchone()
        return int(found)

    def campaign_id(self, account_id: int, campaign: str) -> int:
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
        # Who hears of a message from its end knows nothing of its beginning.
        verdict = Verdict.EXEMPT if source is Source.WEBHOOK else Verdict.NONE
        try:
            with self._database.transaction() as cursor:
                values = [
                    (account_id, a.campaign_id, a.message_id, a.sent_at, now, a.due_at, uptime_us, verdict)
                    for a in without_tombstones(cursor, account_id, arrivals)
                ]
                new = inserted(cursor, values, room)
                accepted.planned = [Planned._make(row[:4]) for row in new]
                for (campaign_id, sent_at), amount in Counter((row[1], row[4]) for row in new).items():
                    accepted.changes.tracked(campaign_id, source, sent_at, amount)
                write(cursor, accepted.changes)
                if file is not None:
                    cursor.execute(statements.PUT_FILE, (*file, now))
        except NoRoomError:
            return Accepted(full=True)
        return accepted

    def file_progress(self, file_key: bytes) -> int:
        """See `Store`."""
        with self._database.reading() as cursor:
            row = cursor.execute("SELECT progress FROM files WHERE file_key = ?", (file_key,)).fetchone()
            return int(row[0]) if row else 0

    def claim(self, rows: Sequence[int]) -> list[Message]:
        """See `Store`."""
        with self._database.reading() as cursor:
            found = (cursor.execute(statements.SELECT_MESSAGE, (row,)).fetchone() for row in rows)
            return [self._known(row) for row in found if row is not None]

    def find(self, account_ids: Sequence[int], message_ids: Iterable[str]) -> dict[str, list[Message]]:
        """See `Store`."""
        found: dict[str, list[Message]] = {}
        with self._database.reading() as cursor:
            for message_id in message_ids:
                for account_id in account_ids:
                    row = cursor.execute(statements.SELECT_BY_ID, (account_id, message_id)).fetchone()
                    if row is not None:
                        found.setdefault(message_id, []).append(self._known(row))
        return found

    def apply(self, events: Iterable[Event], decide: Decide) -> tuple[list[Step], StateDelta]:
        """See `Store`."""
        steps: list[Step] = []
        changes = StateDelta()
        with self._database.transaction() as cursor:
            current: dict[int, Message] = {}
            changed: dict[int, Message] = {}
            for event in events:
                message = current.get(event.row)
                if message is None:
                    row = cursor.execute(statements.SELECT_MESSAGE, (event.row,)).fetchone()
                    if row is None:
                        continue
                    message = self._known(row)
                step = decide(message, event)
                current[event.row] = step.message
                if step.message is not message:
                    changed[event.row] = step.message
                changes.step(step)
                steps.append(step)
            update(cursor, changed.values())
            write(cursor, changes)
        return steps, changes

    def persist(self, changes: StateDelta, accounts: Mapping[int, LimiterState]) -> None:
        """See `Store`."""
        with self._database.transaction() as cursor:
            write(cursor, changes)
            cursor.executemany(
                statements.UPDATE_ACCOUNT,
                [
                    (kept.uptime_us, kept.paused_until, int(kept.rate * RATE_SCALE), account_id)
                    for account_id, kept in accounts.items()
                ],
            )
        self._write_commit_marker()

    def collect_garbage(
        self, cursor: int, *, limit: int, now: int, retention_us: int, tick: Callable[[Message], Step]
    ) -> CollectedGarbage:
        """See `Store`."""
        with self._database.reading() as reading:
            found = reading.execute(statements.SELECT_MESSAGES, (cursor, limit)).fetchall()
        swept = CollectedGarbage(found[-1][0] if len(found) == limit else 0)
        messages = [self._known(row) for row in found]
        settled = [m for m in messages if not m.pending and m.webhook_cost_nanos < 0]
        old = [m for m in settled if m.finished_at + retention_us <= now]
        steps = [(m, tick(m)) for m in messages if m.pending or m.webhook_cost_nanos >= 0]
        moved = [step for before, step in steps if step.message is not before]
        if not old and not moved:
            return swept
        for step in moved:
            swept.changes.step(step)
        for message in old:
            swept.changes.forgotten(message)
        with self._database.transaction() as writing:
            update(writing, [step.message for step in moved])
            writing.executemany(
                "INSERT INTO tombstones (digest, until) VALUES (?, ?) ON CONFLICT DO NOTHING",
                [(digest(m.account_id, m.message_id), now + TOMBSTONE_LIFE_US) for m in old],
            )
            writing.executemany("DELETE FROM messages WHERE id = ?", [(m.row,) for m in old])
            write(writing, swept.changes)
        return swept

    def prune(self, *, now: int, cohorts_before: int, files_before: int) -> None:
        """See `Store`."""
        with self._database.transaction() as cursor:
            cursor.execute(
                "DELETE FROM cohorts WHERE began_at < ? AND met = 0 AND missed = 0", (cohorts_before,)
            )
            cursor.execute("DELETE FROM tombstones WHERE until < ?", (now,))
            cursor.execute("DELETE FROM files WHERE touched_at < ?", (files_before,))

    def oldest_pending(self, campaign_ids: Iterable[int]) -> dict[int, int]:
        """See `Store`."""
        with self._database.reading() as cursor:
            found = {
                campaign_id: cursor.execute(statements.SELECT_OLDEST, (campaign_id,)).fetchone()[0]
                for campaign_id in campaign_ids
            }
            return {
                campaign_id: int(sent_at) for campaign_id, sent_at in found.items() if sent_at is not None
            }

    def close(self) -> None:
        """See `Store`."""
        try:
            if not self._database.broken:
                self._write_commit_marker()
        finally:
            self._database.close()

    def _known(self, row: tuple[int, ...]) -> Message:
        """A row as a message; raises `StoreUnusable` when it holds what we never write."""
        try:
            return message_from(row)
        except ValueError:
            raise damaged(self._path) from None

    def _write_commit_marker(self) -> None:
        with self._database.reading() as cursor:
            directory.write_commit_marker(self._folder, commit_count(cursor))
