"""Outages and refused keys: when everything stops, what still goes out, and the clock that stands still."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.domain.limiter import USABLE, AccountLimiter, CircuitState
from exporter.domain.model import SECOND_US, Outcome
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


# --- the breaker ------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", FAILURES)
def test_five_failures_of_three_messages_open_the_breaker(outcome: Outcome) -> None:
    """At the fifth straight failure over three messages the flow stops, and that is told once."""
    gate = AccountLimiter(10, 0)
    changed = [end(gate, n * 2 * SECOND_US, outcome, row=n % 3) for n in range(7)]
    assert changed == [False] * 4 + [True] + [False] * 2
    assert gate.flow is CircuitState.OPEN


def test_failures_must_last() -> None:
    """Any number of them within five seconds is a bad moment; at five seconds it is an outage."""
    gate = AccountLimiter(10, 0)
    end(gate, 0, OK)
    failing = [end(gate, SECOND_US + n, Outcome.SERVER_ERROR, row=n) for n in range(100)]
    assert not any(failing)
    assert not end(gate, 6 * SECOND_US - 1, Outcome.SERVER_ERROR)
    assert end(gate, 6 * SECOND_US, Outcome.SERVER_ERROR)


def test_two_poison_messages_never_open_the_breaker() -> None:
    """However often one or two messages fail, the others go on."""
    gate = AccountLimiter(10, 0)
    for n in range(100):
        end(gate, n, Outcome.BAD_BODY, row=n % 2)
    assert gate.flow is CircuitState.CLOSED


def test_messages_that_failed_before_an_answer_are_forgiven() -> None:
    """A poison message doesn't open the breaker together with others that failed before the last answer."""
    gate = AccountLimiter(10, 0)
    end(gate, 1, Outcome.TIMEOUT, row=2)
    end(gate, 2, Outcome.TIMEOUT, row=3)
    end(gate, 3, OK)
    for n in range(4, 100):
        end(gate, n, Outcome.BAD_BODY, row=1)
    assert gate.flow is CircuitState.CLOSED


@pytest.mark.parametrize("outcome", sorted(USABLE))
def test_failures_must_be_straight(outcome: Outcome) -> None:
    """One usable answer in between, even one about another message, begins the count anew."""
    gate = AccountLimiter(10, 0)
    for n in range(100):
        end(gate, n, outcome if n % 5 == 4 else Outcome.TIMEOUT, row=n)
    assert gate.flow is CircuitState.CLOSED


def broken_gate(now: int = 0) -> AccountLimiter:
    """A gate whose breaker has just opened."""
    gate = AccountLimiter(10, now - 5 * SECOND_US)
    for row in range(5):
        end(gate, now - 5 * SECOND_US, Outcome.CONNECT, row=row)
    assert end(gate, now, Outcome.CONNECT)
    return gate


def test_one_probe_every_half_minute() -> None:
    """In an outage one request goes out each 30 s, the first after 30 s."""
    assert drive(broken_gate(), 0, 200 * SECOND_US) == [n * 30 * SECOND_US for n in range(1, 7)]


@pytest.mark.parametrize("outcome", sorted(USABLE))
def test_an_answered_probe_ends_the_outage(outcome: Outcome) -> None:
    """One usable answer and everything flows again."""
    gate = broken_gate()
    assert end(gate, 30 * SECOND_US, outcome)
    assert gate.flow is CircuitState.CLOSED
    assert len(drive(gate, 30 * SECOND_US, 40 * SECOND_US)) > 90


def test_a_429_in_an_outage_is_life() -> None:
    """A provider that limits is up: the outage ends, and the pause holds."""
    gate = broken_gate()
    end(gate, 30 * SECOND_US, LIMITED, after_us=MINUTE_US)
    assert gate.flow is CircuitState.CLOSED
    assert gate.wait_us(30 * SECOND_US) == MINUTE_US


def test_retry_after_of_a_503() -> None:
    """A failure that says when to come back pauses the account until then."""
    gate = AccountLimiter(10, 0)
    end(gate, 0, Outcome.SERVER_ERROR, after_us=9 * SECOND_US)
    assert gate.wait_us(0) == 9 * SECOND_US
    assert gate.rate == 10


# --- a refused key ----------------------------------------------------------------------------------


def test_one_probe_a_minute_while_revoked() -> None:
    """A refused key stops the account at the first refusal; one probe goes out each minute."""
    gate = AccountLimiter(10, 0)
    assert end(gate, 0, REFUSED)
    assert gate.flow is CircuitState.UNAUTHORIZED
    sent = []
    now = 0
    while (now := now + gate.wait_us(now)) < 400 * SECOND_US:
        gate.sent(now)
        end(gate, now, REFUSED)
        sent.append(now)
    assert sent == [n * MINUTE_US for n in range(1, 7)]


def test_a_changed_key_is_tried_at_once() -> None:
    """When the key file changes a probe goes out at once, and an answer lets everything flow."""
    gate = AccountLimiter(10, 0)
    end(gate, 0, REFUSED)
    gate.credentials_changed(20 * SECOND_US)
    assert gate.wait_us(20 * SECOND_US) == 0
    gate.sent(20 * SECOND_US)
    assert gate.wait_us(20 * SECOND_US) == MINUTE_US
    end(gate, 21 * SECOND_US, OK)
    assert gate.flow is CircuitState.CLOSED


def test_a_changed_key_ends_no_outage() -> None:
    """A new key changes nothing where the key was not what was wrong."""
    gate = broken_gate()
    gate.credentials_changed(SECOND_US)
    assert gate.wait_us(SECOND_US) == 29 * SECOND_US


# --- the answering clock ----------------------------------------------------------------------------

endings = st.tuples(st.integers(0, HOUR_US), st.sampled_from(Outcome), st.none() | st.integers(0, MINUTE_US))


@given(st.lists(endings, max_size=50))
def test_the_answering_clock_counts_answered_time(history: list[tuple[int, Outcome, int | None]]) -> None:
    """It runs from a usable outcome (or the start) until the next unusable one, and never falls."""
    gate, now, expected, runs = AccountLimiter(10, 0), 0, 0, True
    for pause_us, outcome, retry_after_us in history:
        now += pause_us
        expected += pause_us if runs else 0
        assert gate.uptime_us(now) == expected
        gate.ended(now, now, 1, outcome, retry_after_us)
        assert gate.uptime_us(now) == expected
        runs = outcome in USABLE
