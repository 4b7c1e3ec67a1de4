"""The thresholds of alerts that the exporter's own page judges by too, so that both say the same.

All others belong to the generator of the alerts: `tools/dashboards/constants.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from exporter.domain.model import Priority


@dataclass(frozen=True, slots=True)
class Threshold:
    """One threshold of an alert."""

    value: float
    unit: str
    """`ratio`, `seconds`, `messages`, `requests`, or "" for a plain factor."""
    meaning: str

    def __str__(self) -> str:
        """Write the value as PromQL writes numbers."""
        return f"{self.value:.10g}"


DELIVERY_WINDOW = "30m"
DELIVERY_Z = Threshold(
    2.33, "", "Standard deviations of the confidence bound that is compared with the objective"
)
DELIVERY_MIN_MISSED = Threshold(
    5, "messages", "Fewest missed messages in 30 minutes for the objective to be judged"
)
LAG_SECONDS: Mapping[Priority, Threshold] = {
    Priority.HIGH: Threshold(10, "seconds", "Lag of polls of high priority over 10 minutes"),
    Priority.NORMAL: Threshold(60, "seconds", "Lag of polls of normal priority over 10 minutes"),
    Priority.LOW: Threshold(900, "seconds", "Lag of polls of low priority over 10 minutes"),
}
LAG_MIN_DUE = Threshold(10, "messages", "Fewest messages that waited for their poll all the time")
