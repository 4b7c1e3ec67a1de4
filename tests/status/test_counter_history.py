"""The recent increase of counters, as seen by this process."""

from __future__ import annotations

from exporter.domain.snapshot import HOUR_US, Kind, SeriesKey, Snapshot
from exporter.status.counter_history import CounterHistory

FIRST, SECOND = SeriesKey(1, Kind.TRACKED, "drop"), SeriesKey(2, Kind.TRACKED, "drop")


def make_snapshot(hour: float, **values: int) -> Snapshot:
    """A snapshot so many hours after the start, with the series `first` and `second`."""
    keys = {"first": FIRST, "second": SECOND}
    series = {keys[name]: value for name, value in values.items()}
    return Snapshot(1, 0, values=series, taken_at=int((1_000 + hour) * HOUR_US))


def test_counts_of_an_earlier_run_are_no_increase() -> None:
    """And a series that is added later increases from 0."""
    history = CounterHistory(24 * HOUR_US, HOUR_US)
    history.record(make_snapshot(0, first=100))
    later = make_snapshot(0.5, first=103, second=7)
    history.record(later)
    increase = history.compute_increase(later)
    assert increase.amounts == {FIRST: 3, SECOND: 7}
    assert increase.since == make_snapshot(0).taken_at


def test_the_increase_covers_the_span_and_at_most_one_step_more() -> None:
    """For days, with one sample an hour."""
    history = CounterHistory(24 * HOUR_US, HOUR_US)
    for quarter in range(4 * 72):
        history.record(make_snapshot(quarter / 4, first=quarter))
    now = make_snapshot(72, first=4 * 72)
    history.record(now)
    increase = history.compute_increase(now)
    assert increase.amounts == {FIRST: 4 * 24}
    assert increase.since == now.taken_at - 24 * HOUR_US
    assert len(history) == 25


def test_a_gap_keeps_the_sample_before_it() -> None:
    """The increase since a sample older than the span, when nothing was published meanwhile."""
    history = CounterHistory(24 * HOUR_US, HOUR_US)
    history.record(make_snapshot(0, first=1))
    history.record(make_snapshot(1, first=2))
    late = make_snapshot(100, first=5)
    history.record(late)
    assert history.compute_increase(late).amounts == {FIRST: 3}


def test_before_the_first_snapshot_there_is_no_increase() -> None:
    """Existing values do not count as one."""
    assert CounterHistory(HOUR_US, HOUR_US).compute_increase(make_snapshot(0, first=5)).amounts == {FIRST: 0}
