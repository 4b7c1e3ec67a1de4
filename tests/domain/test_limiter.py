"""What an account may send, given the outcomes of its requests: rate, pauses, outages, refused keys."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.domain.limiter import BURST_US, USABLE, AccountLimiter, CircuitState, LimiterState
from exporter.domain.model import SECOND_US, Outcome
from exporter.domain.token_bucket import TokenBucket
from tests.domain.example import HOUR_US, MINUTE_US

OK, LIMITED, REFUSED = Outcome.OK, Outcome.RATE_LIMITED, Outcome.UNAUTHORIZED
FAILURES = sorted(set(Outcome) - USABLE - {LIMITED, REFUSED})


def record_outcome(
    limiter: AccountLimiter, now: int, outcome: Outcome, *, row: int = 1, after_us: int | None = None
) -> bool:
    """End a request at once that has just gone out; returns whether the circuit changed."""
    return limiter.record_outcome(now, now, row, outcome, after_us)


def send_until(limiter: AccountLimiter, now: int, until: int) -> list[int]:
    """Send whenever the limiter allows it, without answers; returns the times of sending."""
    sent = []
    while (now := now + limiter.get_wait_us(now)) < until:
        limiter.record_sent(now)
        sent.append(now)
    return sent


def count_most_in_a_second(sent: Iterable[int]) -> int:
    """The largest number of requests in any second."""
    window: list[int] = []
    most = 0
    for at in sent:
        window = [earlier for earlier in window if earlier > at - SECOND_US] + [at]
        most = max(most, len(window))
    return most


# --- the bucket -------------------------------------------------------------------------------------


def test_the_bucket_starts_empty() -> None:
    """The first request waits for its token, so that restarts in a row never add up to a burst."""
    assert TokenBucket(10, 0).get_wait_us(0) == pytest.approx(SECOND_US / 10, abs=1)


@given(st.floats(0.1, 200), st.lists(st.integers(0, 3 * SECOND_US), max_size=100), st.integers(0, 10**12))
def test_never_more_than_the_rate(rate: float, pauses: list[int], start: int) -> None:
    """Whatever pauses the sender makes, no second sees more requests than the rate and one bucket."""
    bucket, now = TokenBucket(rate, start, burst_us=BURST_US), start
    sent: list[int] = []
    for pause_us in pauses:
        now += pause_us
        for _ in range(30):
            now += bucket.get_wait_us(now)
            bucket.take_token(now)
            sent.append(now)
    assert count_most_in_a_second(sent) <= rate + max(1.0, rate * BURST_US / SECOND_US)


@pytest.mark.parametrize("rate", [0.5, 1, 7, 10, 100, 333])
def test_all_of_the_rate(rate: float) -> None:
    """An account that always has something to send gets the whole rate."""
    sent = send_until(AccountLimiter(rate, 0), 0, 100 * SECOND_US)
    assert len(sent) == pytest.approx(100 * rate, rel=0.02, abs=2)


def test_the_announced_wait_is_exact() -> None:
    """After the wait that was announced there is a token, and before it there is none."""
    bucket, now = TokenBucket(3, 0), 0
    for _ in range(50):
        wait_us = bucket.get_wait_us(now)
        assert bucket.get_wait_us(now + wait_us - 2) > 0
        now += wait_us
        assert bucket.get_wait_us(now) == 0
        bucket.take_token(now)


def test_a_full_bucket_holds_its_burst_and_then_one_per_interval() -> None:
    """The first requests may come at once; a clock that steps back earns nothing and loses nothing."""
    bucket = TokenBucket(0.1, burst_tokens=3, full=True)
    assert [bucket.try_take_token(SECOND_US) for _ in range(4)] == [True, True, True, False]
    assert [bucket.try_take_token(second * SECOND_US) for second in (10, 11, 20)] == [False, True, False]
    assert [bucket.try_take_token(second * SECOND_US) for second in (5, 15)] == [False, True]


def test_a_new_rate_from_a_reload() -> None:
    """A new configured rate is used at once; the same one leaves a lowered rate alone."""
    limiter = AccountLimiter(10, 0)
    record_outcome(limiter, SECOND_US, LIMITED)
    limiter.configure(10)
    assert limiter.rate == 5
    limiter.configure(50)
    assert limiter.rate == 50


# --- 429 --------------------------------------------------------------------------------------------


def test_retry_after_is_kept() -> None:
    """The whole account keeps the pause that the provider asks for, to the microsecond."""
    limiter = AccountLimiter(10, 0)
    record_outcome(limiter, SECOND_US, LIMITED, after_us=17 * SECOND_US)
    assert limiter.get_wait_us(SECOND_US) == 17 * SECOND_US
    assert limiter.paused_until == 18 * SECOND_US
    assert send_until(limiter, SECOND_US, 18 * SECOND_US) == []


def test_pauses_double() -> None:
    """Without Retry-After pauses begin at 5 s and double up to 5 min, until an answer after one."""
    limiter, now = AccountLimiter(10, 0), 0
    pauses = []
    for _ in range(9):
        record_outcome(limiter, now, LIMITED)
        pauses.append(limiter.get_wait_us(now) // SECOND_US)
        now = limiter.paused_until + 1
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    record_outcome(limiter, now, OK)
    record_outcome(limiter, now + 1, LIMITED)
    assert limiter.get_wait_us(now + 1) // SECOND_US == 5


def test_an_answer_from_before_the_pause_proves_nothing() -> None:
    """What was sent before a pause and is answered within it doesn't make the next one short again."""
    limiter = AccountLimiter(10, 0)
    record_outcome(limiter, 0, LIMITED)
    limiter.record_outcome(SECOND_US, 0, 1, OK, None)
    record_outcome(limiter, 6 * SECOND_US, LIMITED)
    assert limiter.get_wait_us(6 * SECOND_US) == 10 * SECOND_US


