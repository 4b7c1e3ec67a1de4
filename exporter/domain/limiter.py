"""Whether a request may go out now: one `AccountLimiter` per account, pure but for its own memory.

Four things can hold a request back, and each is the account's, never one
message's: the token bucket of the agreed rate, a pause that the provider asked
for (429), an outage (the breaker), and a refused key. Instants are monotonic
microseconds that come in as arguments.

The gate also keeps the account's *answering clock*: it stands still from the
first unusable outcome until the next usable one, so that an outage of the
provider never counts against a message (I8).
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from exporter.domain.model import SECOND_US, Outcome
from exporter.domain.token_bucket import TokenBucket

USABLE = frozenset({Outcome.OK, Outcome.NOT_FOUND, Outcome.CLIENT_ERROR})
"""Outcomes by which the provider shows that it works."""
UNREACHED = frozenset({Outcome.CONNECT, Outcome.DNS, Outcome.TLS})
"""Failures before the provider learned which message it was about: no message's own fault."""

BURST_US = SECOND_US // 10
"""The bucket holds what this long brings, and at least one token."""
BREAK_AFTER_FAILURES = 5
BREAK_AFTER_MESSAGES = 3
BREAK_AFTER_US = 5 * SECOND_US
"""Of failures alone: who fails every second request has five in a row each minute, and works all the same."""
OUTAGE_PROBE_US = 30 * SECOND_US
UNAUTHORIZED_PROBE_US = 60 * SECOND_US
FIRST_PAUSE_US = 5 * SECOND_US
LONGEST_PAUSE_US = 300 * SECOND_US
LONGEST_KEPT_PAUSE_US = 3600 * SECOND_US
"""A pause of an earlier run can't end later: the wall clock may have been wrong when it was kept."""
RECOVERY_PER_MINUTE_RATIO = 0.1
"""Of the configured rate, what comes back each minute after a 429."""
SLOWEST_RATIO = 0.01
_MINUTE_US = 60 * SECOND_US


class CircuitState(Enum):
    """What the account is allowed to do."""

    CLOSED = "flowing"
    OPEN = "outage"
    UNAUTHORIZED = "revoked"


class LimiterState(NamedTuple):
    """What must survive a restart; `paused_until` is a wall-clock instant."""

    uptime_us: int = 0
    paused_until: int = 0
    rate: float = 0.0
    """Requests per second after 429s; 0 for the configured rate."""


_FRESH = LimiterState()


