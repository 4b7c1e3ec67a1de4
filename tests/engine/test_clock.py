"""The wall clock is wrong: messages are polled neither more nor less often for it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.domain.model import SECOND_US
from tests.engine.provider import Provider, answer_under_way, count_most_within, find_closest_seconds
from tests.engine.rig import start_rig
from tests.engine.settings import make_settings
from tests.kit.virtual import EPOCH_US, VIRTUAL

pytestmark = VIRTUAL

MINUTES = 60
DAY_US = 86_400 * SECOND_US
HOUR_US = 3_600 * SECOND_US
CLASSES = make_settings(campaigns={"otp": "otp"})


def jump_to_and_fro() -> int:
    """An hour back, a day ahead, right again: another every 30 s."""
    return (0, -HOUR_US, DAY_US)[int(asyncio.get_running_loop().time() / 30) % 3]


async def run_ten_minutes(folder: Path, wall_error_us: Callable[[], int]) -> tuple[Provider, float | None]:
    """Poll for ten minutes; returns the provider, and how many steps of the wall clock were counted."""
    random.seed(13)  # the jitter of the schedule
    provider = Provider(answer_under_way)
    async with start_rig(folder, provider, CLASSES, wall_error_us=wall_error_us) as rig:
        await rig.send(20, "otp")
        await rig.send(100)
        await rig.pass_time(10 * MINUTES)
        return provider, rig.instruments.registry.get_sample_value("smsbat_clock_steps_total")


async def test_a_clock_that_jumps_to_and_fro_changes_nothing(tmp_path: Path) -> None:
    """-3600 s and +86400 s, every 30 s: as many requests as with a clock that is right."""
    control, _ = await run_ten_minutes(tmp_path / "control", lambda: 0)
    jumping, steps = await run_ten_minutes(tmp_path / "jumping", jump_to_and_fro)
    assert len(jumping.requests) == pytest.approx(len(control.requests), abs=1)
    assert steps
    assert steps >= 10


@pytest.mark.parametrize("error_us", [-DAY_US, -HOUR_US, HOUR_US, DAY_US])
async def test_a_step_that_stays_is_followed_without_a_storm(tmp_path: Path, error_us: int) -> None:
    """A clock that was set for good: messages are polled as before, at their intervals and the rate."""
    provider = Provider(answer_under_way)
    wrong_from = asyncio.get_running_loop().time() + 100

    def wall_error_us() -> int:
        return error_us if asyncio.get_running_loop().time() >= wrong_from else 0

    async with start_rig(tmp_path, provider, wall_error_us=wall_error_us) as rig:
        await rig.send(100)
        await rig.pass_time(10 * MINUTES)
        assert rig.clock.now() - rig.clock.monotonic() == EPOCH_US + error_us
        assert find_closest_seconds(provider.requests) >= 1
        assert count_most_within(provider.requests, 10) <= 101
        latest = {request.message_id: request.at_seconds for request in provider.requests}
        # The step is followed after a minute; the longest interval by then is about three.
        assert min(latest.values()) > 350


@pytest.mark.parametrize("error_us", [-DAY_US, -HOUR_US, HOUR_US, DAY_US])
async def test_a_restart_with_a_wrong_clock_polls_all_messages_in_time(tmp_path: Path, error_us: int) -> None:
    """The queue clock goes on from where it was, or ahead: what is overdue then is spread by the rate."""
    provider = Provider(answer_under_way)
    settings = make_settings(profiles={"default": {"max_interval": "1m", "deadline": "1m"}})
    async with start_rig(tmp_path, provider, settings) as rig:
        await rig.send(100)
        await rig.pass_time(2 * MINUTES)
        await rig.crash()
        began = rig.now_seconds
        await rig.start(lambda: error_us)
        await rig.pass_time(80)
        requests = provider.list_since(began)
        assert len({request.message_id for request in requests}) == 100
        assert requests[0].at_seconds >= began + 1
        assert count_most_within(requests, 10) <= 101
        assert find_closest_seconds(provider.requests) >= 1