def test_one_halving_for_what_was_already_out() -> None:
    """Ten requests in flight that all get 429 halve the rate once and pause once."""
    limiter = AccountLimiter(10, 0)
    for n in range(10):
        limiter.record_outcome(SECOND_US + n, n, n, LIMITED, None)
    assert limiter.rate == 5
    assert limiter.paused_until == 6 * SECOND_US


def test_the_longest_retry_after_of_many_counts() -> None:
    """Of requests that were in flight together, the longest Retry-After counts."""
    limiter = AccountLimiter(10, 0)
    limiter.record_outcome(SECOND_US, 0, 1, LIMITED, 3 * SECOND_US)
    limiter.record_outcome(SECOND_US + 1, 0, 2, LIMITED, 30 * SECOND_US)
    limiter.record_outcome(SECOND_US + 2, 0, 3, LIMITED, 2 * SECOND_US)
    assert limiter.paused_until == SECOND_US + 1 + 30 * SECOND_US


def test_the_rate_comes_back() -> None:
    """A tenth of the configured rate comes back each minute, and no more than is configured."""
    limiter = AccountLimiter(10, 0)
    record_outcome(limiter, 0, LIMITED)
    for minute, rate in ((1, 6), (2, 7), (5, 10), (60, 10)):
        limiter.record_sent(minute * MINUTE_US)
        assert limiter.rate == pytest.approx(rate)


def test_the_rate_has_a_floor() -> None:
    """However many 429s come, a hundredth of the rate is left."""
    limiter = AccountLimiter(10, 0)
    for n in range(40):
        record_outcome(limiter, n, LIMITED)
    assert limiter.rate == pytest.approx(0.1)


class Provider:
    """A provider that allows 7 requests a second and answers after a while."""

    def __init__(self) -> None:
        self._bucket = TokenBucket(7.0, 0, burst_us=BURST_US)

    def answer(self, now: int) -> Outcome:
        """What a request that arrives now gets."""
        if self._bucket.get_wait_us(now):
            return LIMITED
        self._bucket.take_token(now)
        return OK


@pytest.mark.parametrize("latency_us", [20_000, 300_000, 2 * SECOND_US])
def test_convergence(latency_us: int) -> None:
    """Configured 10 where the provider allows 7: fewer than 1 % get 429, and most of the 7 is used."""
    limiter, provider, u = AccountLimiter(10, 0), Provider(), random.Random(7)
    now, started = 0, HOUR_US
    outcomes: list[Outcome] = []
    out: list[tuple[int, int, Outcome]] = []
    while now < 4 * HOUR_US:
        wait_us = limiter.get_wait_us(now) if len(out) < 10 else out[0][0] - now
        if out and out[0][0] <= now + wait_us:
            now, sent_at, outcome = heapq.heappop(out)
            limiter.record_outcome(now, sent_at, 1, outcome, None)
            continue
        now += wait_us
        if wait_us == 0:
            limiter.record_sent(now)
            outcome = provider.answer(now)
            outcomes += [outcome] if now > started else []
            heapq.heappush(out, (now + int(latency_us * (0.5 + u.random())), now, outcome))
    refused = outcomes.count(LIMITED)
    assert refused / len(outcomes) < 0.01
    assert len(outcomes) / (3 * 3600) > 0.6 * min(7, 10 / (latency_us / SECOND_US))


