"""The poll queue of the SQLite store: which messages are due, in which order, and how many.

A message that is still to be polled has a *lane*: account, priority and rank in
one number. An index of lane and due time gives the order within a rank. What
goes before all ranks, unjudged messages whose deadline has just passed, comes
from the index of pending messages by campaign and time of sending.

That index also has messages that are judged already. So where the first
unjudged one is, or the first that is not sent long enough ago, is remembered
for each campaign: a look that can find nothing costs no query.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from exporter.domain import schedule
from exporter.domain.lifecycle import compute_tolerance_us
from exporter.domain.model import SECOND_US, Message, Policy, Priority, Verdict
from exporter.domain.schedule import QUIET_US, Rank
from exporter.store import Claim

SCAN_ROWS = 2_000
"""How many rows a claim passes over in one place before it leaves the rest for later."""
_LATER_US = SECOND_US // 4
_NEVER = 1 << 62
_END = (_NEVER, 0)
_BITS = 2

_SELECT_LANE = (
    "SELECT id, message_id, campaign_id, sent_at FROM messages INDEXED BY messages_queue"
    " WHERE lane = ? AND due_at <= ? ORDER BY due_at, id"
)
_SELECT_NEXT = "SELECT min(due_at) FROM messages INDEXED BY messages_queue WHERE lane = ? AND due_at > ?"
_COUNT_DUE = (
    "SELECT count(*) FROM messages INDEXED BY messages_queue WHERE lane = ? AND due_at > ? AND due_at <= ?"
)
_PENDING = "SELECT id, sent_at, verdict, lane, due_at, message_id FROM messages INDEXED BY messages_pending"
# Two queries: SQLite does not seek to a pair of the index's column and the row.
_SELECT_SENT_AT = f"{_PENDING} WHERE campaign_id = ? AND outcome = 0 AND sent_at = ? AND id >= ? ORDER BY id"
_SELECT_SENT_AFTER = f"{_PENDING} WHERE campaign_id = ? AND outcome = 0 AND sent_at > ? ORDER BY sent_at, id"


def encode_lane(account_id: int, priority: Priority, rank: Rank) -> int:
    """The lane of an account's messages."""
    return (account_id << _BITS | priority) << _BITS | rank


def find_lane(message: Message) -> int | None:
    """The lane of a message; None when nothing is to be polled."""
    if not message.unsettled:
        return None
    return encode_lane(message.account_id, message.priority, schedule.get_rank(message))


def read_priority(lane: int | None) -> Priority:
    """The priority in a lane; ValueError for none that was ever written."""
    return Priority.NORMAL if lane is None else Priority(lane >> _BITS & 3)


def _list_lanes(account_id: int, priority: Priority) -> list[int]:
    return [encode_lane(account_id, priority, rank) for rank in Rank]


@dataclass(slots=True)
class _Place:
    """How far the pending messages of a campaign, by time of sending, need no more looking at."""

    deadline_us: int
    start: tuple[int, int] = (-_NEVER, 0)
    """Time of sending and row of the first that may be unjudged."""
    resume: tuple[int, int] | None = None
    """Where to go on after a look that was cut short; None for the start."""


class _Places(dict[int, _Place]):
    """A place for each campaign."""

    def find(self, campaign_id: int, policy: Policy) -> _Place:
        place = self.get(campaign_id)
        if place is None or place.deadline_us != policy.deadline_us:
            place = self[campaign_id] = _Place(policy.deadline_us)
        return place

    def add(self, campaign_id: int, sent_at: int) -> None:
        """A new message was sent then."""
        place = self.get(campaign_id)
        if place is not None:
            place.start = min(place.start, (sent_at, 0))


@dataclass(slots=True)
class DueCounts:
    """How many messages are due, kept by increments: counting a million would take 50 ms each time."""

    _counted: dict[tuple[int, Priority], tuple[int, int]] = field(default_factory=dict)
    """Until which time, and how many."""

    def move(self, before: Message | None, after: Message | None) -> None:
        """Note that a message was, or is now, due at another time or not at all; both are as committed."""
        for message, amount in ((before, -1), (after, 1)):
            if message is not None and message.unsettled:
                self.add(message.account_id, message.priority, message.due_at, amount)

    def add(self, account_id: int, priority: Priority, due_at: int, amount: int = 1) -> None:
        """Note that so many messages more are due at that time."""
        until, count = self._counted.get((account_id, priority), (-_NEVER, 0))
        if due_at <= until:
            self._counted[account_id, priority] = until, count + amount

    def count(self, cursor: sqlite3.Cursor, account_id: int, priority: Priority, now: int) -> int:
        """How many are due at `now`, which is never before the `now` of the call before."""
        until, count = self._counted.get((account_id, priority), (-_NEVER, 0))
        if now > until:
            for lane in _list_lanes(account_id, priority):
                (more,) = cursor.execute(_COUNT_DUE, (lane, until, now)).fetchone()
                count += more
            self._counted[account_id, priority] = now, count
        return count

    def forget(self) -> None:
        """Count from the start next time."""
        self._counted.clear()


@dataclass(slots=True)
class Found:
    """What a claim found; see `Claimed`."""

    rows: dict[int, None]
    """In the order of polls."""
    next_due_at: int | None = None
    passed_over: list[str] = field(default_factory=list)

    def note_due(self, due_at: int) -> None:
        """Note that there will be more then."""
        if self.next_due_at is None or due_at < self.next_due_at:
            self.next_due_at = due_at


