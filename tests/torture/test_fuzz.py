"""A short version of the fuzz campaign; at length: `python -m tests.torture fuzz`."""

from __future__ import annotations

from tests.ingest.drop.parsing import parse
from tests.torture.test_campaigns import campaign


def test_no_input_crashes_hangs_or_makes_anything_grow() -> None:
    """Dropped files, answers, webhooks, headers, ids and configurations, damaged in all ways."""
    assert campaign("fuzz", "--count", "1000") == ""


def test_nothing_is_refused_after_a_header_that_is_none() -> None:
    """Found by the campaign: a line too long was, if it came in one piece with the header."""
    content = "note\nabc\n" + "x" * 5_000 + "\n"
    assert parse(".csv", content) == parse(".csv", content, piece_bytes=4_500) == ([], [], "no_header")
