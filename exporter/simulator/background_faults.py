"""The small things that go wrong at any provider now and then; none of them deserves an alert."""

from __future__ import annotations

from itertools import cycle
from typing import NamedTuple

from exporter.domain.model import SECOND_US
from exporter.runtime.clock import Clock
from exporter.simulator.faults import FaultBoard, FaultKind, FaultOrder

EVERY_US = 600 * SECOND_US


class BackgroundFault(NamedTuple):
    """What goes wrong, and for how long."""

    order: FaultOrder
    duration_us: int


BACKGROUND_FAULTS = (
    BackgroundFault(FaultOrder(FaultKind.UNKNOWN_STATUS, share=0.1), 20 * SECOND_US),
    BackgroundFault(FaultOrder(FaultKind.BAD_COST, share=0.1), 20 * SECOND_US),
    BackgroundFault(FaultOrder(FaultKind.STATUS, code=429, share=0.5), 2 * SECOND_US),
    BackgroundFault(FaultOrder(FaultKind.STATUS, code=503, share=0.2), 5 * SECOND_US),
)


async def run_background_faults(faults: FaultBoard, clock: Clock, wire_clock: Clock, speed: float) -> None:
    """Let one after the other happen for ever, by `clock`, which is `speed` times as fast as `wire_clock`."""
    for fault in cycle(BACKGROUND_FAULTS):
        await clock.sleep(EVERY_US)
        duration_us = round(fault.duration_us / speed)
        faults.add(fault.order._replace(duration_us=duration_us), wire_clock.monotonic())
