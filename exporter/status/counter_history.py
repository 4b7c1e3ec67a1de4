"""What counters grew by lately, as far as this process has seen them: PromQL's `increase`, in memory."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from exporter.domain.snapshot import SeriesKey, Snapshot


class _Mark(NamedTuple):
    """All counters at one moment, in the order of the snapshot's series.

    By position: series are only ever added, at the end. Eight bytes each, so that a day's marks
    of a thousand campaigns are a few megabytes.
    """

    at: int
    values: array[int]


class Increase(NamedTuple):
    """How much each series grew, and since when."""

    since: int
    amounts: Mapping[SeriesKey, int]


@dataclass(eq=False)
class Marks:
    """The counters now and then, over the last `span_us`."""

    span_us: int
    every_us: int
    _marks: deque[_Mark] = field(default_factory=deque)

    def __len__(self) -> int:
        """How many marks are kept."""
        return len(self._marks)

    def note(self, snapshot: Snapshot) -> None:
        """Take in a snapshot that was just made."""
        at = snapshot.taken_at
        if not self._marks or at // self.every_us > self._marks[-1].at // self.every_us:
            self._marks.append(_mark(snapshot))
        # The oldest one that is kept began the span, or is the last before it.
        while len(self._marks) > 1 and self._marks[1].at <= at - self.span_us:
            self._marks.popleft()

    def growth(self, snapshot: Snapshot) -> Increase:
        """From the beginning of the span to `snapshot`; 0 before the first mark."""
        began = self._marks[0] if self._marks else _mark(snapshot)
        known = len(began.values)
        amounts = {
            key: value - began.values[position] if position < known else value
            for position, (key, value) in enumerate(snapshot.values.items())
        }
        return Increase(began.at, amounts)


def _mark(snapshot: Snapshot) -> _Mark:
    return _Mark(snapshot.taken_at, array("q", snapshot.values.values()))
