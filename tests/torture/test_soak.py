"""Short versions of the soak and of the hour at ten times the load; at length: `make torture`."""

from __future__ import annotations

from tests.torture.test_campaigns import campaign


def test_hours_of_traffic_grow_nothing() -> None:
    """Descriptors, files and series stay where they are; every message is counted."""
    assert campaign("soak", "--virtual-hours", "2") == ""


def test_seconds_at_ten_times_the_usual_load() -> None:
    """With everything on and going wrong: the totals agree, scrapes are answered, the log has no error."""
    assert campaign("soak-realtime", "--seconds", "8") == ""
