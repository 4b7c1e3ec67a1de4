"""Status requests as they reached the provider, and what a test wants to know of them.

What a client did to a provider can only be proved on the provider's side.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from exporter.domain.model import SECOND_US

NO_ANSWER = 0
"""The code of a request that was never answered."""


class Arrival(NamedTuple):
    """One status request."""

    at_us: int
    """Microseconds on the provider's monotonic clock: real time, at any speed."""
    message_id: str
    code: int
    """HTTP code of the answer, or NO_ANSWER."""


def find_closest_repeat_us(arrivals: Iterable[Arrival]) -> int | None:
    """Return the smallest gap between two requests for one id, in microseconds; None without a repeat."""
    latest: dict[str, int] = {}
    closest: int | None = None
    for at_us, message_id, _ in arrivals:
        before_us = latest.get(message_id)
        if before_us is not None and (closest is None or at_us - before_us < closest):
            closest = at_us - before_us
        latest[message_id] = at_us
    return closest


def count_busiest_second(arrivals: Iterable[Arrival]) -> int:
    """Return the most requests that any window of one second holds; a window ends just before its end."""
    window: deque[int] = deque()
    most = 0
    for at_us, _, _ in arrivals:
        window.append(at_us)
        while at_us - window[0] >= SECOND_US:
            window.popleft()
        most = max(most, len(window))
    return most
