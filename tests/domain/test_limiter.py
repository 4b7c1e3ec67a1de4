"""What an account may send, learned from what its requests brought."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.domain.limiter import BURST_US, USABLE, AccountLimiter, LimiterState
from exporter.domain.model import SECOND_US, Outcome
from exporter.domain.token_bucket import TokenBucket
from tests.domain.example import HOUR_US, MINUTE_US

OK, LIMITED, REFUSED = Outcome.OK, Outcome.RATE_LIMITED, Outcome.UNAUTHORIZED
FAILURES = sorted(set(Outcome) - USABLE - {LIMITED, REFUSED})


def end(
    gate: AccountLimiter, now: int, outcome: Outcome, *, row: int = 1, after_us: int | None = None
) -> bool:
    """A request that just went out ends at once; whether the flow changed."""
    return gate.ended(now, now, row, outcome, after_us)


def drive(gate: AccountLimiter, now: int, until: int) -> list[int]:
    """Send whenever the gate allows it, with no answers; the instants of sending."""
    sent = []
    while (now := now + gate.wait_us(now)) < until:
        gate.sent(now)
        sent.append(now)
    return sent


def most_in_a_second(sent: Iterable[int]) -> int:
    """The largest number of requests in any second."""
    window: list[int] = []
    most = 0
    for instant in sent:
        window = [earlier for earlier in window if earlier > instant - SECOND_US] + [instant]
        most = max(most, len(window))
    return most


# --- the bucket -------------------------------------------------------------------------------------


def test_the_bucket_starts_empty() -> None:
    """The first request waits for its token, so that restarts in a row never add up to a burst."""
    assert TokenBucket(10, 0).wait_us(0) == pytest.approx(SECOND_US / 10, abs=1)


@given(st.floats(0.1, 200), st.lists(st.integers(0, 3 * SECOND_US), max_size=100), st.integers(0, 10**12))
def test_never_more_than_the_rate(rate: float, pauses: list[int], start: int) -> None:
    """Whatever pauses the sender makes, no second sees more requests than the rate and one bucket."""
    bucket, now = TokenBucket(rate, start, burst_us=BURST_US), start
    sent: list[int] = []
    for pause_us in pauses:
        now += pause_us
        for _ in range(30):
            now += bucket.wait_us(now)
            bucket.take(now)
            sent.append(now)
    assert most_in_a_second(sent) <= rate + max(1.0, rate * BURST_US / SECOND_US)


@pytest.mark.parametrize("rate", [0.5, 1, 7, 10, 100, 333])
def test_all_of_the_rate(rate: float) -> None:
    """Whoever always has something to send gets the whole rate."""
    sent = drive(AccountLimiter(rate, 0), 0, 100 * SECOND_US)
    assert len(sent) == pytest.approx(100 * rate, rel=0.02, abs=2)


def test_waiting_tells_the_truth() -> None:
    """After the wait that was announced there is a token, and before it there is none."""
    bucket, now = TokenBucket(3, 0), 0
    for _ in range(50):
        wait_us = bucket.wait_us(now)
        assert bucket.wait_us(now + wait_us - 2) > 0
        now += wait_us
        assert bucket.wait_us(now) == 0
        bucket.take(now)


def test_a_full_bucket_holds_its_burst_and_then_one_per_interval() -> None:
    """The first requests may come at once; a clock that steps back earns nothing and loses nothing."""
    bucket = TokenBucket(0.1, burst_tokens=3, full=True)
    assert [bucket.try_take(SECOND_US) for _ in range(4)] == [True, True, True, False]
    assert [bucket.try_take(second * SECOND_US) for second in (10, 11, 20)] == [False, True, False]
    assert [bucket.try_take(second * SECOND_US) for second in (5, 15)] == [False, True]


def test_a_new_rate_from_a_reload() -> None:
    """A new agreed rate holds at once; the same one leaves a lowered rate alone."""
    gate = AccountLimiter(10, 0)
    end(gate, SECOND_US, LIMITED)
    gate.configure(10)
    assert gate.rate == 5
    gate.configure(50)
    assert gate.rate == 50


# --- 429 --------------------------------------------------------------------------------------------


def test_retry_after_is_kept() -> None:
    """The pause that the provider asks for is kept to the microsecond, by the whole account."""
    gate = AccountLimiter(10, 0)
    end(gate, SECOND_US, LIMITED, after_us=17 * SECOND_US)
    assert gate.wait_us(SECOND_US) == 17 * SECOND_US
    assert gate.paused_until == 18 * SECOND_US
    assert drive(gate, SECOND_US, 18 * SECOND_US) == []


def test_pauses_double() -> None:
    """Without Retry-After pauses begin at 5 s and double up to 5 min, until an answer after one."""
    gate, now = AccountLimiter(10, 0), 0
    pauses = []
    for _ in range(9):
        end(gate, now, LIMITED)
        pauses.append(gate.wait_us(now) // SECOND_US)
        now = gate.paused_until + 1
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    end(gate, now, OK)
    end(gate, now + 1, LIMITED)
    assert gate.wait_us(now + 1) // SECOND_US == 5


def test_an_answer_from_before_the_pause_proves_nothing() -> None:
    """What was sent before a pause and is answered within it doesn't make the next one short again."""
    gate = AccountLimiter(10, 0)
    end(gate, 0, LIMITED)
    gate.ended(SECOND_US, 0, 1, OK, None)
    end(gate, 6 * SECOND_US, LIMITED)
    assert gate.wait_us(6 * SECOND_US) == 10 * SECOND_US


