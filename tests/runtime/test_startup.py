"""What takes long at the start is told of, and what doesn't is not."""

from __future__ import annotations

import asyncio
import logging

import pytest

from exporter.runtime.waiting import log_slow_step
from tests.kit.virtual import VIRTUAL


@VIRTUAL
async def test_a_long_step_is_told_of_every_ten_seconds(caplog: pytest.LogCaptureFixture) -> None:
    """With how long it takes already and how far it is; nothing more once it is over."""
    caplog.set_level(logging.INFO, "smsbat")
    done = 0
    with log_slow_step("counting", lambda: {"done": done}):
        for done in range(35):  # noqa: B007 - what is told is how far it has come
            await asyncio.sleep(1)
    await asyncio.sleep(60)
    told = [vars(record)["fields"] for record in caplog.records]
    assert told == [
        {"step": "counting", "seconds": 10 * n, "done": pytest.approx(10 * n, abs=1)} for n in (1, 2, 3)
    ]


@VIRTUAL
async def test_a_quick_or_failing_step_leaves_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    """Its error comes out as it is."""
    caplog.set_level(logging.INFO, "smsbat")
    with pytest.raises(TimeoutError), log_slow_step("trying"):
        await asyncio.wait_for(asyncio.Event().wait(), 9)
    await asyncio.sleep(60)
    assert caplog.records == []
