"""How a message did against its deadline, and what its end is worth."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest

from exporter.domain import lifecycle
from exporter.domain.lifecycle import Count, Event, Observed, Step
from exporter.domain.model import (
    SECOND_US,
    Answer,
    Message,
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
    counted,
    failed,
    saw,
    tick,
    total,
)

DELIVERED, PROCESSING = Status.DELIVERED, Status.PROCESSING


def advance(message: Message, event: Event) -> Step:
    """One event, under the profile `default`."""
    return lifecycle.advance(message, event, DEFAULT, "UAH")


def walk(events: Sequence[Event], message: Message = MESSAGE) -> list[Step]:
    """All events, one after the other."""
    steps = []
    for event in events:
        steps.append(advance(message, event))
        message = steps[-1].message
    return steps


def sums(steps: list[Step]) -> dict[tuple[Kind, str, str], int]:
    """What all steps come to."""
    return dict(total(count for step in steps for count in step.counts))


# --- verdicts ---------------------------------------------------------------------------------------

DEADLINE_US = DEFAULT.deadline_us
TOLERANCE_US = lifecycle.tolerance_us(DEADLINE_US)


@pytest.mark.parametrize(
    ("event", "verdict"),
    [
        (saw(PROCESSING, DEADLINE_US - 1), Verdict.NONE),
        (saw(PROCESSING, DEADLINE_US), Verdict.MISSED),
        (saw(PROCESSING, DEADLINE_US + TOLERANCE_US), Verdict.MISSED),
        (saw(PROCESSING, DEADLINE_US + TOLERANCE_US + 1), Verdict.UNOBSERVED),
        (saw(DELIVERED, DEADLINE_US), Verdict.MET),
        (saw(DELIVERED, DEADLINE_US + TOLERANCE_US), Verdict.MET),
        (saw(DELIVERED, DEADLINE_US + TOLERANCE_US + 1), Verdict.UNOBSERVED),
        (saw(Status.UNDELIVERABLE, SECOND_US), Verdict.MISSED),
        # Only failures would be certain now: judging just those would bend the ratio.
        (saw(Status.UNDELIVERABLE, DEADLINE_US + TOLERANCE_US + 1), Verdict.UNOBSERVED),
        (failed(Outcome.TIMEOUT, DEADLINE_US + TOLERANCE_US), Verdict.NONE),
        (failed(Outcome.TIMEOUT, DEADLINE_US + TOLERANCE_US + 1), Verdict.UNOBSERVED),
        (tick(DEADLINE_US + TOLERANCE_US), Verdict.NONE),
        (tick(DEADLINE_US + TOLERANCE_US + 1), Verdict.UNOBSERVED),
        # A webhook tells what was, and a better one may be on its way: it is no look.
        (saw(PROCESSING, DEADLINE_US, via=Via.WEBHOOK), Verdict.NONE),
        # The provider's own time counts, however late we hear it, for deliveries and failures alike.
        (saw(DELIVERED, HOUR_US, via=Via.WEBHOOK, occurred_after_us=DEADLINE_US), Verdict.MET),
        (saw(DELIVERED, HOUR_US, via=Via.WEBHOOK, occurred_after_us=DEADLINE_US + 1), Verdict.MISSED),
        (saw(Status.UNDELIVERABLE, HOUR_US, via=Via.WEBHOOK, occurred_after_us=1), Verdict.MISSED),
        # Its clock is ahead: it can't have happened after we heard of it.
        (saw(DELIVERED, DEADLINE_US, via=Via.WEBHOOK, occurred_after_us=HOUR_US), Verdict.MET),
    ],
)
def test_verdicts(event: Event, verdict: Verdict) -> None:
    """The first event that can tell judges the message: in time, missed, or not to be known any more."""
    step = advance(MESSAGE, event)
    assert step.verdict is step.message.verdict is verdict
    assert counted(step, Kind.SLO_UNOBSERVED) == ({"": 1} if verdict is Verdict.UNOBSERVED else {})


@pytest.mark.parametrize(
    "outcome", [o for o in Outcome if o not in {Outcome.NOT_FOUND, Outcome.CLIENT_ERROR, Outcome.OK}]
)
def test_giving_up_unseen_is_no_miss(outcome: Outcome) -> None:
    """A message given up at its deadline because nobody could look is not judged as missed."""
    policy = dataclasses.replace(OTP, give_up_after_us=OTP.deadline_us)
    message = MESSAGE._replace(failures=2)
    step = lifecycle.advance(message, failed(outcome, OTP.deadline_us), policy, "UAH")
    assert step.message.outcome is Status.EXPIRED
    assert step.verdict is Verdict.UNOBSERVED


# --- what an end is worth ---------------------------------------------------------------------------


def test_cost_in_the_answers_currency() -> None:
    """Cost goes to the answer's currency, or to the account's when it names none."""
    named = Observed(1, SENT_AT, 0, Answer(DELIVERED, cost_nanos=50_000_000, currency="USD"))
    unnamed = named._replace(answer=Answer(DELIVERED, cost_nanos=50_000_000))
    assert counted(advance(MESSAGE, named), Kind.COST_NANOS) == {"USD": 50_000_000}
    assert counted(advance(MESSAGE, unnamed), Kind.COST_NANOS) == {"UAH": 50_000_000}


@pytest.mark.parametrize("cost_nanos", [None, 0])
def test_no_cost(cost_nanos: int | None) -> None:
    """An end without a cost, or with none to pay, makes no series of cost."""
    event = Observed(1, SENT_AT, 0, Answer(DELIVERED, cost_nanos=cost_nanos))
    assert counted(advance(MESSAGE, event), Kind.COST_NANOS) == {}


def test_cost_waits_for_the_end() -> None:
    """Cost and parts of a message that is under way are not counted yet."""
    event = Observed(1, SENT_AT, 0, Answer(PROCESSING, parts=2, cost_nanos=5))
    assert counted(advance(MESSAGE, event), Kind.COST_NANOS) == {}
    assert counted(advance(MESSAGE, event), Kind.PARTS) == {}


def test_parts_fallbacks_and_channels() -> None:
    """An end counts its parts, each fallback entry and each channel, and whether it fell back."""
    answer = Answer(
        DELIVERED,
        parts=3,
        fallbacks=(("sms", "delivered"), ("sms", "delivered"), ("email", "not_used")),
        channels=(("viber", "undeliverable"), ("sms", "delivered")),
    )
    step = advance(MESSAGE, Observed(1, SENT_AT, 0, answer))
    come_to = sums([step])
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
        step = advance(MESSAGE, saw(DELIVERED, duration_us))
        assert Count(Kind.DURATION_BUCKET, "poll", str(index), 1) in step.counts
        assert Count(Kind.DURATION_SUM_US, "poll", "", duration_us) in step.counts


@pytest.mark.parametrize(
    ("event", "duration_us"),
    [
        (saw(DELIVERED, -SECOND_US), 0),
        (saw(DELIVERED, 9, via=Via.WEBHOOK, occurred_after_us=4), 4),
        (saw(DELIVERED, 9, via=Via.WEBHOOK, occurred_after_us=-SECOND_US), 0),
        (saw(DELIVERED, 9, via=Via.WEBHOOK, occurred_after_us=HOUR_US), 9),
    ],
)
def test_durations_stay_in_bounds(event: Observed, duration_us: int) -> None:
    """A duration is never negative, and never ends after we heard of the delivery."""
    assert counted(advance(MESSAGE, event), Kind.DURATION_SUM_US).get(event.via.value, 0) == duration_us


def test_only_deliveries_have_durations() -> None:
    """A message that failed has no delivery time."""
    step = advance(MESSAGE, saw(Status.UNDELIVERABLE, MINUTE_US))
    assert counted(step, Kind.DURATION_BUCKET) == {}


def test_looks_are_counted() -> None:
    """An answered look counts a poll and forgives failures; a webhook is no look."""
    steps = walk([failed(Outcome.TIMEOUT, 1), saw(PROCESSING, 2, via=Via.WEBHOOK), saw(PROCESSING, 3)])
    assert [(s.message.polls, s.message.failures) for s in steps] == [(0, 1), (0, 1), (1, 0)]
    assert [s.message.polled_at - SENT_AT for s in steps] == [1, 1, 3]
