"""Durations as people write them: `5s`, `250ms`, `1h30m`, `7d`; and time windows."""

from __future__ import annotations

import re
from dataclasses import dataclass

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
_ALMOST = re.compile(r"([0-9]{1,9})\s*(ms|milli|[smhdw]|)[a-z]*", re.ASCII | re.IGNORECASE)


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
    almost = _ALMOST.fullmatch(text.strip())
    if almost is None:
        return "write a number and a unit, such as 250ms, 30s, 5m, 1h30m or 7d"
    number, unit = almost.groups()
    return f"write {number}{'ms' if unit.lower() == 'milli' else unit.lower() or 's'}"
