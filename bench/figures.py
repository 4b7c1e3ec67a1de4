"""What was measured, round by round, and how it is printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple, TypeAlias

Round: TypeAlias = Mapping[str, float]
"""What one round measured, by a name that says the unit."""

_MANY_DIGITS_FROM = 100


class Plan(NamedTuple):
    """How much to measure."""

    rounds: int
    quick: bool
    """Tiny sizes, whose figures mean nothing."""

    def size(self, full: int, tiny: int) -> int:
        """How many of something."""
        return tiny if self.quick else full


def table(rounds: Sequence[Round]) -> str:
    """A line a figure: its median over the rounds, and its least and greatest value."""
    width = max(map(len, rounds[0]))
    lines = []
    for name in rounds[0]:
        values = [one[name] for one in rounds]
        spread = f"  ({_number(min(values))} .. {_number(max(values))})" if len(values) > 1 else ""
        lines.append(f"  {name:<{width}}  {_number(median(values)):>10}{spread}\n")
    return "".join(lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= _MANY_DIGITS_FROM else f"{value:.3g}"
