"""The clock of the whole program.

`SteadyClock` is the wall clock without its jumps. It runs on the monotonic
clock, follows small corrections at once, and takes a step of the wall clock
(NTP after a boot, an operator's `date -s`, a suspended machine) only after the
new time has held for a minute. Until then ages and deadlines continue as if
nothing had happened; a clock that jumps back and forth is never followed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from exporter.domain.model import SECOND_US

STEP_US = SECOND_US
"""A difference to the wall clock of this much is a step, not drift."""
SETTLE_US = 60 * SECOND_US
"""How long a step must hold before it is believed."""


class Clock(Protocol):
    """What the loops need from a clock."""

    def now(self) -> int:
        """Microseconds since the Unix epoch; never jumps."""
        ...

    def monotonic(self) -> int:
        """Microseconds since some fixed instant; never decreases."""
        ...

    async def sleep(self, duration_us: int) -> None:
        """Wait for `duration_us`."""
        ...

    async def wait(self, event: asyncio.Event, limit_us: int) -> bool:
        """Wait for the event up to `limit_us`; returns whether it was set."""
        ...


class SteadyClock:
    """The wall clock without its jumps; with `speed` > 1 the demo's hours pass in minutes."""

    def __init__(
        self,
        speed: float = 1.0,
        *,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Start at the wall clock's time; tests pass clocks of their own that jump."""
        self._speed = speed
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns
        self._base_us = monotonic_ns() // 1000
        self._anchor_us = wall_ns() // 1000
        self._step_us = 0
        self._step_seen_us = 0
        self.steps = 0
        """Steps of the wall clock seen so far."""

    def monotonic(self) -> int:
        """Microseconds since this clock was created."""
        return int((self._monotonic_ns() // 1000 - self._base_us) * self._speed)

    def now(self) -> int:
        """Microseconds since the Unix epoch; never jumps."""
        return self._anchor_us + self.monotonic()

    async def sleep(self, duration_us: int) -> None:
        """Wait for `duration_us` of this clock's time."""
        await asyncio.sleep(max(0, duration_us) / SECOND_US / self._speed)

    async def wait(self, event: asyncio.Event, limit_us: int) -> bool:
        """Wait for the event up to `limit_us`; returns whether it was set."""
        try:
            async with asyncio.timeout(max(0, limit_us) / SECOND_US / self._speed):
                return await event.wait()
        except TimeoutError:
            return False

    def discipline(self) -> bool:
        """Compare with the wall clock, about once a second; returns whether there is a new step."""
        if self._speed != 1.0:
            return False
        difference_us = self._wall_ns() // 1000 - self.now()
        if abs(difference_us) < STEP_US:
            self._step_us = 0
            self._anchor_us += difference_us
            return False
        if self._step_us and abs(difference_us - self._step_us) < STEP_US:
            if self.monotonic() - self._step_seen_us >= SETTLE_US:
                self._anchor_us += difference_us
                self._step_us = 0
            return False
        self._step_us = difference_us
        self._step_seen_us = self.monotonic()
        self.steps += 1
        return True
