"""`SteadyClock`: the wall clock without its jumps, and waiting on it."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.domain.model import SECOND_US
from exporter.runtime.clock import SETTLE_US, STEP_US, SteadyClock

BEGIN_US = 1_700_000_000 * SECOND_US


class Machine:
    """A machine whose wall clock can be set."""

    def __init__(self) -> None:
        self.up_us = 5_000 * SECOND_US
        self.offset_us = BEGIN_US

    def wall_ns(self) -> int:
        """What `time.time_ns` would say."""
        return (self.up_us - 5_000 * SECOND_US + self.offset_us) * 1000

    def monotonic_ns(self) -> int:
        """What `time.monotonic_ns` would say."""
        return self.up_us * 1000

    def clock(self, speed: float = 1.0) -> SteadyClock:
        """A clock on this machine."""
        return SteadyClock(speed, wall_ns=self.wall_ns, monotonic_ns=self.monotonic_ns)


def pass_seconds(machine: Machine, clock: SteadyClock, seconds: int) -> list[bool]:
    """Let time pass, with a comparison each second; returns which of them saw a step."""
    seen = []
    for _ in range(seconds):
        machine.up_us += SECOND_US
        seen.append(clock.discipline())
    return seen


def test_it_starts_with_the_wall_clock() -> None:
    """Its time is the wall clock's; monotonic time starts at 0."""
    machine = Machine()
    clock = machine.clock()
    assert (clock.now(), clock.monotonic()) == (BEGIN_US, 0)


@pytest.mark.parametrize("jump_us", [86_400 * SECOND_US, -3600 * SECOND_US, STEP_US])
def test_a_step_is_not_followed_at_once(jump_us: int) -> None:
    """A jump of the wall clock changes nothing for a minute, and is reported once."""
    machine = Machine()
    clock = machine.clock()
    machine.offset_us += jump_us
    seen = pass_seconds(machine, clock, SETTLE_US // SECOND_US)
    assert seen == [True] + [False] * 59
    assert clock.now() == BEGIN_US + SETTLE_US
    assert clock.steps == 1


@pytest.mark.parametrize("jump_us", [86_400 * SECOND_US, -3600 * SECOND_US])
def test_a_step_that_holds_for_a_minute_is_followed(jump_us: int) -> None:
    """After a minute the new time is used."""
    machine = Machine()
    clock = machine.clock()
    machine.offset_us += jump_us
    pass_seconds(machine, clock, 62)
    assert clock.now() == BEGIN_US + 62 * SECOND_US + jump_us
    assert clock.steps == 1


def test_a_clock_that_jumps_back_and_forth_is_never_followed() -> None:
    """A wall clock that is set back and forth every half minute has no effect."""
    machine = Machine()
    clock = machine.clock()
    for n in range(100):
        machine.offset_us += 86_400 * SECOND_US if n % 2 else -86_400 * SECOND_US
        pass_seconds(machine, clock, 30)
    assert clock.now() == BEGIN_US + 3000 * SECOND_US


def test_a_second_step_restarts_the_minute() -> None:
    """A second step restarts the minute."""
    machine = Machine()
    clock = machine.clock()
    machine.offset_us += 100 * SECOND_US
    pass_seconds(machine, clock, 40)
    machine.offset_us += 100 * SECOND_US
    pass_seconds(machine, clock, 40)
    assert clock.now() == BEGIN_US + 80 * SECOND_US
    pass_seconds(machine, clock, 30)
    assert clock.now() == BEGIN_US + 110 * SECOND_US + 200 * SECOND_US
    assert clock.steps == 2


@pytest.mark.parametrize("drift_us", [300, -300])
def test_drift_is_followed(drift_us: int) -> None:
    """Small corrections apply at each comparison, however large their sum."""
    machine = Machine()
    clock = machine.clock()
    for _ in range(10_000):
        machine.offset_us += drift_us
        assert pass_seconds(machine, clock, 1) == [False]
    assert clock.now() == machine.wall_ns() // 1000
    assert clock.steps == 0


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(-(10**12), 10**12)), max_size=20))
def test_monotonic_time_never_decreases(history: list[tuple[int, int]]) -> None:
    """Whatever the wall clock does, monotonic time is the time that has passed."""
    machine = Machine()
    clock = machine.clock()
    passed_us = 0
    for seconds, jump_us in history:
        machine.offset_us += jump_us
        pass_seconds(machine, clock, seconds)
        passed_us += seconds * SECOND_US
        assert clock.monotonic() == passed_us


def test_a_fast_clock_ignores_the_wall_clock() -> None:
    """The demo's clock runs at its own speed and never reads the wall clock again."""
    machine = Machine()
    clock = machine.clock(speed=60)
    machine.offset_us += 86_400 * SECOND_US
    assert not any(pass_seconds(machine, clock, 120))
    assert clock.now() == BEGIN_US + 120 * 60 * SECOND_US


@pytest.mark.looptime
@pytest.mark.parametrize(("speed", "seconds"), [(1.0, 90.0), (60.0, 1.5)])
async def test_sleep_takes_the_time_of_its_clock(speed: float, seconds: float) -> None:
    """A negative sleep takes none."""
    loop = asyncio.get_running_loop()
    clock = SteadyClock(speed)
    began = loop.time()
    await clock.sleep(90 * SECOND_US)
    await clock.sleep(-SECOND_US)
    assert loop.time() - began == pytest.approx(seconds, abs=0.01)


@pytest.mark.looptime
async def test_waiting_ends_at_its_limit() -> None:
    """And returns False."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert not await SteadyClock().wait(asyncio.Event(), 30 * SECOND_US)
    assert loop.time() - began == pytest.approx(30, abs=0.01)


@pytest.mark.looptime
async def test_waiting_ends_with_its_event() -> None:
    """And returns True, even without time left."""
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    loop.call_later(2, event.set)
    began = loop.time()
    assert await SteadyClock().wait(event, 30 * SECOND_US)
    assert loop.time() - began == pytest.approx(2, abs=0.01)
    assert await SteadyClock().wait(event, 0)
