"""Which messages are due: a calendar of row numbers for one account.

A million pending messages must be cheap, so an entry is one 64-bit integer (row
and revision) in an array, and two while it waits more than a minute:

- *far*: a dictionary of minutes, each an array of (entry, due) pairs;
- *near*: a dictionary of ticks of 100 ms, each an array of entries;
- *ready*: what is due, in order, first looks apart from repeated ones.

An entry can't be taken out again. What supersedes it raises the message's
revision, and the reader of an entry compares. Times are monotonic
microseconds.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from exporter.domain.model import SECOND_US, Priority

TICK_US = SECOND_US // 10
_MINUTE_TICKS = 600
_REVISION_BITS = 8
_REVISION_MASK = (1 << _REVISION_BITS) - 1

SHARES_PERCENT = {Priority.HIGH: 0, Priority.NORMAL: 20, Priority.LOW: 10}
"""What a class gets of the looks while others press; high comes first with the rest."""
_WHOLE_TURN = 100
_FRESH_PER_REPEAT = 3


class Entry(NamedTuple):
    """One due message."""

    row: int
    revision: int
    """Modulo the cycle of `next_revision`."""
    due_at: int
    priority: Priority


def next_revision(revision: int) -> int:
    """The revision after this one: 1 to 255 and over again; only a message never looked at has 0."""
    return revision % _REVISION_MASK + 1


class _Queue:
    """Entries that are due, oldest first."""

    def __init__(self) -> None:
        self._chunks: deque[tuple[int, array[int]]] = deque()
        self._taken = 0
        self.size = 0

    def push(self, tick: int, entries: array[int]) -> None:
        if entries:
            self._chunks.append((tick, entries))
            self.size += len(entries)

    def pop(self) -> tuple[int, int]:
        tick, entries = self._chunks[0]
        entry = entries[self._taken]
        self._taken += 1
        self.size -= 1
        if self._taken == len(entries):
            self._chunks.popleft()
            self._taken = 0
        return tick, entry


class _Lane:
    """The calendar of one priority."""

    def __init__(self, tick: int) -> None:
        self._far: dict[int, array[int]] = {}
        self._near: dict[int, array[int]] = {}
        self._tick = tick
        self._minute = tick // _MINUTE_TICKS
        self._fresh = _Queue()
        self._repeat = _Queue()
        self._fresh_in_a_row = 0

    @property
    def ready(self) -> int:
        return self._fresh.size + self._repeat.size

    def add(self, entry: int, due_tick: int) -> None:
        due_tick = max(due_tick, self._tick + 1)
        minute = due_tick // _MINUTE_TICKS
        if minute > self._minute:
            self._far.setdefault(minute, array("q")).extend((entry, due_tick))
        else:
            self._near.setdefault(due_tick, array("q")).append(entry)

    def advance(self, tick: int) -> None:
        """Make ready all that is due by `tick`."""
        if tick <= self._tick:
            return
        minute = tick // _MINUTE_TICKS
        if minute > self._minute:
            for due_minute in [m for m in self._far if m <= minute]:
                pairs = self._far.pop(due_minute)
                for i in range(0, len(pairs), 2):
                    self._near.setdefault(pairs[i + 1], array("q")).append(pairs[i])
            self._minute = minute
        span = range(self._tick + 1, tick + 1)
        due = span if len(span) <= len(self._near) else sorted(t for t in self._near if t <= tick)
        for due_tick in due:
            entries = self._near.pop(due_tick, None)
            if entries:
                self._make_ready(due_tick, entries)
        self._tick = tick

    def _make_ready(self, tick: int, entries: array[int]) -> None:
        repeats = array("q", (e for e in entries if e & _REVISION_MASK))
        if len(repeats) == len(entries):
            self._repeat.push(tick, entries)
            return
        self._repeat.push(tick, repeats)
        self._fresh.push(tick, array("q", (e for e in entries if not e & _REVISION_MASK)))

    def pop(self) -> tuple[int, int]:
        """First looks go before repeated ones, but never starve them."""
        take_fresh = self._fresh.size and (not self._repeat.size or self._fresh_in_a_row < _FRESH_PER_REPEAT)
        if take_fresh:
            self._fresh_in_a_row += 1
            return self._fresh.pop()
        self._fresh_in_a_row = 0
        return self._repeat.pop()

    def next_due_tick(self) -> int | None:
        """The earliest tick with something on it, exact within the minute; None when empty."""
        if self.ready:
            return self._tick
        if self._near:
            return min(self._near)
        return min(self._far) * _MINUTE_TICKS if self._far else None

    def __len__(self) -> int:
        return self.ready + sum(map(len, self._near.values())) + sum(map(len, self._far.values())) // 2


class Agenda:
    """All entries of one account, and the order in which they are taken."""

    def __init__(self, now: int) -> None:
        """Start empty at the monotonic instant `now`."""
        self._lanes = {priority: _Lane(now // TICK_US) for priority in Priority}

    def add(self, priority: Priority, row: int, revision: int, due_at: int) -> None:
        """Note that `row` is due at the monotonic instant `due_at`; never taken before it."""
        entry = row << _REVISION_BITS | revision
        self._lanes[priority].add(entry, -(-due_at // TICK_US))

    def advance(self, now: int) -> None:
        """Make ready all that is due by `now`."""
        for lane in self._lanes.values():
            lane.advance(now // TICK_US)

    def ready(self, priority: Priority) -> int:
        """How many entries of this priority are due."""
        return self._lanes[priority].ready

    def pop(self, priority: Priority) -> Entry | None:
        """Take the entry of this priority whose turn it is, or None when none is due."""
        lane = self._lanes[priority]
        if not lane.ready:
            return None
        tick, entry = lane.pop()
        return Entry(entry >> _REVISION_BITS, entry & _REVISION_MASK, tick * TICK_US, priority)

    def next_due_at(self, priorities: Iterable[Priority] = Priority) -> int | None:
        """The monotonic instant by which to call `advance` again for these; None when they have nothing."""
        ticks = [t for p in priorities if (t := self._lanes[p].next_due_tick()) is not None]
        return min(ticks) * TICK_US if ticks else None

    def __len__(self) -> int:
        """How many entries there are, superseded ones included."""
        return sum(map(len, self._lanes.values()))


class Turns:
    """Whose turn it is among the priorities that have something due."""

    def __init__(self) -> None:
        """Nobody has waited yet."""
        self._credit = dict.fromkeys(Priority, 0)

    def choose(self, waiting: Sequence[Priority]) -> Priority:
        """The first of `waiting` (in order), unless one behind it has earned its turn by waiting."""
        for priority in waiting[1:]:
            self._credit[priority] += SHARES_PERCENT[priority]
        earned = [priority for priority in waiting[1:] if self._credit[priority] >= _WHOLE_TURN]
        chosen = earned[0] if earned else waiting[0]
        self._credit[chosen] = self._credit[chosen] - _WHOLE_TURN if earned else 0
        return chosen
