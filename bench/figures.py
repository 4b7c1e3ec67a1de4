"""The figures of each round, and how they are printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple, TypeAlias

Round: TypeAlias = Mapping[str, float]
"""The figures of one round, by a name that includes the unit."""

_MANY_DIGITS_FROM = 100


class Plan(NamedTuple):
    """How much to measure."""

    rounds: int
    quick: bool
    """Tiny sizes, whose figures mean nothing."""

    def choose_size(self, full: int, tiny: int) -> int:
        """Choose a size."""
        return tiny if self.quick else full


def format_table(rounds: Sequence[Round]) -> str:
    """Print a line for each figure: the median over the rounds, minimum and maximum."""
    width = max(map(len, rounds[0]))
    lines = []
    for name in rounds[0]:
        values = [one[name] for one in rounds]
        spread = (
            f"  ({_format_number(min(values))} .. {_format_number(max(values))})" if len(values) > 1 else ""
        )
        lines.append(f"  {name:<{width}}  {_format_number(median(values)):>10}{spread}\n")
    return "".join(lines)


def _format_number(value: float) -> str:
    return f"{value:,.0f}" if value >= _MANY_DIGITS_FROM else f"{value:.3g}"
