"""The log of status requests as they arrived, and what a test wants to know of it.

What a client did to a provider can only be proved on the provider's side.
"""

from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from exporter.domain.model import SECOND_US
from exporter.simulator.identifiers import IdCodec

NO_ANSWER = 0
"""The code of a request that was never answered."""
CAPACITY = 2_000_000
MAX_STRANGERS = 100_000
"""How many ids that were never sent are remembered."""
_UNKNOWN = -1


class Arrival(NamedTuple):
    """One status request."""

    at_us: int
    """Microseconds on the provider's monotonic clock: real time, at any speed."""
    message_id: str
    """Empty for an id that was never ours, once too many of those have come."""
    code: int
    """HTTP code of the answer, or NO_ANSWER."""


class Arrivals:
    """The newest requests, numbered from 0 in the order of arrival; 18 bytes each."""

    def __init__(self, ids: IdCodec, capacity: int = CAPACITY, max_strangers: int = MAX_STRANGERS) -> None:
        """Start empty; `ids` turns indexes back into ids."""
        self._ids = ids
        self._capacity = capacity
        self._max_strangers = max_strangers
        self._at_us = array("q")
        self._index = array("q")
        self._code = array("H")
        self._strangers: list[str] = []
        self._stranger_numbers: dict[str, int] = {}
        self.total = 0
        """Requests ever seen."""
        self.most_in_hand = 0
        """The most requests that were in hand at one time: arrived, not answered, their connection open."""
        self._in_hand = 0

    def add(self, at_us: int, index: int, message_id: str, code: int) -> None:
        """Log one request; `index` is -1 for an id that was never sent."""
        number = index if index >= 0 else self._stranger(message_id)
        if self.total < self._capacity:
            self._at_us.append(at_us)
            self._index.append(number)
            self._code.append(code)
        else:
            slot = self.total % self._capacity
            self._at_us[slot] = at_us
            self._index[slot] = number
            self._code[slot] = code
        self.total += 1

    @contextmanager
    def in_hand(self) -> Iterator[None]:
        """Count one request as in hand during the block."""
        self._in_hand += 1
        self.most_in_hand = max(self.most_in_hand, self._in_hand)
        try:
            yield
        finally:
            self._in_hand -= 1

    def since(self, first: int = 0, limit: int = CAPACITY) -> list[Arrival]:
        """Return up to `limit` requests from number `first` on; those no longer kept are skipped."""
        start = self.start(first)
        slots = (number % self._capacity for number in range(start, min(self.total, start + limit)))
        return [Arrival(self._at_us[slot], self._id(self._index[slot]), self._code[slot]) for slot in slots]

    def start(self, first: int) -> int:
        """Return the number of the first request still kept, from `first` on."""
        return max(0, first, self.total - self._capacity)

    def _stranger(self, message_id: str) -> int:
        number = self._stranger_numbers.get(message_id)
        if number is None:
            if len(self._strangers) == self._max_strangers:
                return _UNKNOWN
            number = _UNKNOWN - 1 - len(self._strangers)
            self._strangers.append(message_id)
            self._stranger_numbers[message_id] = number
        return number

    def _id(self, number: int) -> str:
        if number >= 0:
            return self._ids.write(number)
        return "" if number == _UNKNOWN else self._strangers[_UNKNOWN - 1 - number]


def closest_repeat_us(arrivals: Iterable[Arrival]) -> int | None:
    """Return the smallest gap between two requests for one id, in microseconds; None without a repeat."""
    latest: dict[str, int] = {}
    closest: int | None = None
    for at_us, message_id, _ in arrivals:
        if not message_id:
            continue
        before_us = latest.get(message_id)
        if before_us is not None and (closest is None or at_us - before_us < closest):
            closest = at_us - before_us
        latest[message_id] = at_us
    return closest


def busiest_second(arrivals: Iterable[Arrival]) -> int:
    """Return the most requests that any window of one second holds; a window ends just before its end."""
    window: deque[int] = deque()
    most = 0
    for at_us, _, _ in arrivals:
        window.append(at_us)
        while at_us - window[0] >= SECOND_US:
            window.popleft()
        most = max(most, len(window))
    return most
