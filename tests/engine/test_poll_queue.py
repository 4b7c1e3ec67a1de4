"""The holds that keep a message's requests a second apart, the queue's clock, and whose turn it is."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.domain.model import SECOND_US, Priority
from exporter.domain.schedule import CLOSEST_US
from exporter.engine.poll_queue import PollQueue, QueueClock, Turns
from exporter.runtime.clock import SteadyClock
from exporter.store import Claimed
from tests.domain.example import HOUR_US, MESSAGE, SENT_AT

HIGH, NORMAL, LOW = Priority
ID = MESSAGE.message_id


class Time:
    """A machine's two clocks, which only a test moves."""

    def __init__(self) -> None:
        """Begin at an instant that is none of the other clock's."""
        self.wall_us = SENT_AT
        self.monotonic_us = 5_000 * SECOND_US

    def pass_us(self, us: int) -> None:
        """Let time pass on both."""
        self.wall_us += us
        self.monotonic_us += us

    def start_clock(self) -> SteadyClock:
        """The clock of a process that starts now."""
        return SteadyClock(
            wall_ns=lambda: self.wall_us * 1_000, monotonic_ns=lambda: self.monotonic_us * 1_000
        )


@pytest.fixture
def time() -> Time:
    """The clocks of a machine."""
    return Time()


@pytest.fixture
def queue(time: Time) -> PollQueue:
    """A queue whose first second is over."""
    made = PollQueue(QueueClock(time.start_clock(), None))
    time.pass_us(CLOSEST_US)
    return made


# --- holds ------------------------------------------------------------------------------------------


def test_nothing_is_held_in_the_second_after_a_start(time: Time) -> None:
    """The run before may have sent its last request just before it ended."""
    queue = PollQueue(QueueClock(time.start_clock(), None))
    assert (queue.get_wait_us(), queue.hold(ID)) == (CLOSEST_US, False)
    time.pass_us(CLOSEST_US - 1)
    assert (queue.get_wait_us(), queue.hold(ID)) == (1, False)
    time.pass_us(1)
    assert (queue.get_wait_us(), queue.hold(ID)) == (0, True)


