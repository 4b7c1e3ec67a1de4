"""The latest requests of an account: a bounded history in which failures stay longer.

It is for the status page and the API only, and starts empty with each process.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from exporter.domain.model import SECOND_US, Outcome, Status

KEPT_REQUESTS = 4_096
"""How many of the latest requests of an account are kept, whatever their outcome."""
KEPT_FAILURES = 256
"""How many of the latest failed requests are kept."""
RATE_OVER_US = 60 * SECOND_US
BLAMELESS = frozenset({Outcome.OK, Outcome.NOT_FOUND})
"""Outcomes that are no failure: a message is often polled before the provider knows it."""


class InFlightRequest(NamedTuple):
    """A request that was sent and has not ended."""

    row: int
    """The row of its message."""
    message_id: str
    campaign_id: int
    sent_at: int
    """Monotonic microseconds."""


class Request(NamedTuple):
    """A request that ended."""

    at: int
    """When it ended."""
    message_id: str
    campaign_id: int
    outcome: Outcome
    status: Status | None
    """The status in the answer; None without a usable answer."""
    duration_us: int
    detail: str
    """As for the log: never a body, a secret or an id."""


class RequestHistory:
    """The requests of one account, oldest first."""

    def __init__(self, began_at: int = 0) -> None:
        """Keep requests that end from `began_at` on."""
        self._began_at = began_at
        self._all: deque[Request] = deque(maxlen=KEPT_REQUESTS)
        self._failed: deque[Request] = deque(maxlen=KEPT_FAILURES)
        self._complete_since = self._failures_complete_since = began_at

    @property
    def since(self) -> int:
        """Since when all requests are kept."""
        return self._complete_since

    @property
    def failures_since(self) -> int:
        """Since when all failed requests are kept; never after `since`."""
        return min(self._complete_since, self._failures_complete_since)

    def record(self, request: Request) -> None:
        """Keep a request; the oldest goes when there are too many."""
        if len(self._all) == KEPT_REQUESTS:
            self._complete_since = self._all[0].at
        self._all.append(request)
        if request.outcome not in BLAMELESS:
            if len(self._failed) == KEPT_FAILURES:
                self._failures_complete_since = self._failed[0].at
            self._failed.append(request)

    def list_failures(self, count: int) -> list[Request]:
        """The latest failed requests, newest first."""
        newest_first = reversed(self._failed)
        return [request for request, _ in zip(newest_first, range(count), strict=False)]

    def find_by_message(self, message_id: str) -> list[Request]:
        """The requests for one message, oldest first."""
        oldest_at = self._all[0].at if self._all else 0
        longer = [r for r in self._failed if r.message_id == message_id and r.at < oldest_at]
        return longer + [request for request in self._all if request.message_id == message_id]

    def compute_rate_per_second(self, now: int) -> float:
        """Requests a second over the last minute, or over as much of it as is kept."""
        from_at = max(now - RATE_OVER_US, self._complete_since)
        count = 0
        for request in reversed(self._all):
            if request.at < from_at:
                break
            count += 1
        return count * SECOND_US / max(SECOND_US, now - from_at)