# --- the circuit ------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", FAILURES)
def test_five_failures_of_three_messages_open_the_circuit(outcome: Outcome) -> None:
    """At the fifth failure in a row, over three messages, the circuit opens, and that is reported once."""
    limiter = AccountLimiter(10, 0)
    changed = [record_outcome(limiter, n * 2 * SECOND_US, outcome, row=n % 3) for n in range(7)]
    assert changed == [False] * 4 + [True] + [False] * 2
    assert limiter.circuit is CircuitState.OPEN


def test_failures_must_last() -> None:
    """Any number of them within five seconds is a bad moment; at five seconds it is an outage."""
    limiter = AccountLimiter(10, 0)
    record_outcome(limiter, 0, OK)
    failing = [record_outcome(limiter, SECOND_US + n, Outcome.SERVER_ERROR, row=n) for n in range(100)]
    assert not any(failing)
    assert not record_outcome(limiter, 6 * SECOND_US - 1, Outcome.SERVER_ERROR)
    assert record_outcome(limiter, 6 * SECOND_US, Outcome.SERVER_ERROR)


def test_two_poison_messages_never_open_the_circuit() -> None:
    """However often one or two messages fail, the others are polled."""
    limiter = AccountLimiter(10, 0)
    for n in range(100):
        record_outcome(limiter, n, Outcome.BAD_BODY, row=n % 2)
    assert limiter.circuit is CircuitState.CLOSED


def test_messages_that_failed_before_an_answer_are_forgiven() -> None:
    """A poison message doesn't open the circuit together with others that failed before the last answer."""
    limiter = AccountLimiter(10, 0)
    record_outcome(limiter, 1, Outcome.TIMEOUT, row=2)
    record_outcome(limiter, 2, Outcome.TIMEOUT, row=3)
    record_outcome(limiter, 3, OK)
    for n in range(4, 100):
        record_outcome(limiter, n, Outcome.BAD_BODY, row=1)
    assert limiter.circuit is CircuitState.CLOSED


@pytest.mark.parametrize("outcome", sorted(USABLE))
def test_failures_must_be_straight(outcome: Outcome) -> None:
    """One usable answer in between, even one about another message, begins the count anew."""
    limiter = AccountLimiter(10, 0)
    for n in range(100):
        record_outcome(limiter, n, outcome if n % 5 == 4 else Outcome.TIMEOUT, row=n)
    assert limiter.circuit is CircuitState.CLOSED


def make_open_limiter(now: int = 0) -> AccountLimiter:
    """A limiter whose circuit has just opened."""
    limiter = AccountLimiter(10, now - 5 * SECOND_US)
    for row in range(5):
        record_outcome(limiter, now - 5 * SECOND_US, Outcome.CONNECT, row=row)
    assert record_outcome(limiter, now, Outcome.CONNECT)
    return limiter


def test_one_probe_every_half_minute() -> None:
    """In an outage one request goes out each 30 s, the first after 30 s."""
    assert send_until(make_open_limiter(), 0, 200 * SECOND_US) == [n * 30 * SECOND_US for n in range(1, 7)]


@pytest.mark.parametrize("outcome", sorted(USABLE))
def test_an_answered_probe_ends_the_outage(outcome: Outcome) -> None:
    """One usable answer closes the circuit."""
    limiter = make_open_limiter()
    assert record_outcome(limiter, 30 * SECOND_US, outcome)
    assert limiter.circuit is CircuitState.CLOSED
    assert len(send_until(limiter, 30 * SECOND_US, 40 * SECOND_US)) > 90


def test_a_429_ends_an_outage() -> None:
    """A provider that answers 429 works: the outage ends, and the pause is kept."""
    limiter = make_open_limiter()
    record_outcome(limiter, 30 * SECOND_US, LIMITED, after_us=MINUTE_US)
    assert limiter.circuit is CircuitState.CLOSED
    assert limiter.get_wait_us(30 * SECOND_US) == MINUTE_US


