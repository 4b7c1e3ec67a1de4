"""The demo's small mishaps: each comes in its turn, and passes."""

from __future__ import annotations

import asyncio

from exporter.domain.model import SECOND_US
from exporter.simulator.faults import FaultBoard, FaultKind
from exporter.simulator.mishaps import EVERY_US, MISHAPS, run_mishaps
from tests.kit.virtual import VIRTUAL, loop_clock

SPEED = 4.0


@VIRTUAL
async def test_each_mishap_comes_in_its_turn_and_passes() -> None:
    """One at a time, for its time divided by the speed, and then all is well again until the next."""
    board, clock = FaultBoard(1), loop_clock()
    began_at = clock.monotonic()

    async def struck(at_us: float) -> set[FaultKind]:
        await clock.sleep(began_at + round(at_us) - clock.monotonic())
        strikes = (board.strike(clock.monotonic()) for _ in range(1000))
        return {strike.kind for strike in strikes if strike is not None}

    async with asyncio.TaskGroup() as tasks:
        mishaps = tasks.create_task(run_mishaps(board, clock, clock, SPEED))
        for number, mishap in enumerate((*MISHAPS, MISHAPS[0]), start=1):
            begins_at = number * EVERY_US
            assert await struck(begins_at - SECOND_US) == set()
            assert await struck(begins_at + 0.9 * mishap.duration_us / SPEED) == {mishap.order.kind}
            assert await struck(begins_at + 1.1 * mishap.duration_us / SPEED) == set()
        mishaps.cancel()