class AccountLimiter:
    """What one account may send, learned from what its requests brought."""

    def __init__(self, rate: float, now: int, *, kept: LimiterState = _FRESH, wall_now: int = 0) -> None:
        """Start with the configured `rate` (requests per second) and what an earlier run kept."""
        self._configured_rate = rate
        self._bucket = TokenBucket(min(rate, kept.rate or rate), now, burst_us=BURST_US)
        self._raised_at = now
        kept_pause_us = min(max(0, kept.paused_until - wall_now), LONGEST_KEPT_PAUSE_US)
        self._paused_until = now + kept_pause_us
        self._pause_us = FIRST_PAUSE_US
        self._limited_at = -1
        self._flow = CircuitState.CLOSED
        self._probe_at = now
        self._failures = 0
        self._failing_since = now
        self._failing_rows: set[int] = set()
        self._uptime_us = kept.uptime_us
        self._uptime_from: int | None = now
        """Since when the answering clock runs; None while it stands still."""

    @property
    def flow(self) -> CircuitState:
        """Whether requests flow, or only probes go out."""
        return self._flow

    @property
    def rate(self) -> float:
        """Requests per second allowed now."""
        return self._bucket.rate

    @property
    def paused_until(self) -> int:
        """End of the latest pause that the provider asked for."""
        return self._paused_until

    def configure(self, rate: float) -> None:
        """Take a new agreed rate from a reload."""
        if rate != self._configured_rate:
            self._configured_rate = rate
            self._bucket.rate = rate

    def uptime_us(self, now: int) -> int:
        """The account's answering clock."""
        running_us = now - self._uptime_from if self._uptime_from is not None else 0
        return self._uptime_us + running_us

    def wait_us(self, now: int) -> int:
        """How long until a request may go out; 0 for now."""
        held_us = max(0, self._paused_until - now)
        if self._flow is not CircuitState.CLOSED:
            held_us = max(held_us, self._probe_at - now)
        return max(held_us, self._bucket.wait_us(now))

    def sent(self, now: int) -> None:
        """A request goes out."""
        self._raise_rate(now)
        self._bucket.take(now)
        if self._flow is not CircuitState.CLOSED:
            self._probe_at = now + self._probe_interval_us()

    def ended(self, now: int, sent_at: int, row: int, outcome: Outcome, retry_after_us: int | None) -> bool:
        """Learn from a request that went out at `sent_at`; True when the account's flow changed."""
        before = self._flow
        if outcome in USABLE:
            self._works(now)
        else:
            self._stop_uptime(now)
            if outcome is Outcome.RATE_LIMITED:
                self._limited(now, sent_at, retry_after_us)
            elif outcome is Outcome.UNAUTHORIZED:
                self._hold(CircuitState.UNAUTHORIZED, now)
            else:
                self._fails(now, row, outcome, retry_after_us)
        return self._flow is not before

    def credentials_changed(self, now: int) -> None:
        """The key file holds something new: try it at once."""
        if self._flow is CircuitState.UNAUTHORIZED:
            self._probe_at = now

    def state(self, now: int, wall_now: int) -> LimiterState:
        """What a later run should know."""
        paused_us = self._paused_until - now
        return LimiterState(
            uptime_us=self.uptime_us(now),
            paused_until=wall_now + paused_us if paused_us > 0 else 0,
            rate=self.rate if self.rate < self._configured_rate else 0.0,
        )

    def _probe_interval_us(self) -> int:
        return UNAUTHORIZED_PROBE_US if self._flow is CircuitState.UNAUTHORIZED else OUTAGE_PROBE_US

    def _hold(self, flow: CircuitState, now: int) -> None:
        if self._flow is not flow:
            self._flow = flow
            self._probe_at = now + self._probe_interval_us()

    def _works(self, now: int) -> None:
        self._flow = CircuitState.CLOSED
        self._failures = 0
        self._failing_rows.clear()
        if now > self._paused_until:
            self._pause_us = FIRST_PAUSE_US
        if self._uptime_from is None:
            self._uptime_from = now

    def _stop_uptime(self, now: int) -> None:
        self._uptime_us = self.uptime_us(now)
        self._uptime_from = None

    def _limited(self, now: int, sent_at: int, retry_after_us: int | None) -> None:
        """Pause the account and halve its rate, once for all requests that were already out."""
        if self._flow is CircuitState.OPEN:
            self._works(now)
            self._stop_uptime(now)
        if retry_after_us is not None:
            self._paused_until = max(self._paused_until, now + retry_after_us)
        if sent_at < self._limited_at:
            return
        self._limited_at = now
        if retry_after_us is None:
            self._paused_until = max(self._paused_until, now + self._pause_us)
        self._pause_us = min(2 * self._pause_us, LONGEST_PAUSE_US)
        self._bucket.rate = max(self._bucket.rate / 2, self._configured_rate * SLOWEST_RATIO)
        self._raised_at = now

    def _fails(self, now: int, row: int, outcome: Outcome, retry_after_us: int | None) -> None:
        if not self._failures:
            self._failing_since = now
        self._failures += 1
        if len(self._failing_rows) < BREAK_AFTER_MESSAGES:
            self._failing_rows.add(row)
        if retry_after_us is not None:
            self._paused_until = max(self._paused_until, now + retry_after_us)
        blameless = outcome in UNREACHED or len(self._failing_rows) >= BREAK_AFTER_MESSAGES
        lasting = now - self._failing_since >= BREAK_AFTER_US
        if self._failures >= BREAK_AFTER_FAILURES and lasting and blameless:
            self._hold(CircuitState.OPEN, now)

    def _raise_rate(self, now: int) -> None:
        """Give back some of the rate that a 429 took."""
        if self._bucket.rate < self._configured_rate and now > self._raised_at:
            minutes = (now - self._raised_at) / _MINUTE_US
            regained = self._configured_rate * RECOVERY_PER_MINUTE_RATIO * minutes
            self._bucket.rate = min(self._configured_rate, self._bucket.rate + regained)
        self._raised_at = now