def test_retry_after_of_a_503() -> None:
    """A failure that says when to come back pauses the account until then."""
    limiter = AccountLimiter(10, 0)
    record_outcome(limiter, 0, Outcome.SERVER_ERROR, after_us=9 * SECOND_US)
    assert limiter.get_wait_us(0) == 9 * SECOND_US
    assert limiter.rate == 10


# --- a refused key ----------------------------------------------------------------------------------


def test_one_probe_a_minute_while_unauthorized() -> None:
    """A refused key stops the account at the first refusal; one probe goes out each minute."""
    limiter = AccountLimiter(10, 0)
    assert record_outcome(limiter, 0, REFUSED)
    assert limiter.circuit is CircuitState.UNAUTHORIZED
    sent = []
    now = 0
    while (now := now + limiter.get_wait_us(now)) < 400 * SECOND_US:
        limiter.record_sent(now)
        record_outcome(limiter, now, REFUSED)
        sent.append(now)
    assert sent == [n * MINUTE_US for n in range(1, 7)]


def test_a_changed_key_is_tried_at_once() -> None:
    """When the key file changes a probe goes out at once, and an answer closes the circuit."""
    limiter = AccountLimiter(10, 0)
    record_outcome(limiter, 0, REFUSED)
    limiter.on_credentials_changed(20 * SECOND_US)
    assert limiter.get_wait_us(20 * SECOND_US) == 0
    limiter.record_sent(20 * SECOND_US)
    assert limiter.get_wait_us(20 * SECOND_US) == MINUTE_US
    record_outcome(limiter, 21 * SECOND_US, OK)
    assert limiter.circuit is CircuitState.CLOSED


def test_a_changed_key_ends_no_outage() -> None:
    """A new key changes nothing where the key was not what was wrong."""
    limiter = make_open_limiter()
    limiter.on_credentials_changed(SECOND_US)
    assert limiter.get_wait_us(SECOND_US) == 29 * SECOND_US


# --- provider uptime --------------------------------------------------------------------------------

endings = st.tuples(st.integers(0, HOUR_US), st.sampled_from(Outcome), st.none() | st.integers(0, MINUTE_US))


@given(st.lists(endings, max_size=50))
def test_uptime_is_the_time_with_answers(history: list[tuple[int, Outcome, int | None]]) -> None:
    """It grows from a usable outcome (or the start) to the next unusable one, and never falls."""
    limiter, now, expected, runs = AccountLimiter(10, 0), 0, 0, True
    for pause_us, outcome, retry_after_us in history:
        now += pause_us
        expected += pause_us if runs else 0
        assert limiter.get_uptime_us(now) == expected
        limiter.record_outcome(now, now, 1, outcome, retry_after_us)
        assert limiter.get_uptime_us(now) == expected
        runs = outcome in USABLE


# --- over a restart ---------------------------------------------------------------------------------


def test_a_restart_continues_where_the_run_before_stopped() -> None:
    """Uptime, pause and lowered rate survive; the wall clock measures the pause across runs."""
    limiter, wall = AccountLimiter(10, 0), 10**15
    record_outcome(limiter, HOUR_US, LIMITED, after_us=100 * SECOND_US)
    saved = limiter.export_state(HOUR_US + SECOND_US, wall)
    later = AccountLimiter(10, 500, saved=saved, wall_now=wall + 40 * SECOND_US)
    assert later.get_wait_us(500) == 59 * SECOND_US
    assert later.rate == 5
    assert later.get_uptime_us(500) == HOUR_US


def test_nothing_to_save() -> None:
    """A pause that is over and a full rate leave no trace."""
    assert AccountLimiter(10, 0).export_state(5, 10**15) == LimiterState(uptime_us=5)


@pytest.mark.parametrize("days", [-3, 3])
def test_a_wrong_clock_keeps_no_pause(days: int) -> None:
    """A wall clock that was set between two runs makes a saved pause an hour at most."""
    limiter = AccountLimiter(10, 0)
    record_outcome(limiter, 0, LIMITED)
    saved = limiter.export_state(0, 10**15)
    later = AccountLimiter(10, 0, saved=saved, wall_now=10**15 + days * 24 * HOUR_US)
    assert later.get_wait_us(0) <= HOUR_US


def test_a_saved_rate_above_the_configured_one() -> None:
    """A rate that was configured lower in the meantime is not exceeded by the saved one."""
    assert AccountLimiter(3, 0, saved=LimiterState(rate=5)).rate == 3
