"""Times, counts and ratios in the form that people read."""

from __future__ import annotations

import pytest

from exporter.status.formatting import (
    format_age,
    format_amount,
    format_count,
    format_date_time,
    format_duration,
    format_iso,
    format_latency,
    format_list,
    format_share,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
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
def test_a_duration_has_one_or_two_units(seconds: float, text: str) -> None:
    """One where the second would not matter."""
    assert format_duration(seconds) == text


def test_an_age_below_a_second_is_just_now() -> None:
    """Also a small negative one, from a clock that is a little behind."""
    assert [format_age(0.2), format_age(-3), format_age(3.4)] == ["just now", "just now", "3 s ago"]


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (1.0, "100 %"),
        (0.99999, "> 99.9 %"),
        (0.9512, "95.1 %"),
        (0.9, "90 %"),
        (0.00001, "< 0.1 %"),
        (0.0, "0 %"),
    ],
)
def test_a_share_is_0_or_100_percent_only_when_exact(ratio: float, text: str) -> None:
    """Rounding never hides a single failure."""
    assert format_share(ratio) == text


def test_times_are_utc_and_never_fail() -> None:
    """Whatever time is stored."""
    assert format_date_time(1_795_000_020.9) == "2026-11-18 11:07:00"
    assert format_iso(1_795_000_020) == "2026-11-18T11:07:00Z"
    assert format_date_time(9e12).startswith("9999-12-31")


def test_a_list_is_part_of_a_sentence_and_stays_short() -> None:
    """With a count of the rest."""
    assert format_list(["a"]) == "a"
    assert format_list(["a", "b", "c"]) == "a, b and c"
    assert format_list(list("abcdefg")) == "a, b, c, d, e and 2 more"
    assert [format_count(1, "message"), format_count(1_200, "message")] == ["1 message", "1,200 messages"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0123, "12 ms"), (0.9994, "999 ms"), (1.0, "1 s"), (61, "1 min 1 s")]
)
def test_a_latency_below_a_second_is_in_milliseconds(seconds: float, text: str) -> None:
    """Longer ones are durations like all others."""
    assert format_latency(seconds) == text


def test_money_has_two_decimals_and_groups() -> None:
    """As on an invoice."""
    assert [format_amount(amount) for amount in (0.0, 0.0625, 1_234.5)] == ["0.00", "0.06", "1,234.50"]
