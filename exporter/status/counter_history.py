"""The recent increase of counters since this process started: PromQL's `increase`, in memory."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from exporter.domain.snapshot import SeriesKey, Snapshot


class _Sample(NamedTuple):
    """All counters at one time, in the order of the snapshot's series.

    By position, since series are only added at the end. Eight bytes each, so that a day of
    samples for a thousand campaigns is a few megabytes.
    """

    at: int
    values: array[int]


class Increase(NamedTuple):
    """How much each series has increased, and since when."""

    since: int
    amounts: Mapping[SeriesKey, int]


@dataclass(eq=False)
class CounterHistory:
    """Samples of the counters over the last `span_us`, one every `every_us`."""

    span_us: int
    every_us: int
    _samples: deque[_Sample] = field(default_factory=deque)

    def __len__(self) -> int:
        return len(self._samples)

    def record(self, snapshot: Snapshot) -> None:
        """Record a new snapshot."""
        at = snapshot.taken_at
        if not self._samples or at // self.every_us > self._samples[-1].at // self.every_us:
            self._samples.append(_take_sample(snapshot))
        # The oldest kept sample is at the begin of the span, or the last one before it.
        while len(self._samples) > 1 and self._samples[1].at <= at - self.span_us:
            self._samples.popleft()

    def compute_increase(self, snapshot: Snapshot) -> Increase:
        """The increase from the begin of the span to `snapshot`; 0 before the first sample."""
        began = self._samples[0] if self._samples else _take_sample(snapshot)
        known = len(began.values)
        amounts = {
            key: value - began.values[position] if position < known else value
            for position, (key, value) in enumerate(snapshot.values.items())
        }
        return Increase(began.at, amounts)


def _take_sample(snapshot: Snapshot) -> _Sample:
    return _Sample(snapshot.taken_at, array("q", snapshot.values.values()))
