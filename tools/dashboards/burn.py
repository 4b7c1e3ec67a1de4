"""How fast an error budget may burn before an alert fires, for any objective.

A burn rate of 6 means missing 6 times what the objective allows. The classic
14.4 can't happen below an objective of about 0.93: it would need more misses
than messages. So each class of objectives has factors of its own, and the share
of misses that each asks for stays below `BURN_CEILING`; `classes` refuses others.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from tools.dashboards.constants import BURN_CEILING


class Pace(NamedTuple):
    """One pair of windows: the long one shows that it matters, the short one that it still goes on."""

    name: str
    long: str
    short: str
    severity: str


class ObjectiveClass(NamedTuple):
    """Objectives from `low` to below `high`, and the factor of each of `PACES` for them."""

    low: float
    high: float
    factors: tuple[float, float, float]

    @property
    def largest_share(self) -> float:
        """The largest share of missed messages that any factor waits for."""
        return max(self.factors) * (1 - self.low)


PACES = (
    Pace("fast", "1h", "5m", "critical"),
    Pace("medium", "6h", "30m", "critical"),
    Pace("slow", "3d", "6h", "warning"),
)
_CLASSES = (
    # An objective of 1 has no budget: the last class takes it in, with every miss above the threshold.
    ObjectiveClass(0.98, 1.01, (14.4, 6, 1)),
    ObjectiveClass(0.90, 0.98, (6, 3, 1)),
    ObjectiveClass(0.70, 0.90, (2, 1.5, 1)),
    ObjectiveClass(0.40, 0.70, (1, 1, 1)),
)
_ROUNDING = 1e-9


def check_classes(candidates: tuple[ObjectiveClass, ...] = _CLASSES) -> tuple[ObjectiveClass, ...]:
    """The classes, from strict to lax; raises ValueError when one waits for ever or leaves a gap."""
    for one in candidates:
        if one.largest_share > BURN_CEILING.value + _ROUNDING:
            raise ValueError(
                f"from objective {one.low} on, a factor waits for {one.largest_share:.0%} misses"
            )
    for stricter, laxer in pairwise(candidates):
        if laxer.high != stricter.low:
            raise ValueError(f"no class for objectives from {laxer.high} to {stricter.low}")
    return candidates


def build_threshold(objective: str, pace: int) -> str:
    """PromQL: the share of misses at which the pace is too fast, for each series of `objective`."""
    branches = [
        f"{one.factors[pace]:g} * (1 - ({objective} >= {one.low:g} < {one.high:g}))"
        for one in check_classes()
    ]
    return "\nor\n".join(branches)
