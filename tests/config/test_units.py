"""Durations as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.units import duration_hint, parse_duration_us


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("5s", 5_000_000),
        ("250ms", 250_000),
        ("2m", 120_000_000),
        ("1h30m", 5_400_000_000),
        ("7d", 604_800_000_000),
        ("1w", 604_800_000_000),
        ("1m1ms", 60_001_000),
        ("0s", 0),
    ],
)
def test_numbers_with_units_are_added_up(text: str, microseconds: int) -> None:
    """Minutes and milliseconds are not confused, and every unit counts."""
    assert parse_duration_us(text) == microseconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "30",
        "s",
        "5 s",
        "5S",
        "-5s",
        "1.5h",
        "30m1h",
        "1s1s",
        "5y",
        "5s\n",
        "\N{ARABIC-INDIC DIGIT FIVE}s",
        "1e3s",
        "inf",
    ],
)
def test_anything_else_is_no_duration(text: str) -> None:
    """Plain numbers, other units, wrong order and repetition are refused, not guessed at."""
    assert parse_duration_us(text) is None


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("30", "write 30s"),
        ("5min", "write 5m"),
        ("2 hours", "write 2h"),
        ("10SEC", "write 10s"),
        ("100 milliseconds", "write 100ms"),
        ("100MS", "write 100ms"),
        ("1y", "write 365d"),
        ("2 years", "write 730d"),
        ("3mo", "write 90d"),
        ("1 month", "write 30d"),
        ("1.5h", "write 1h30m"),
        ("0.5 days", "write 12h"),
        ("30m1h", "write 1h30m"),
        ("1h 30min", "write 1h30m"),
    ],
)
def test_a_hint_says_what_was_probably_meant(text: str, hint: str) -> None:
    """A number with words becomes a number with a unit, and the hint can be followed."""
    assert duration_hint(text) == hint
    assert parse_duration_us(hint.removeprefix("write ")) is not None


@pytest.mark.parametrize("text", ["20 years", "10000000000s"])
def test_a_hint_asks_for_nothing_that_is_refused(text: str) -> None:
    """What is meant may be more than there can be."""
    assert duration_hint(text) == "write at most 3650d"


@pytest.mark.parametrize(
    "text", ["1M", "5mb", "3 microseconds", "10us", "2 fortnights", "1e3s", "1,5h", "inf", "true", "-5s", "y"]
)
def test_a_hint_guesses_at_nothing(text: str) -> None:
    """A unit that is none here, or could be two, is not taken for another."""
    assert duration_hint(text) == "write a number and a unit, such as 250ms, 30s, 5m, 1h30m or 7d"


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    """Any text is a duration or none, and has a hint."""
    duration_us = parse_duration_us(text)
    assert duration_us is None or duration_us >= 0
    assert duration_hint(text).startswith("write ")


@given(st.tuples(*[st.integers(0, 999)] * 5))
def test_what_is_written_is_read_back(numbers: tuple[int, ...]) -> None:
    """Any combination of units means the sum of its parts."""
    units = {"w": 604_800_000_000, "d": 86_400_000_000, "h": 3_600_000_000, "m": 60_000_000, "ms": 1_000}
    text = "".join(f"{number}{unit}" for number, unit in zip(numbers, units, strict=True))
    assert parse_duration_us(text) == sum(
        number * unit_us for number, unit_us in zip(numbers, units.values(), strict=True)
    )
