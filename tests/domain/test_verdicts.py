"""Whether a message met its deadline, and what is counted when it finishes."""

from __future__ import annotations

import dataclasses

import pytest

from exporter.domain import lifecycle
from exporter.domain.lifecycle import Count, Event, Observed
from exporter.domain.model import (
    SECOND_US,
    Answer,
    Outcome,
    Status,
    Verdict,
    Via,
)
from exporter.domain.snapshot import BUCKETS_US, Kind
from tests.domain.example import (
    DEFAULT,
    HOUR_US,
    MESSAGE,
    MINUTE_US,
    OTP,
    SENT_AT,
    advance,
    count_by_label,
    make_failed,
    make_observed,
    make_tick,
    sum_steps,
    walk,
)

DELIVERED, PROCESSING = Status.DELIVERED, Status.PROCESSING


# --- verdicts ---------------------------------------------------------------------------------------

DEADLINE_US = DEFAULT.deadline_us
TOLERANCE_US = lifecycle.compute_tolerance_us(DEADLINE_US)


@pytest.mark.parametrize(
    ("event", "verdict"),
    [
        (make_observed(PROCESSING, DEADLINE_US - 1), Verdict.NONE),
        (make_observed(PROCESSING, DEADLINE_US), Verdict.MISSED),
        (make_observed(PROCESSING, DEADLINE_US + TOLERANCE_US), Verdict.MISSED),
        (make_observed(PROCESSING, DEADLINE_US + TOLERANCE_US + 1), Verdict.UNOBSERVED),
        (make_observed(DELIVERED, DEADLINE_US), Verdict.MET),
        (make_observed(DELIVERED, DEADLINE_US + TOLERANCE_US), Verdict.MET),
        (make_observed(DELIVERED, DEADLINE_US + TOLERANCE_US + 1), Verdict.UNOBSERVED),
        (make_observed(Status.UNDELIVERABLE, SECOND_US), Verdict.MISSED),
        # Only failures would be certain now: judging just those would bias the ratio.
        (make_observed(Status.UNDELIVERABLE, DEADLINE_US + TOLERANCE_US + 1), Verdict.UNOBSERVED),
        (make_failed(Outcome.TIMEOUT, DEADLINE_US + TOLERANCE_US), Verdict.NONE),
        (make_failed(Outcome.TIMEOUT, DEADLINE_US + TOLERANCE_US + 1), Verdict.UNOBSERVED),
        (make_tick(DEADLINE_US + TOLERANCE_US), Verdict.NONE),
        (make_tick(DEADLINE_US + TOLERANCE_US + 1), Verdict.UNOBSERVED),
        # A webhook reports the past, and a better one may be on its way: it is not a poll.
        (make_observed(PROCESSING, DEADLINE_US, via=Via.WEBHOOK), Verdict.NONE),
        # The provider's own time counts, however late we receive it, for deliveries and failures alike.
        (make_observed(DELIVERED, HOUR_US, via=Via.WEBHOOK, occurred_after_us=DEADLINE_US), Verdict.MET),
        (
            make_observed(DELIVERED, HOUR_US, via=Via.WEBHOOK, occurred_after_us=DEADLINE_US + 1),
            Verdict.MISSED,
        ),
        (make_observed(Status.UNDELIVERABLE, HOUR_US, via=Via.WEBHOOK, occurred_after_us=1), Verdict.MISSED),
        # Its clock is ahead: it can't have happened after we received it.
        (make_observed(DELIVERED, DEADLINE_US, via=Via.WEBHOOK, occurred_after_us=HOUR_US), Verdict.MET),
    ],
)
def test_verdicts(event: Event, verdict: Verdict) -> None:
    """The first event that shows it judges the message: in time, missed, or unobserved."""
    step = advance(MESSAGE, event)
    assert step.verdict is step.message.verdict is verdict
    assert count_by_label(step, Kind.SLO_UNOBSERVED) == ({"": 1} if verdict is Verdict.UNOBSERVED else {})


@pytest.mark.parametrize(
    "outcome", [o for o in Outcome if o not in {Outcome.NOT_FOUND, Outcome.CLIENT_ERROR, Outcome.OK}]
)
def test_giving_up_unseen_is_no_miss(outcome: Outcome) -> None:
    """A message given up at its deadline, when no poll was answered, is not judged as missed."""
    policy = dataclasses.replace(OTP, give_up_after_us=OTP.deadline_us)
    message = MESSAGE._replace(failures=2)
    step = lifecycle.advance(message, make_failed(outcome, OTP.deadline_us), policy, "UAH")
    assert step.message.outcome is Status.EXPIRED
    assert step.verdict is Verdict.UNOBSERVED


