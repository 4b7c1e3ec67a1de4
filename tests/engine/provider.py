"""The provider, in place of the client: a function from ids to replies, and a list of the requests."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from exporter.domain.model import SECOND_US, Answer, Outcome, Reply, Status

NANOS = 50_000_000
"""What a delivered message costs here."""
HANGING = Reply(Outcome.TIMEOUT, duration_us=10 * SECOND_US)
"""The client's time-out: it comes after 10 s."""


class Request(NamedTuple):
    """One request, as it arrived."""

    at_seconds: float
    """Of virtual time."""
    message_id: str


def make_reply(status: Status) -> Reply:
    """An answer with a status, parts and, if delivered, a cost."""
    cost_nanos = NANOS if status is Status.DELIVERED else None
    return Reply(Outcome.OK, Answer(status, parts=1, cost_nanos=cost_nanos))


def answer_delivered(_: str) -> Reply:
    """Answer that the message is delivered."""
    return make_reply(Status.DELIVERED)


def answer_under_way(_: str) -> Reply:
    """Answer that the message is under way."""
    return make_reply(Status.PROCESSING)


def answer_with(outcome: Outcome, retry_after_seconds: int | None = None) -> Callable[[str], Reply]:
    """Make a function that answers each request with this failure."""
    wait_us = None if retry_after_seconds is None else retry_after_seconds * SECOND_US
    reply = Reply(outcome, retry_after_us=wait_us)
    return lambda _: reply


refuse_connection = answer_with(Outcome.CONNECT)


class Provider:
    """Answers what `answer` says, after `latency_seconds`; both may be replaced at any time."""

    def __init__(
        self, answer: Callable[[str], Reply] = answer_delivered, latency_seconds: float = 0.05
    ) -> None:
        self.answer = answer
        self.latency_seconds = latency_seconds
        self.requests: list[Request] = []
        self.in_flight = 0

    async def fetch(self, message_id: str) -> Reply:
        """Answer one request: see `poller.Fetch`."""
        self.requests.append(Request(asyncio.get_running_loop().time(), message_id))
        reply = self.answer(message_id)
        self.in_flight += 1
        try:
            await asyncio.sleep(max(self.latency_seconds, reply.duration_us / SECOND_US))
        finally:
            self.in_flight -= 1
        return reply

    def list_since(self, at_seconds: float) -> list[Request]:
        """The requests that came from then on."""
        return [request for request in self.requests if request.at_seconds >= at_seconds]

    def count_requests(self) -> Counter[str]:
        """How often each message was requested."""
        return Counter(request.message_id for request in self.requests)


def find_closest_seconds(requests: Sequence[Request]) -> float:
    """The shortest time between two requests for the same message."""
    latest: dict[str, float] = {}
    closest = float("inf")
    for at_seconds, message_id in requests:
        closest = min(closest, at_seconds - latest.get(message_id, float("-inf")))
        latest[message_id] = at_seconds
    return closest


def count_most_within(requests: Sequence[Request], seconds: float) -> int:
    """The most requests that came within any period of that length."""
    inside: deque[float] = deque()
    most = 0
    for request in requests:
        inside.append(request.at_seconds)
        # At the exact rate, a period of just this length has a request at its start and at its end.
        while request.at_seconds - inside[0] > seconds - 1e-6:
            inside.popleft()
        most = max(most, len(inside))
    return most


def find_widest_gap_seconds(requests: Sequence[Request]) -> float:
    """The longest time without a request between two requests."""
    times = [request.at_seconds for request in requests]
    return max(later - earlier for earlier, later in pairwise(times))


class BucketLimit:
    """A provider's own rate limit: a token bucket, and 429 for what goes over it."""

    def __init__(
        self, rate: float, inside: Callable[[str], Reply], retry_after_seconds: int | None = None
    ) -> None:
        """Let `rate` requests a second through to `inside`, and a second's worth at once."""
        self._rate = rate
        self._inside = inside
        self._refusal = answer_with(Outcome.RATE_LIMITED, retry_after_seconds)
        self._tokens = rate
        self._at_seconds = 0.0
        self.refused_at: list[float] = []

    def __call__(self, message_id: str) -> Reply:
        """Answer one request."""
        now = asyncio.get_running_loop().time()
        self._tokens = min(self._rate, self._tokens + (now - self._at_seconds) * self._rate)
        self._at_seconds = now
        if self._tokens < 1:
            self.refused_at.append(now)
            return self._refusal(message_id)
        self._tokens -= 1
        return self._inside(message_id)
