"""The demo's background faults: each comes in its turn, and passes."""

from __future__ import annotations

import asyncio

from exporter.domain.model import SECOND_US
from exporter.simulator.background_faults import BACKGROUND_FAULTS, EVERY_US, run_background_faults
from exporter.simulator.faults import FaultBoard, FaultKind
from tests.kit.virtual import VIRTUAL, loop_clock

SPEED = 4.0


@VIRTUAL
async def test_each_fault_comes_in_its_turn_and_passes() -> None:
    """One at a time, for its time divided by the speed, and then all is well again until the next."""
    board, clock = FaultBoard(1), loop_clock()
    began_at = clock.monotonic()

    async def kinds_at(at_us: float) -> set[FaultKind]:
        await clock.sleep(began_at + round(at_us) - clock.monotonic())
        picked = (board.pick_fault(clock.monotonic()) for _ in range(1000))
        return {fault.kind for fault in picked if fault is not None}

    async with asyncio.TaskGroup() as tasks:
        faults = tasks.create_task(run_background_faults(board, clock, clock, SPEED))
        for number, fault in enumerate((*BACKGROUND_FAULTS, BACKGROUND_FAULTS[0]), start=1):
            begins_at = number * EVERY_US
            assert await kinds_at(begins_at - SECOND_US) == set()
            assert await kinds_at(begins_at + 0.9 * fault.duration_us / SPEED) == {fault.order.kind}
            assert await kinds_at(begins_at + 1.1 * fault.duration_us / SPEED) == set()
        faults.cancel()