class PollQueue:
    """The order of polls; what it remembers only saves queries."""

    def __init__(self) -> None:
        self._deadlines = _Places()
        self._lapses = _Places()
        self._now = 0
        self.due = DueCounts()

    def add(self, campaign_id: int, sent_at: int) -> None:
        """Note that messages were tracked that were sent then."""
        self._deadlines.add(campaign_id, sent_at)
        self._lapses.add(campaign_id, sent_at)

    # --- what to poll -----------------------------------------------------------------------------

    def find_due(self, cursor: sqlite3.Cursor, claim: Claim) -> Found:
        """Find the rows to poll now."""
        found = Found(dict.fromkeys(self._find_at_deadline(cursor, claim)))
        for rank in Rank:
            if len(found.rows) < claim.limit:
                _find_in_lane(cursor, claim, rank, found)
        if len(found.rows) == claim.limit:
            found.next_due_at = claim.queue_now
        return found

    def _find_at_deadline(self, cursor: sqlite3.Cursor, claim: Claim) -> Iterable[int]:
        if claim.now < self._now - SECOND_US:
            # The wall clock was set back: deadlines that had passed will pass again.
            self._deadlines.clear()
        self._now = claim.now
        found: list[tuple[int, int]] = []
        for campaign_id, policy in claim.policies.items():
            place = self._deadlines.find(campaign_id, policy)
            if place.start[0] + policy.deadline_us <= claim.now:
                sent = _look_at_deadline(cursor, claim, campaign_id, place)
                found += [(sent_at + policy.deadline_us, row) for sent_at, row in sent]
        return (row for _, row in sorted(found)[: claim.limit])

    # --- what was not polled in time ----------------------------------------------------------------

    def find_lapsed(
        self, cursor: sqlite3.Cursor, policies: Mapping[int, Policy], now: int, limit: int
    ) -> list[int]:
        """Rows whose deadline passed too long ago to be observed, looking at no more than `limit`."""
        lapsed: list[int] = []
        for campaign_id, policy in policies.items():
            place = self._lapses.find(campaign_id, policy)
            sent_before = now - policy.deadline_us - compute_tolerance_us(policy.deadline_us)
            if place.start[0] >= sent_before:
                continue
            end = _END
            for row, sent_at, verdict, *_ in _list_pending(cursor, campaign_id, place.start):
                if sent_at >= sent_before or limit <= 0:
                    end = sent_at, row
                    break
                limit -= 1
                if verdict == Verdict.NONE:
                    lapsed.append(row)
            place.start = end
        return lapsed

    def look_again(self) -> None:
        """Note that what `find_lapsed` found could not be written."""
        self._lapses.clear()


def _list_pending(
    cursor: sqlite3.Cursor, campaign_id: int, start: tuple[int, int]
) -> Iterator[tuple[int, int, int, int | None, int, str]]:
    """Pending messages of a campaign by time of sending."""
    sent_at, row = start
    if row:
        yield from cursor.connection.execute(_SELECT_SENT_AT, (campaign_id, sent_at, row))
    else:
        sent_at -= 1
    yield from cursor.connection.execute(_SELECT_SENT_AFTER, (campaign_id, sent_at))


def _look_at_deadline(
    cursor: sqlite3.Cursor, claim: Claim, campaign_id: int, place: _Place
) -> list[tuple[int, int]]:
    """Due and unjudged messages whose deadline has just passed: when they were sent, and their rows."""
    sent_until = claim.now - place.deadline_us
    place.start = max(place.start, (sent_until - compute_tolerance_us(place.deadline_us), 0))
    start, resumed = place.start, place.resume is not None and place.resume > place.start
    if resumed and place.resume is not None:
        start = place.resume
    place.resume = None
    lane = encode_lane(claim.account_id, claim.priority, Rank(0))
    found: list[tuple[int, int]] = []
    all_judged, end, looked_at = not resumed, _END, 0
    for row, sent_at, verdict, in_lane, due_at, message_id in _list_pending(cursor, campaign_id, start):
        if sent_at > sent_until:
            end = sent_at, row
            break
        looked_at += 1
        if looked_at > SCAN_ROWS:
            end = place.resume = sent_at, row
            break
        if verdict != Verdict.NONE:
            continue
        if all_judged:
            place.start, all_judged = (sent_at, row), False
        ours = in_lane is not None and in_lane >> _BITS == lane >> _BITS
        if ours and due_at <= claim.queue_now and message_id not in claim.held:
            found.append((sent_at, row))
            if len(found) == claim.limit:
                break
    if all_judged:
        place.start = end
    return found


def _find_in_lane(cursor: sqlite3.Cursor, claim: Claim, rank: Rank, found: Found) -> None:
    """Add due rows of one lane, up to the limit of the claim."""
    lane = encode_lane(claim.account_id, claim.priority, rank)
    looked_at = 0
    for row, message_id, campaign_id, sent_at in cursor.connection.execute(
        _SELECT_LANE, (lane, claim.queue_now)
    ):
        looked_at += 1
        if looked_at > SCAN_ROWS:
            found.note_due(claim.queue_now + _LATER_US)
            return
        if row in found.rows:
            continue
        if message_id in claim.held:
            found.passed_over.append(message_id)
            continue
        policy = claim.policies.get(campaign_id) if rank is Rank.UNJUDGED else None
        quiet_us = sent_at + policy.deadline_us - claim.now if policy is not None else 0
        if 0 < quiet_us <= QUIET_US:
            found.note_due(claim.queue_now + quiet_us)
            continue
        found.rows[row] = None
        if len(found.rows) == claim.limit:
            return
    (due_at,) = cursor.execute(_SELECT_NEXT, (lane, claim.queue_now)).fetchone()
    if due_at is not None:
        found.note_due(due_at)
