"""Durations as people write them: `5s`, `250ms`, `1h30m`, `7d`; and time windows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from exporter.domain.model import SECOND_US

_UNITS_US = {
    "w": 7 * 86_400 * SECOND_US,
    "d": 86_400 * SECOND_US,
    "h": 3_600 * SECOND_US,
    "m": 60 * SECOND_US,
    "s": SECOND_US,
    "ms": SECOND_US // 1_000,
}
MAX_DURATION_US = 3_650 * _UNITS_US["d"]
"""Ten years: far beyond any sense, and far below what a 64-bit column holds."""

DURATION_PATTERN = "".join(f"(?:[0-9]{{1,9}}{unit})?" for unit in _UNITS_US)
"""Each unit at most once, the largest first; alone it would match nothing at all, too."""
_DURATION = re.compile(DURATION_PATTERN, re.ASCII)
_PART = re.compile(r"([0-9]+)([a-z]+)", re.ASCII)
_SPELLINGS_US = {
    spelling: unit_us
    for names, unit_us in {
        "ms msec msecs milli millis millisecond milliseconds": _UNITS_US["ms"],
        "s sec secs second seconds": _UNITS_US["s"],
        "m min mins minute minutes": _UNITS_US["m"],
        "h hr hrs hour hours": _UNITS_US["h"],
        "d day days": _UNITS_US["d"],
        "w wk wks week weeks": _UNITS_US["w"],
        "mo mos mon month months": 30 * _UNITS_US["d"],
        "y yr yrs year years": 365 * _UNITS_US["d"],
    }.items()
    for spelling in names.split()
}
"""What people write for a unit, also for those that are none here."""
_SPELT_PART = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)\s*([A-Za-z]+)\s*", re.ASCII)
_SPELT = re.compile(f"(?:{_SPELT_PART.pattern})+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time up to now, for the ratio gauges."""

    label: str
    """As it was written: the value of the label `window`."""
    duration_us: int


def parse_duration_us(text: str) -> int | None:
    """Microseconds that `text` stands for, or more than the maximum; None when it is none."""
    if not text or _DURATION.fullmatch(text) is None:
        return None
    return sum(int(number) * _UNITS_US[unit] for number, unit in _PART.findall(text))


def duration_hint(text: str) -> str:
    """What to write in place of `text`, which is no duration; may repeat its number."""
    if re.fullmatch("[0-9]{1,9}", text, re.ASCII):
        return f"write {text}s"
    meant_us = _meant_us(text)
    if meant_us is None:
        return "write a number and a unit, such as 250ms, 30s, 5m, 1h30m or 7d"
    return f"write {_written(meant_us)}" if meant_us <= MAX_DURATION_US else "write at most 3650d"


def _meant_us(text: str) -> int | None:
    """What units in other spellings or in another order add up to; None when that is a guess."""
    if _SPELT.fullmatch(text.strip()) is None:
        return None
    total_us = Decimal(0)
    for number, unit in _SPELT_PART.findall(text):
        # To some, 1M is a month.
        if unit == "M" or unit.lower() not in _SPELLINGS_US:
            return None
        total_us += Decimal(number) * _SPELLINGS_US[unit.lower()]
    return int(total_us) if total_us % _UNITS_US["ms"] == 0 else None


def _written(duration_us: int) -> str:
    """A duration in the units that make it shortest to read, without weeks."""
    text = ""
    for unit, unit_us in _UNITS_US.items():
        if unit != "w" and duration_us >= unit_us:
            text += f"{duration_us // unit_us}{unit}"
            duration_us %= unit_us
    return text or "0s"
