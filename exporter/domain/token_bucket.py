"""A token bucket: how much may pass at once, and how much per second.

It has no clock of its own: times are microseconds that come in as arguments.
"""

from __future__ import annotations

from exporter.domain.model import SECOND_US

_ALMOST = 1e-9
"""The rounding error that a whole token may have."""


class TokenBucket:
    """Fills at `rate` tokens per second, which may change, up to its capacity."""

    __slots__ = ("_at", "_burst_tokens", "_burst_us", "_tokens", "rate")

    def __init__(
        self, rate: float, now: int = 0, *, burst_tokens: float = 1.0, burst_us: int = 0, full: bool = False
    ) -> None:
        """Hold `burst_tokens`, or what `burst_us` brings where that is more.

        Starts empty at `now`, unless `full`: then at any instant up to its first use.
        """
        self.rate = rate
        self._burst_tokens = burst_tokens
        self._burst_us = burst_us
        self._at = now
        self._tokens = self._capacity if full else 0.0

    @property
    def _capacity(self) -> float:
        return max(self._burst_tokens, self.rate * self._burst_us / SECOND_US)

    def _fill(self, now: int) -> None:
        # A wall clock may step back: then nothing is earned, and counting continues from there.
        earned = max(0, now - self._at) * self.rate / SECOND_US
        self._tokens = min(self._capacity, self._tokens + earned)
        self._at = now

    def get_wait_us(self, now: int) -> int:
        """How long until there is a token; 0 for now."""
        self._fill(now)
        missing = 1.0 - self._tokens
        return 0 if missing <= _ALMOST else int(missing * SECOND_US / self.rate) + 1

    def take_token(self, now: int) -> None:
        """Use a token; call it only when `get_wait_us` returned 0."""
        self._fill(now)
        self._tokens -= 1.0

    def try_take_token(self, now: int) -> bool:
        """Use a token if there is one; returns whether there was."""
        if self.get_wait_us(now):
            return False
        self._tokens -= 1.0
        return True