def test_one_halving_for_what_was_already_out() -> None:
    """Ten requests in flight that are all refused halve the rate once and pause once."""
    gate = AccountLimiter(10, 0)
    for n in range(10):
        gate.ended(SECOND_US + n, n, n, LIMITED, None)
    assert gate.rate == 5
    assert gate.paused_until == 6 * SECOND_US


def test_the_longest_wish_of_many_holds() -> None:
    """Of requests that were out together, the longest Retry-After is kept."""
    gate = AccountLimiter(10, 0)
    gate.ended(SECOND_US, 0, 1, LIMITED, 3 * SECOND_US)
    gate.ended(SECOND_US + 1, 0, 2, LIMITED, 30 * SECOND_US)
    gate.ended(SECOND_US + 2, 0, 3, LIMITED, 2 * SECOND_US)
    assert gate.paused_until == SECOND_US + 1 + 30 * SECOND_US


def test_the_rate_comes_back() -> None:
    """A tenth of the agreed rate comes back each minute, and no more than was agreed."""
    gate = AccountLimiter(10, 0)
    end(gate, 0, LIMITED)
    for minute, rate in ((1, 6), (2, 7), (5, 10), (60, 10)):
        gate.sent(minute * MINUTE_US)
        assert gate.rate == pytest.approx(rate)


def test_the_rate_has_a_floor() -> None:
    """However often the provider refuses, a hundredth of the rate is left."""
    gate = AccountLimiter(10, 0)
    for n in range(40):
        end(gate, n, LIMITED)
    assert gate.rate == pytest.approx(0.1)


class Provider:
    """A provider that allows 7 requests a second and answers after a while."""

    def __init__(self) -> None:
        """Its bucket is empty too."""
        self._bucket = TokenBucket(7.0, 0, burst_us=BURST_US)

    def answer(self, now: int) -> Outcome:
        """What a request that arrives now gets."""
        if self._bucket.wait_us(now):
            return LIMITED
        self._bucket.take(now)
        return OK


@pytest.mark.parametrize("latency_us", [20_000, 300_000, 2 * SECOND_US])
def test_convergence(latency_us: int) -> None:
    """Agreed on 10 where the provider allows 7, fewer than 1 % are refused, and most of the 7 is used."""
    gate, provider, u = AccountLimiter(10, 0), Provider(), random.Random(7)
    now, started = 0, HOUR_US
    outcomes: list[Outcome] = []
    out: list[tuple[int, int, Outcome]] = []
    while now < 4 * HOUR_US:
        wait_us = gate.wait_us(now) if len(out) < 10 else out[0][0] - now
        if out and out[0][0] <= now + wait_us:
            now, sent_at, outcome = heapq.heappop(out)
            gate.ended(now, sent_at, 1, outcome, None)
            continue
        now += wait_us
        if wait_us == 0:
            gate.sent(now)
            outcome = provider.answer(now)
            outcomes += [outcome] if now > started else []
            heapq.heappush(out, (now + int(latency_us * (0.5 + u.random())), now, outcome))
    refused = outcomes.count(LIMITED)
    assert refused / len(outcomes) < 0.01
    assert len(outcomes) / (3 * 3600) > 0.6 * min(7, 10 / (latency_us / SECOND_US))


# --- over a restart ---------------------------------------------------------------------------------


def test_a_restart_goes_on_where_it_stopped() -> None:
    """Clock, pause and lowered rate survive; the wall clock measures the pause across runs."""
    gate, wall = AccountLimiter(10, 0), 10**15
    end(gate, HOUR_US, LIMITED, after_us=100 * SECOND_US)
    kept = gate.state(HOUR_US + SECOND_US, wall)
    later = AccountLimiter(10, 500, kept=kept, wall_now=wall + 40 * SECOND_US)
    assert later.wait_us(500) == 59 * SECOND_US
    assert later.rate == 5
    assert later.uptime_us(500) == HOUR_US


def test_nothing_to_keep() -> None:
    """A pause that is over and a full rate leave no trace."""
    assert AccountLimiter(10, 0).state(5, 10**15) == LimiterState(uptime_us=5)


@pytest.mark.parametrize("days", [-3, 3])
def test_a_wrong_clock_keeps_no_pause(days: int) -> None:
    """A wall clock that was set between two runs makes a kept pause an hour at most."""
    gate = AccountLimiter(10, 0)
    end(gate, 0, LIMITED)
    kept = gate.state(0, 10**15)
    later = AccountLimiter(10, 0, kept=kept, wall_now=10**15 + days * 24 * HOUR_US)
    assert later.wait_us(0) <= HOUR_US


def test_a_lowered_rate_of_a_larger_agreement() -> None:
    """A rate that was agreed lower in the meantime is not exceeded by what was kept."""
    assert AccountLimiter(3, 0, kept=LimiterState(rate=5)).rate == 3
