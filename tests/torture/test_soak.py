"""A short version of the soak; at length: `python -m tests.torture soak --virtual-hours 72`."""

from __future__ import annotations

from tests.torture.test_campaigns import campaign


def test_hours_of_traffic_grow_nothing() -> None:
    """Descriptors, files and series stay where they are; every message is counted."""
    assert campaign("soak", "--virtual-hours", "2") == ""
