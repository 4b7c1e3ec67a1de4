"""What counters grew by lately, as this process saw it."""

from __future__ import annotations

from exporter.domain.snapshot import HOUR_US, Kind, SeriesKey, Snapshot
from exporter.status.counter_history import Marks

FIRST, SECOND = SeriesKey(1, Kind.TRACKED, "drop"), SeriesKey(2, Kind.TRACKED, "drop")


def snapshot(hour: float, **values: int) -> Snapshot:
    """A snapshot so many hours after the start, with the series `first` and `second`."""
    keys = {"first": FIRST, "second": SECOND}
    series = {keys[name]: value for name, value in values.items()}
    return Snapshot(1, 0, values=series, taken_at=int((1_000 + hour) * HOUR_US))


def test_what_an_earlier_run_counted_is_not_growth() -> None:
    """And a series that comes later grew from 0."""
    marks = Marks(24 * HOUR_US, HOUR_US)
    marks.note(snapshot(0, first=100))
    later = snapshot(0.5, first=103, second=7)
    marks.note(later)
    growth = marks.growth(later)
    assert growth.amounts == {FIRST: 3, SECOND: 7}
    assert growth.since == snapshot(0).taken_at


def test_growth_is_of_the_span_and_of_no_more_than_a_step_beyond_it() -> None:
    """For days on end, with one mark an hour."""
    marks = Marks(24 * HOUR_US, HOUR_US)
    for quarter in range(4 * 72):
        marks.note(snapshot(quarter / 4, first=quarter))
    now = snapshot(72, first=4 * 72)
    marks.note(now)
    growth = marks.growth(now)
    assert growth.amounts == {FIRST: 4 * 24}
    assert growth.since == now.taken_at - 24 * HOUR_US
    assert len(marks) == 25


def test_a_quiet_time_leaves_the_mark_before_it() -> None:
    """Increase since a mark that is older than the span, when nothing was published meanwhile."""
    marks = Marks(24 * HOUR_US, HOUR_US)
    marks.note(snapshot(0, first=1))
    marks.note(snapshot(1, first=2))
    late = snapshot(100, first=5)
    marks.note(late)
    assert marks.growth(late).amounts == {FIRST: 3}


def test_before_anything_was_published_nothing_grew() -> None:
    """And what is there is not taken for growth."""
    assert Marks(HOUR_US, HOUR_US).growth(snapshot(0, first=5)).amounts == {FIRST: 0}
