"""Times and counts as people say them."""

from __future__ import annotations

import pytest

from exporter.status.formatting import ago, counted, date_and_time, iso, listed, share, span


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.04, "0 s"),
        (2.5, "2.5 s"),
        (7, "7 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (201, "3 min 21 s"),
        (26 * 60 + 33, "26 min"),
        (7_800, "2 h 10 min"),
        (86_399, "23 h"),
        (86_400 * 3 + 4 * 3_600, "3 d 4 h"),
        (-5, "0 s"),
    ],
)
def test_a_duration_is_as_exact_as_matters(seconds: float, words: str) -> None:
    """Two units at most, and one where the second would say nothing new."""
    assert span(seconds) == words


def test_what_has_just_been_is_not_ago() -> None:
    """Nor is what a clock that is a little behind takes for the future."""
    assert [ago(0.2), ago(-3), ago(3.4)] == ["just now", "just now", "3 s ago"]


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (1.0, "100 %"),
        (0.99999, "> 99.9 %"),
        (0.9512, "95.1 %"),
        (0.9, "90 %"),
        (0.00001, "< 0.1 %"),
        (0.0, "0 %"),
    ],
)
def test_a_share_is_all_or_nothing_only_when_it_is(ratio: float, words: str) -> None:
    """Rounding never hides the one that failed."""
    assert share(ratio) == words


def test_instants_are_utc_and_never_fail() -> None:
    """Whatever a stored time may be."""
    assert date_and_time(1_795_000_020.9) == "2026-11-18 11:07:00"
    assert iso(1_795_000_020) == "2026-11-18T11:07:00Z"
    assert date_and_time(9e12).startswith("9999-12-31")


def test_a_list_is_a_sentence_and_stays_short() -> None:
    """With a count of what is left out."""
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(list("abcdefg")) == "a, b, c, d, e and 2 more"
    assert [counted(1, "message"), counted(1_200, "message")] == ["1 message", "1,200 messages"]
