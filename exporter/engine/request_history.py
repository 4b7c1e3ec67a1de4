"""What an account was asked lately: a bounded memory of requests in which failures stay longer.

For people who look: nothing else reads it, and it begins anew with each start.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from exporter.domain.model import SECOND_US, Outcome, Status

KEPT_REQUESTS = 4_096
"""Requests of an account that are remembered, whatever came of them."""
KEPT_FAILURES = 256
"""Failed ones that are remembered beyond those."""
RATE_OVER_US = 60 * SECOND_US
BLAMELESS = frozenset({Outcome.OK, Outcome.NOT_FOUND})
"""Outcomes that are no failure: a message is often asked about before the provider knows it."""


class InFlightRequest(NamedTuple):
    """A request on its way."""

    row: int
    """Of the message that it is about."""
    message_id: str
    campaign_id: int
    sent_at: int
    """Monotonic."""


class Request(NamedTuple):
    """A request that ended."""

    at: int
    """When it ended."""
    message_id: str
    campaign_id: int
    outcome: Outcome
    status: Status | None
    """What the answer said; None when there was none to use."""
    duration_us: int
    detail: str
    """As for the log: never a body, a secret or an id."""


class RequestHistory:
    """The requests of one account, oldest first."""

    def __init__(self, began_at: int = 0) -> None:
        """Remember what ends from `began_at` on."""
        self._began_at = began_at
        self._all: deque[Request] = deque(maxlen=KEPT_REQUESTS)
        self._failed: deque[Request] = deque(maxlen=KEPT_FAILURES)
        self._forgot_at = self._forgot_failed_at = began_at

    @property
    def since(self) -> int:
        """From when on every request is remembered."""
        return self._forgot_at

    @property
    def failures_since(self) -> int:
        """From when on every failed request is remembered; not after `since`."""
        return min(self._forgot_at, self._forgot_failed_at)

    def add(self, request: Request) -> None:
        """Remember one more, and forget the oldest where there are too many."""
        if len(self._all) == KEPT_REQUESTS:
            self._forgot_at = self._all[0].at
        self._all.append(request)
        if request.outcome not in BLAMELESS:
            if len(self._failed) == KEPT_FAILURES:
                self._forgot_failed_at = self._failed[0].at
            self._failed.append(request)

    def failures(self, count: int) -> list[Request]:
        """The latest failed ones, newest first."""
        newest_first = reversed(self._failed)
        return [request for request, _ in zip(newest_first, range(count), strict=False)]

    def about(self, message_id: str) -> list[Request]:
        """What is remembered of one message, oldest first."""
        oldest_at = self._all[0].at if self._all else 0
        longer = [r for r in self._failed if r.message_id == message_id and r.at < oldest_at]
        return longer + [request for request in self._all if request.message_id == message_id]

    def per_second(self, now: int) -> float:
        """Requests that ended in the last minute, by the second; or of as much of it as is remembered."""
        from_at = max(now - RATE_OVER_US, self._forgot_at)
        count = 0
        for request in reversed(self._all):
            if request.at < from_at:
                break
            count += 1
        return count * SECOND_US / max(SECOND_US, now - from_at)