# --- what a final status counts ---------------------------------------------------------------------


def test_cost_in_the_answers_currency() -> None:
    """Cost goes to the answer's currency, or to the account's when it names none."""
    named = Observed(1, SENT_AT, 0, Answer(DELIVERED, cost_nanos=50_000_000, currency="USD"))
    unnamed = named._replace(answer=Answer(DELIVERED, cost_nanos=50_000_000))
    assert count_by_label(advance(MESSAGE, named), Kind.COST_NANOS) == {"USD": 50_000_000}
    assert count_by_label(advance(MESSAGE, unnamed), Kind.COST_NANOS) == {"UAH": 50_000_000}


@pytest.mark.parametrize("cost_nanos", [None, 0])
def test_no_cost(cost_nanos: int | None) -> None:
    """A final status without a cost, or with a cost of 0, makes no series of cost."""
    event = Observed(1, SENT_AT, 0, Answer(DELIVERED, cost_nanos=cost_nanos))
    assert count_by_label(advance(MESSAGE, event), Kind.COST_NANOS) == {}


def test_cost_waits_for_the_final_status() -> None:
    """Cost and parts of a message that is under way are not counted yet."""
    event = Observed(1, SENT_AT, 0, Answer(PROCESSING, parts=2, cost_nanos=5))
    assert count_by_label(advance(MESSAGE, event), Kind.COST_NANOS) == {}
    assert count_by_label(advance(MESSAGE, event), Kind.PARTS) == {}


def test_parts_fallbacks_and_channels() -> None:
    """A final status counts parts, each fallback entry and each channel, and whether a fallback was used."""
    answer = Answer(
        DELIVERED,
        parts=3,
        fallbacks=(("sms", "delivered"), ("sms", "delivered"), ("email", "not_used")),
        channels=(("viber", "undeliverable"), ("sms", "delivered")),
    )
    step = advance(MESSAGE, Observed(1, SENT_AT, 0, answer))
    come_to = sum_steps([step])
    assert come_to[Kind.PARTS, "", ""] == 3
    assert come_to[Kind.FALLBACKS, "sms", "delivered"] == 2
    assert come_to[Kind.FALLBACKS, "email", "not_used"] == 1
    assert come_to[Kind.CHANNELS, "viber", "undeliverable"] == 1
    assert step.fell_back


@pytest.mark.parametrize("bucket", range(len(BUCKETS_US)))
def test_a_duration_falls_into_its_bucket(bucket: int) -> None:
    """A duration counts in the first bucket whose bound it doesn't exceed."""
    bound_us = BUCKETS_US[bucket]
    for duration_us, index in ((bound_us, bucket), (bound_us + 1, bucket + 1)):
        step = advance(MESSAGE, make_observed(DELIVERED, duration_us))
        assert Count(Kind.DURATION_BUCKET, "poll", str(index), 1) in step.counts
        assert Count(Kind.DURATION_SUM_US, "poll", "", duration_us) in step.counts


@pytest.mark.parametrize(
    ("event", "duration_us"),
    [
        (make_observed(DELIVERED, -SECOND_US), 0),
        (make_observed(DELIVERED, 9, via=Via.WEBHOOK, occurred_after_us=4), 4),
        (make_observed(DELIVERED, 9, via=Via.WEBHOOK, occurred_after_us=-SECOND_US), 0),
        (make_observed(DELIVERED, 9, via=Via.WEBHOOK, occurred_after_us=HOUR_US), 9),
    ],
)
def test_durations_stay_in_bounds(event: Observed, duration_us: int) -> None:
    """A duration is never negative, and never longer than until we received the status."""
    assert (
        count_by_label(advance(MESSAGE, event), Kind.DURATION_SUM_US).get(event.via.value, 0) == duration_us
    )


def test_only_deliveries_have_durations() -> None:
    """A message that failed has no delivery time."""
    step = advance(MESSAGE, make_observed(Status.UNDELIVERABLE, MINUTE_US))
    assert count_by_label(step, Kind.DURATION_BUCKET) == {}


def test_polls_are_counted() -> None:
    """An answered poll is counted and resets failures; a webhook is not a poll."""
    steps = walk(
        [
            make_failed(Outcome.TIMEOUT, 1),
            make_observed(PROCESSING, 2, via=Via.WEBHOOK),
            make_observed(PROCESSING, 3),
        ]
    )
    assert [(s.message.polls, s.message.failures) for s in steps] == [(0, 1), (0, 1), (1, 0)]
    assert [s.message.polled_at - SENT_AT for s in steps] == [1, 1, 3]
