"""What this process knows of its own work, in plain values: the status page reads what `Instruments` notes.

It belongs to the event loop. What is counted begins at 0, what was never
measured is None or missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from exporter.domain.model import Outcome, Priority, WebhookResult

ENTRY_RESULTS = ("accepted", "duplicate", "rejected")
"""What becomes of an id that a file or a request brings."""
FILE_RESULTS = ("done", "failed", "ignored", "not_regular", "too_large", "unreadable")
WEBHOOK_RESULTS = tuple(result.value for result in WebhookResult)


class Totals(dict[str, int]):
    """Counts by result, each of the known ones from 0."""

    def __init__(self, results: Iterable[str]) -> None:
        super().__init__(dict.fromkeys(results, 0))

    def add(self, result: str, count: int = 1) -> None:
        """Count; a result from outside of the known ones begins here."""
        self[result] = self.get(result, 0) + count


@dataclass(slots=True)
class AccountOperation:
    """Talking to the provider, for one account."""

    up: bool | None = None
    """Whether the latest answer was usable."""
    last_success_seconds: float | None = None
    requests: Totals = field(default_factory=lambda: Totals(outcome.value for outcome in Outcome))
    polls_due: dict[Priority, int] = field(default_factory=lambda: dict.fromkeys(Priority, 0))
    """How many messages were due last."""
    poll_lag_seconds: dict[Priority, float] = field(default_factory=dict)
    """How late the latest poll was."""


@dataclass(slots=True)
class OperationalState:
    """The whole process."""

    accounts: dict[str, AccountOperation] = field(default_factory=dict)
    store_up: bool = False
    reload_successful: bool = False
    reloaded_seconds: float | None = None
    """When the configuration in force was taken."""
    drop_files: Totals = field(default_factory=lambda: Totals(FILE_RESULTS))
    drop_lines: Totals = field(default_factory=lambda: Totals(ENTRY_RESULTS))
    drop_up: dict[str, bool] = field(default_factory=dict)
    """By directory."""
    drop_blocked: bool = False
    webhook_events: Totals = field(default_factory=lambda: Totals(WEBHOOK_RESULTS))
    intake_messages: Totals = field(default_factory=lambda: Totals(ENTRY_RESULTS))
