"""Whether a request may go out now: one `AccountLimiter` per account, with no clock or I/O of its own.

Four things can hold a request back, and each concerns the whole account: the
token bucket of the configured rate, a pause that the provider asked for (429),
an open circuit (outage), and a refused key. Times are monotonic microseconds
that come in as arguments.

The limiter also measures the *provider uptime* of the account: a clock that
stops at the first unusable outcome and continues at the next usable one, so
that an outage of the provider never counts against a message (I8).
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from exporter.domain.model import SECOND_US, Outcome
from exporter.domain.token_bucket import TokenBucket

USABLE = frozenset({Outcome.OK, Outcome.NOT_FOUND, Outcome.CLIENT_ERROR})
"""Outcomes which show that the provider works."""
UNREACHED = frozenset({Outcome.CONNECT, Outcome.DNS, Outcome.TLS})
"""Failures that come before the provider sees the request: no single message can be the cause."""

BURST_US = SECOND_US // 10
"""The bucket holds the tokens of this time, and at least one."""
BREAK_AFTER_FAILURES = 5
BREAK_AFTER_MESSAGES = 3
BREAK_AFTER_US = 5 * SECOND_US
"""How long there must be failures only: a provider that fails every other request often has five in a row."""
OUTAGE_PROBE_US = 30 * SECOND_US
UNAUTHORIZED_PROBE_US = 60 * SECOND_US
FIRST_PAUSE_US = 5 * SECOND_US
LONGEST_PAUSE_US = 300 * SECOND_US
LONGEST_SAVED_PAUSE_US = 3600 * SECOND_US
"""The limit for a saved pause: the wall clock may have been wrong when it was saved."""
RECOVERY_PER_MINUTE_RATIO = 0.1
"""The share of the configured rate that is given back each minute after a 429."""
SLOWEST_RATIO = 0.01
"""The share of the configured rate that always stays."""
_MINUTE_US = 60 * SECOND_US


class CircuitState(Enum):
    """Whether an account may send: everything, or only probes while the provider fails or refuses the key."""

    CLOSED = "flowing"
    OPEN = "outage"
    UNAUTHORIZED = "revoked"


class LimiterState(NamedTuple):
    """What must survive a restart; `paused_until` is wall-clock time."""

    uptime_us: int = 0
    paused_until: int = 0
    rate: float = 0.0
    """Requests per second, when 429s lowered it; 0 for the configured rate."""


_NEW = LimiterState()


class AccountLimiter:
    """What one account may send, given the outcomes of its requests."""

    def __init__(self, rate: float, now: int, *, saved: LimiterState = _NEW, wall_now: int = 0) -> None:
        """Start with the configured `rate` (requests per second) and what an earlier run saved."""
        self._configured_rate = rate
        self._bucket = TokenBucket(min(rate, saved.rate or rate), now, burst_us=BURST_US)
        self._raised_at = now
        saved_pause_us = min(max(0, saved.paused_until - wall_now), LONGEST_SAVED_PAUSE_US)
        self._paused_until = now + saved_pause_us
        self._pause_us = FIRST_PAUSE_US
        self._limited_at = -1
        self._circuit = CircuitState.CLOSED
        self._probe_at = now
        self._failures = 0
        self._failing_since = now
        self._failing_rows: set[int] = set()
        self._uptime_us = saved.uptime_us
        self._uptime_from: int | None = now
        """Since when the uptime clock runs; None while it is stopped."""

    @property
    def circuit(self) -> CircuitState:
        """Closed: requests go out. Otherwise only probes do."""
        return self._circuit

    @property
    def rate(self) -> float:
        """Requests per second allowed now."""
        return self._bucket.rate

    @property
    def paused_until(self) -> int:
        """End of the latest pause that the provider asked for."""
        return self._paused_until

    def configure(self, rate: float) -> None:
        """Use a new configured rate after a reload; an unchanged one leaves a lowered rate alone."""
        if rate != self._configured_rate:
            self._configured_rate = rate
            self._bucket.rate = rate

    def get_uptime_us(self, now: int) -> int:
        """For how long the provider has answered this account in all."""
        running_us = now - self._uptime_from if self._uptime_from is not None else 0
        return self._uptime_us + running_us

    def get_wait_us(self, now: int) -> int:
        """How long until a request may go out; 0 for now."""
        held_us = max(0, self._paused_until - now)
        if self._circuit is not CircuitState.CLOSED:
            held_us = max(held_us, self._probe_at - now)
        return max(held_us, self._bucket.get_wait_us(now))

    def record_sent(self, now: int) -> None:
        """Note that a request goes out now."""
        self._raise_rate(now)
        self._bucket.take_token(now)
        if self._circuit is not CircuitState.CLOSED:
            self._probe_at = now + self._probe_interval_us

    def record_outcome(
        self, now: int, sent_at: int, row: int, outcome: Outcome, retry_after_us: int | None
    ) -> bool:
        """Note the outcome of a request that went out at `sent_at`; True when the circuit changed."""
        before = self._circuit
        if outcome in USABLE:
            self._record_usable(now)
        else:
            self._stop_uptime(now)
            if outcome is Outcome.RATE_LIMITED:
                self._record_rate_limited(now, sent_at, retry_after_us)
            elif outcome is Outcome.UNAUTHORIZED:
                self._open_circuit(CircuitState.UNAUTHORIZED, now)
            else:
                self._record_failure(now, row, outcome, retry_after_us)
        return self._circuit is not before

    def on_credentials_changed(self, now: int) -> None:
        """Let a probe out at once: the key file has new content."""
        if self._circuit is CircuitState.UNAUTHORIZED:
            self._probe_at = now

    def export_state(self, now: int, wall_now: int) -> LimiterState:
        """What to save for a later run."""
        paused_us = self._paused_until - now
        return LimiterState(
            uptime_us=self.get_uptime_us(now),
            paused_until=wall_now + paused_us if paused_us > 0 else 0,
            rate=self.rate if self.rate < self._configured_rate else 0.0,
        )

    @property
    def _probe_interval_us(self) -> int:
        return UNAUTHORIZED_PROBE_US if self._circuit is CircuitState.UNAUTHORIZED else OUTAGE_PROBE_US

    def _open_circuit(self, circuit: CircuitState, now: int) -> None:
        if self._circuit is not circuit:
            self._circuit = circuit
            self._probe_at = now + self._probe_interval_us

    def _record_usable(self, now: int) -> None:
        self._circuit = CircuitState.CLOSED
        self._failures = 0
        self._failing_rows.clear()
        if now > self._paused_until:
            self._pause_us = FIRST_PAUSE_US
        if self._uptime_from is None:
            self._uptime_from = now

    def _stop_uptime(self, now: int) -> None:
        self._uptime_us = self.get_uptime_us(now)
        self._uptime_from = None

    def _record_rate_limited(self, now: int, sent_at: int, retry_after_us: int | None) -> None:
        """Pause the account and halve its rate, once for all requests that were in flight together."""
        if self._circuit is CircuitState.OPEN:
            self._record_usable(now)
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

    def _record_failure(self, now: int, row: int, outcome: Outcome, retry_after_us: int | None) -> None:
        if not self._failures:
            self._failing_since = now
        self._failures += 1
        if len(self._failing_rows) < BREAK_AFTER_MESSAGES:
            self._failing_rows.add(row)
        if retry_after_us is not None:
            self._paused_until = max(self._paused_until, now + retry_after_us)
        not_one_message = outcome in UNREACHED or len(self._failing_rows) >= BREAK_AFTER_MESSAGES
        lasting = now - self._failing_since >= BREAK_AFTER_US
        if self._failures >= BREAK_AFTER_FAILURES and lasting and not_one_message:
            self._open_circuit(CircuitState.OPEN, now)

    def _raise_rate(self, now: int) -> None:
        """Give back some of the rate that 429s took."""
        if self._bucket.rate < self._configured_rate and now > self._raised_at:
            minutes = (now - self._raised_at) / _MINUTE_US
            regained = self._configured_rate * RECOVERY_PER_MINUTE_RATIO * minutes
            self._bucket.rate = min(self._configured_rate, self._bucket.rate + regained)
        self._raised_at = now