def test_an_id_is_held_once_and_rests_after_its_request(time: Time, queue: PollQueue) -> None:
    """Until its release, and then for the provider's second from the end of its request."""
    assert queue.hold(ID)
    time.pass_us(HOUR_US)
    assert not queue.hold(ID)
    requested_at = queue.now()
    time.pass_us(CLOSEST_US // 3)
    queue.release(ID, requested_at)
    time.pass_us(requested_at + CLOSEST_US - queue.now() - 1)
    assert (queue.hold(ID), queue.list_held()) == (False, frozenset({ID}))
    time.pass_us(1)
    assert queue.list_held() == frozenset()
    assert queue.hold(ID)


def test_each_rest_ends_at_its_own_time(time: Time, queue: PollQueue) -> None:
    """Also that of a message whose outcome was committed after those of later requests."""
    earlier = queue.now()
    time.pass_us(SECOND_US // 2)
    assert queue.hold("later")
    assert queue.hold("earlier")
    queue.release("later", queue.now())
    queue.release("earlier", earlier)
    time.pass_us(CLOSEST_US - SECOND_US // 2)
    assert queue.list_held() == frozenset({"later"})
    assert queue.hold("earlier")


def test_an_id_that_was_not_requested_needs_no_rest(queue: PollQueue) -> None:
    """A claim that a reload takes back is free at once."""
    queue.begin_claim(NORMAL)
    assert queue.take(NORMAL, Claimed([MESSAGE], None)) == [MESSAGE]
    assert queue.count_claimed(NORMAL) == 1
    queue.finish(MESSAGE, None, planned=False)
    assert (queue.count_claimed(NORMAL), queue.hold(ID)) == (0, True)


def test_a_claim_leaves_out_what_is_held_by_now(queue: PollQueue) -> None:
    """The store was asked before: meanwhile the id was taken for another request."""
    queue.begin_claim(NORMAL)
    assert queue.hold(ID)
    assert queue.take(NORMAL, Claimed([MESSAGE], None)) == []
    assert queue.count_claimed(NORMAL) == 0


# --- when to look again -------------------------------------------------------------------------------


def test_what_becomes_due_during_a_claim_is_not_forgotten(time: Time, queue: PollQueue) -> None:
    """The answer of the store is older than a message that is tracked while it is on its way."""
    queue.begin_claim(NORMAL)
    assert not queue.is_due(NORMAL)
    queue.note_due(NORMAL, queue.now() + SECOND_US)
    queue.take(NORMAL, Claimed([], queue.now() + HOUR_US))
    assert queue.find_next_wait_us([NORMAL]) == SECOND_US
    time.pass_us(SECOND_US)
    assert queue.is_due(NORMAL)


def test_a_message_that_rests_is_due_after_its_rest(time: Time, queue: PollQueue) -> None:
    """Also when a claim passed over it, and when it was planned while it was held."""
    due = MESSAGE._replace(due_at=queue.now())
    queue.begin_claim(NORMAL)
    queue.take(NORMAL, Claimed([due], None))
    queue.note_planned(due)
    assert not queue.is_due(NORMAL)
    queue.finish(due, queue.now(), planned=False)
    assert queue.find_next_wait_us([NORMAL]) == CLOSEST_US
    queue.begin_claim(NORMAL)
    queue.take(NORMAL, Claimed([], None, [ID]))
    assert queue.find_next_wait_us([NORMAL]) == CLOSEST_US
    time.pass_us(CLOSEST_US)
    assert queue.is_due(NORMAL)


def test_only_something_earlier_wakes_the_workers(queue: PollQueue) -> None:
    """A wakeup for each message of a batch would cost more than the batch."""
    queue.begin_claim(LOW)
    queue.note_due(LOW, 100)
    assert queue.wakeup.is_set()
    queue.wakeup = asyncio.Event()
    queue.note_due(LOW, 100)
    assert not queue.wakeup.is_set()


# --- the queue's clock --------------------------------------------------------------------------------


@pytest.mark.parametrize("step_us", [-HOUR_US, HOUR_US])
def test_the_queue_clock_makes_no_step(time: Time, step_us: int) -> None:
    """The wall clock is set for good and followed: the queue clock goes on, and across the next start too."""
    clock = time.start_clock()
    queue_clock = QueueClock(clock, None)
    began = queue_clock.now()
    planned = queue_clock.from_wall(clock.now() + 30 * SECOND_US, clock.now())
    time.wall_us += step_us
    for _ in range(70):
        time.pass_us(SECOND_US)
        clock.discipline()
    assert clock.now() == time.wall_us
    assert queue_clock.now() - began == 70 * SECOND_US
    assert planned - began == 30 * SECOND_US
    assert queue_clock.from_wall(clock.now() + 5, clock.now()) == queue_clock.now() + 5
    saved = queue_clock.export()
    time.pass_us(20 * SECOND_US)
    assert QueueClock(time.start_clock(), saved).now() - began == 90 * SECOND_US


def test_the_queue_clock_never_goes_back(time: Time) -> None:
    """Set an hour back between two runs, it goes on from where it was; ahead, messages are only overdue."""
    saved = QueueClock(time.start_clock(), None).export()
    time.pass_us(10 * SECOND_US)
    time.wall_us -= HOUR_US
    assert QueueClock(time.start_clock(), saved).now() == saved.queue_us
    time.wall_us += 2 * HOUR_US
    assert QueueClock(time.start_clock(), saved).now() == saved.queue_us + HOUR_US + 10 * SECOND_US


def test_a_plan_from_before_a_step_back_is_not_put_off(time: Time) -> None:
    """An event waits for its commit while the wall clock is set back: its poll comes at its interval."""
    clock = time.start_clock()
    queue_clock = QueueClock(clock, None)
    at = clock.now()
    time.wall_us -= HOUR_US
    for _ in range(70):
        time.pass_us(SECOND_US)
        clock.discipline()
    assert queue_clock.from_wall(at + 5 * SECOND_US, at) <= queue_clock.now() + 5 * SECOND_US


# --- who goes first -----------------------------------------------------------------------------------


def turns(pressing: tuple[Priority, ...], count: int) -> list[Priority]:
    """Who goes, `count` times, while all of `pressing` always have something due."""
    order = Turns()
    return [order.choose(pressing) for _ in range(count)]


@pytest.mark.parametrize(
    ("pressing", "shares"),
    [
        ((HIGH, NORMAL, LOW), {HIGH: 7000, NORMAL: 2000, LOW: 1000}),
        ((HIGH, NORMAL), {HIGH: 8000, NORMAL: 2000}),
        ((HIGH, LOW), {HIGH: 9000, LOW: 1000}),
        ((NORMAL, LOW), {NORMAL: 9000, LOW: 1000}),
        ((LOW,), {LOW: 10_000}),
    ],
)
def test_shares(pressing: tuple[Priority, ...], shares: dict[Priority, int]) -> None:
    """Of all polls low gets a tenth and normal a fifth while others press; the first has the rest."""
    assert Counter(turns(pressing, 10_000)) == pytest.approx(shares, abs=2)


def test_shares_are_spread() -> None:
    """A class behind gets its share evenly: it never waits longer than its share says."""
    order = turns((HIGH, NORMAL, LOW), 1000)
    for priority, longest in ((NORMAL, 6), (LOW, 11)):
        places = [place for place, chosen in enumerate(order) if chosen is priority]
        assert max(b - a for a, b in pairwise(places)) <= longest


@given(st.lists(st.sets(st.sampled_from(Priority), min_size=1), max_size=200))
def test_whoever_waits_gets_a_turn(history: list[set[Priority]]) -> None:
    """Only who waits is chosen, and whoever waits on has its share, whatever comes and goes beside it."""
    order = Turns()
    waited = dict.fromkeys(Priority, 0)
    for waiting in history:
        chosen = order.choose(sorted(waiting))
        assert chosen in waiting
        for priority in Priority:
            waited[priority] = waited[priority] + 1 if priority in waiting and priority is not chosen else 0
        assert waited[NORMAL] <= 6
        assert waited[LOW] <= 11


def test_a_high_message_goes_before_a_whole_campaign() -> None:
    """After any number of polls of a campaign alone, a one-time password is next."""
    order = Turns()
    for _ in range(100_000):
        assert order.choose((LOW,)) is LOW
    assert order.choose((HIGH, LOW)) is HIGH
