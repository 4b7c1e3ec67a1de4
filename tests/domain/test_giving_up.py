"""Messages that end without a final status: not found, rejected, expired; and late final statuses."""

from __future__ import annotations

import pytest

from exporter.domain.lifecycle import OUTAGE_CAP_US, Event, Observed
from exporter.domain.model import (
    GIVEN_UP,
    SECOND_US,
    Answer,
    Outcome,
    Status,
    Verdict,
    Via,
)
from exporter.domain.snapshot import Kind
from tests.domain.example import (
    DEFAULT,
    HOUR_US,
    MESSAGE,
    SENT_AT,
    advance,
    make_failed,
    make_in_status,
    make_observed,
    make_tick,
    sum_steps,
    walk,
)

DELIVERED, PROCESSING = Status.DELIVERED, Status.PROCESSING


# --- giving up --------------------------------------------------------------------------------------


def test_not_visible_yet() -> None:
    """A message that the provider doesn't know stays pending for a minute after its acceptance."""
    step = advance(MESSAGE, make_failed(Outcome.NOT_FOUND, 60 * SECOND_US - 1))
    assert step.message.pending
    assert step.counts == ()


def test_not_found_for_good() -> None:
    """After that minute it ends as `not_found`, once."""
    steps = walk(
        [make_failed(Outcome.NOT_FOUND, 60 * SECOND_US), make_failed(Outcome.NOT_FOUND, 70 * SECOND_US)]
    )
    assert steps[0].message.status is Status.NOT_FOUND
    assert sum_steps(steps)[Kind.FINISHED, "not_found", ""] == 1
    assert steps[0].verdict is Verdict.MISSED


def test_the_minute_begins_with_acceptance() -> None:
    """An old message that was accepted just now has its minute too."""
    message = MESSAGE._replace(accepted_at=SENT_AT + HOUR_US)
    assert advance(message, make_failed(Outcome.NOT_FOUND, HOUR_US + 59 * SECOND_US)).message.pending


def test_three_refusals() -> None:
    """An answer that rejects the message ends it as `rejected` at the third time, not before."""
    steps = walk([make_failed(Outcome.CLIENT_ERROR, n * SECOND_US) for n in (1, 2, 3, 4)])
    assert [step.message.pending for step in steps] == [True, True, False, False]
    assert sum_steps(steps)[Kind.FINISHED, "rejected", ""] == 1


def test_other_failures_are_no_refusals() -> None:
    """A server error between refusals doesn't count as one; an answer forgives them all."""
    events: list[Event] = [make_failed(Outcome.CLIENT_ERROR, 1), make_failed(Outcome.SERVER_ERROR, 2)]
    events += [
        make_failed(Outcome.CLIENT_ERROR, 3),
        make_observed(PROCESSING, 4),
        make_failed(Outcome.CLIENT_ERROR, 5),
    ]
    assert walk(events)[-1].message.pending


@pytest.mark.parametrize(
    "outcome", [Outcome.TIMEOUT, Outcome.CONNECT, Outcome.SERVER_ERROR, Outcome.BAD_BODY]
)
def test_an_outage_is_no_time_out(outcome: Outcome) -> None:
    """While the provider doesn't answer, no number of failures and no age makes a message expire."""
    events = [
        make_failed(outcome, n * HOUR_US, uptime_after_us=DEFAULT.give_up_after_us - 1) for n in range(1, 90)
    ]
    assert walk(events)[-1].message.pending
    assert walk([make_tick(DEFAULT.give_up_after_us + OUTAGE_CAP_US - 1)])[-1].message.pending


def test_expiry_after_a_last_answer() -> None:
    """An answer ends the message once the provider uptime exceeds `give_up_after`."""
    before = advance(MESSAGE, make_observed(PROCESSING, DEFAULT.give_up_after_us - 1))
    ended = advance(MESSAGE, make_observed(PROCESSING, DEFAULT.give_up_after_us))
    assert before.message.pending
    assert ended.message.outcome is Status.EXPIRED


def test_expiry_without_a_last_answer() -> None:
    """A message past its time is given up at the third straight failure."""
    steps = walk([make_failed(Outcome.BAD_SCHEMA, 25 * HOUR_US + n) for n in range(3)])
    assert [step.message.pending for step in steps] == [True, True, False]


def test_the_cap_of_an_outage() -> None:
    """Three days after its time even an outage can't keep a message pending."""
    step = advance(MESSAGE, make_tick(DEFAULT.give_up_after_us + OUTAGE_CAP_US))
    assert step.message.outcome is Status.EXPIRED
    assert step.verdict is Verdict.UNOBSERVED


@pytest.mark.parametrize("given_up", sorted(GIVEN_UP))
@pytest.mark.parametrize("via", list(Via))
def test_a_late_final_status(given_up: Status, via: Via) -> None:
    """A final status after we gave up moves the gauge and is counted as late, not as finished."""
    steps = walk([make_observed(DELIVERED, 30 * HOUR_US, via=via)] * 2, make_in_status(given_up))
    assert steps[0].message.status is DELIVERED
    assert steps[0].message.outcome is given_up
    come_to = sum_steps(steps)
    assert come_to[Kind.LATE, "delivered", ""] == 1
    assert come_to[Kind.FIRST_KNOWLEDGE, via.value, ""] == 1
    assert not [series for series in come_to if series[0] in {Kind.FINISHED, Kind.DURATION_BUCKET}]
    assert [step.newly_delivered for step in steps] == [True, False]


def test_a_late_final_status_brings_its_cost() -> None:
    """What a late message cost is money all the same, and counted once."""
    event = Observed(1, SENT_AT + 30 * HOUR_US, 0, Answer(DELIVERED, cost_nanos=7, currency="USD"))
    assert sum_steps(walk([event, event], make_in_status(Status.EXPIRED)))[Kind.COST_NANOS, "USD", ""] == 7
