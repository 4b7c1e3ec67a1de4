"""What an event makes of a message: the table of moves, the verdicts, and what is counted once."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter import lifecycle
from exporter.lifecycle import MOVES, OUTAGE_CAP_US, Count, Event, Observed, Step
from exporter.model import (
    FINAL_BY_PROVIDER,
    FINISHED,
    GIVEN_UP,
    SECOND_US,
    Answer,
    Message,
    Outcome,
    Status,
    Verdict,
    Via,
)
from exporter.snapshot import BUCKETS_US, Kind
from tests.core.example import (
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

ALL = frozenset(Status)
UNDER_WAY = frozenset({Status.SCHEDULED, Status.PROCESSING, Status.OTHER})
TELLABLE = UNDER_WAY | FINAL_BY_PROVIDER
"""What an answer can say."""
DELIVERED, PROCESSING, SCHEDULED = Status.DELIVERED, Status.PROCESSING, Status.SCHEDULED

LEGAL = {
    Status.NEW: TELLABLE | GIVEN_UP,
    Status.SCHEDULED: {Status.PROCESSING, Status.OTHER} | FINISHED,
    Status.PROCESSING: {Status.OTHER} | FINISHED,
    Status.OTHER: {Status.SCHEDULED, Status.PROCESSING} | FINISHED,
    Status.DELIVERED: set(),
    Status.UNDELIVERABLE: set(),
    Status.PERMANENTERROR: set(),
    Status.EXPIRED: FINAL_BY_PROVIDER,
    Status.NOT_FOUND: FINAL_BY_PROVIDER,
    Status.REJECTED: FINAL_BY_PROVIDER,
}


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


def in_status(status: Status) -> Message:
    """A message that got to `status` some time ago, judged where that takes it."""
    ended = status in FINISHED
    return MESSAGE._replace(
        status=status,
        outcome=status if ended else Status.NEW,
        verdict=Verdict.MISSED if ended else Verdict.NONE,
        finished_at=SENT_AT + SECOND_US if ended else 0,
    )


# --- the table of moves -----------------------------------------------------------------------------


def test_the_table_is_the_documented_one() -> None:
    """Statuses move forward only, ends absorb, and what we gave up can still end late."""
    assert {status: set(moves) for status, moves in MOVES.items()} == {
        status: set(moves) for status, moves in LEGAL.items()
    }


@pytest.mark.parametrize("via", list(Via))
@pytest.mark.parametrize("told", sorted(TELLABLE))
@pytest.mark.parametrize("known", sorted(ALL))
def test_each_pair_of_statuses(known: Status, told: Status, via: Via) -> None:
    """An answer moves a message where the table says, and nowhere else; the gauge follows it."""
    step = advance(in_status(known), saw(told, 2 * SECOND_US, via=via))
    after = told if told in LEGAL[known] else known
    assert step.message.status is after
    moved = {known.word: -1, told.word: 1} if after is not known else {}
    assert counted(step, Kind.MESSAGES) == moved


@pytest.mark.parametrize("end", sorted(FINAL_BY_PROVIDER))
@pytest.mark.parametrize(
    "event",
    [
        *(saw(status, HOUR_US, via=via) for status in sorted(TELLABLE) for via in Via),
        *(failed(outcome, HOUR_US) for outcome in Outcome),
        tick(1000 * HOUR_US),
    ],
    ids=repr,
)
def test_an_end_absorbs(end: Status, event: Event) -> None:
    """After the provider's final status no event changes or counts anything about the message."""
    step = advance(in_status(end), event)
    assert (step.message.status, step.message.outcome, step.counts) == (end, end, ())
    assert not step.newly_finished
    assert not step.newly_delivered


@pytest.mark.parametrize(
    ("known", "told", "via", "conflict"),
    [
        (DELIVERED, Status.UNDELIVERABLE, Via.POLL, True),
        (DELIVERED, Status.UNDELIVERABLE, Via.WEBHOOK, True),
        (DELIVERED, PROCESSING, Via.POLL, True),
        (PROCESSING, SCHEDULED, Via.POLL, True),
        # Webhooks overtake each other on the way.
        (DELIVERED, PROCESSING, Via.WEBHOOK, False),
        (PROCESSING, SCHEDULED, Via.WEBHOOK, False),
        (DELIVERED, DELIVERED, Via.POLL, False),
        (PROCESSING, PROCESSING, Via.POLL, False),
        # It was we who gave up.
        (Status.EXPIRED, PROCESSING, Via.POLL, False),
        (Status.EXPIRED, DELIVERED, Via.POLL, False),
    ],
)
def test_a_conflict_is_the_provider_against_itself(
    known: Status, told: Status, via: Via, *, conflict: bool
) -> None:
    """Only an answer that contradicts an earlier one is a conflict: not a late one, not a repeated one."""
    assert advance(in_status(known), saw(told, 2 * SECOND_US, via=via)).conflict is conflict


@pytest.mark.parametrize("known", [Status.NEW, SCHEDULED])
def test_a_move_and_the_expiry_in_one_answer(known: Status) -> None:
    """An answer that moves a message whose time has run out takes it to `expired`, counted once."""
    step = advance(in_status(known), saw(PROCESSING, 25 * HOUR_US))
    assert step.message.status is Status.EXPIRED
    assert counted(step, Kind.MESSAGES) == {known.word: -1, "expired": 1}
    assert counted(step, Kind.FINISHED) == {"expired": 1}


# --- what must hold for any history -----------------------------------------------------------------

durations = st.integers(min_value=0, max_value=100 * HOUR_US)
answers = st.builds(
    Answer,
    status=st.sampled_from(sorted(TELLABLE)),
    parts=st.integers(0, 5),
    cost_nanos=st.none() | st.integers(0, 10**9),
    currency=st.sampled_from(["", "USD"]),
    fallbacks=st.sampled_from([(), (("sms", "not_used"),), (("sms", "delivered"),)]),
)
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(
        Observed,
        row=st.just(1),
        at=durations.map(SENT_AT.__add__),
        answering_us=durations,
        answer=answers,
        via=st.sampled_from(Via),
        occurred_at=st.just(0) | st.integers(SENT_AT - HOUR_US, SENT_AT + 200 * HOUR_US),
    ),
    st.builds(
        lifecycle.PollFailed,
        row=st.just(1),
        at=durations.map(SENT_AT.__add__),
        answering_us=durations,
        outcome=st.sampled_from([outcome for outcome in Outcome if outcome is not Outcome.OK]),
    ),
    st.builds(lifecycle.Tick, row=st.just(1), at=durations.map(SENT_AT.__add__), answering_us=st.just(0)),
)


@given(st.lists(events, max_size=12))
def test_any_history(history: list[Event]) -> None:
    """Whatever comes: finished and judged at most once, one status each, no count but the gauge falls."""
    steps = walk(history)
    last = steps[-1].message if steps else MESSAGE
    come_to = sums(steps)
    statuses = {label: n for (kind, label, _), n in come_to.items() if kind is Kind.MESSAGES}
    assert statuses == ({"new": -1, last.status.word: 1} if last.status is not Status.NEW else {})
    finished = sum(n for (kind, *_), n in come_to.items() if kind is Kind.FINISHED)
    assert finished == sum(step.newly_finished for step in steps) == (0 if last.pending else 1)
    verdicts = [step.verdict for step in steps if step.verdict]
    assert verdicts == ([last.verdict] if last.verdict else [])
    assert last.pending or last.verdict, "a message ended unjudged"
    unobserved = come_to.get((Kind.SLO_UNOBSERVED, "", ""), 0)
    assert unobserved == verdicts.count(Verdict.UNOBSERVED)
    assert all(count.amount >= 0 for s in steps for count in s.counts if count.kind is not Kind.MESSAGES)
    assert sum(step.newly_delivered for step in steps) == (last.status is DELIVERED)
    outcomes = [step.message.outcome for step in steps if not step.message.pending]
    assert len(set(outcomes)) <= 1, "the first end is the one that counts"


webhooks_under_way = st.builds(
    saw, st.sampled_from(sorted(UNDER_WAY)), st.integers(0, 60 * SECOND_US), via=st.just(Via.WEBHOOK)
)
polls_under_way = st.builds(saw, st.sampled_from(sorted(UNDER_WAY)), st.integers(0, 60 * SECOND_US))
ends = st.builds(
    saw, st.sampled_from(sorted(FINAL_BY_PROVIDER)), st.integers(0, 60 * SECOND_US), via=st.sampled_from(Via)
)


@given(st.lists(st.one_of(webhooks_under_way, polls_under_way), max_size=4), ends)
def test_one_end_in_any_order(before: list[Event], end: Observed) -> None:
    """All permutations of a history with one final status come to the same totals."""
    results = [sums(walk(order)) for order in permutations([*before, end])]
    assert all(result == results[0] for result in results)


@given(
    st.lists(webhooks_under_way, max_size=3),
    st.sampled_from(sorted(permutations(sorted(FINAL_BY_PROVIDER), 2))),
    st.integers(1, 3),
)
def test_two_ends_in_any_order(before: list[Event], statuses: tuple[Status, Status], repeats: int) -> None:
    """With two different final statuses exactly one is counted, and one is a conflict."""
    first, second = (saw(status, SECOND_US, via=Via.WEBHOOK) for status in statuses)
    for order in permutations([*before, first, second]):
        steps = walk(order * repeats)
        assert sum(step.newly_finished for step in steps) == 1
        assert sum(n for (kind, *_), n in sums(steps).items() if kind is Kind.FINISHED) == 1
        assert sum(step.conflict for step in walk(order)) == 1


# --- giving up --------------------------------------------------------------------------------------


def test_not_visible_yet() -> None:
    """A message that the provider doesn't know stays pending for a minute after its acceptance."""
    step = advance(MESSAGE, failed(Outcome.NOT_FOUND, 60 * SECOND_US - 1))
    assert step.message.pending
    assert step.counts == ()


def test_not_found_for_good() -> None:
    """After that minute it ends as `not_found`, once."""
    steps = walk([failed(Outcome.NOT_FOUND, 60 * SECOND_US), failed(Outcome.NOT_FOUND, 70 * SECOND_US)])
    assert steps[0].message.status is Status.NOT_FOUND
    assert sums(steps)[Kind.FINISHED, "not_found", ""] == 1
    assert steps[0].verdict is Verdict.MISSED


def test_the_minute_begins_with_acceptance() -> None:
    """An old message that was accepted just now has its minute too."""
    message = MESSAGE._replace(accepted_at=SENT_AT + HOUR_US)
    assert advance(message, failed(Outcome.NOT_FOUND, HOUR_US + 59 * SECOND_US)).message.pending


def test_three_refusals() -> None:
    """An answer that blames the message ends it as `rejected` at the third time, not before."""
    steps = walk([failed(Outcome.CLIENT_ERROR, n * SECOND_US) for n in (1, 2, 3, 4)])
    assert [step.message.pending for step in steps] == [True, True, False, False]
    assert sums(steps)[Kind.FINISHED, "rejected", ""] == 1


def test_other_failures_are_no_refusals() -> None:
    """A server error between refusals doesn't count as one; an answer forgives them all."""
    events: list[Event] = [failed(Outcome.CLIENT_ERROR, 1), failed(Outcome.SERVER_ERROR, 2)]
    events += [failed(Outcome.CLIENT_ERROR, 3), saw(PROCESSING, 4), failed(Outcome.CLIENT_ERROR, 5)]
    assert walk(events)[-1].message.pending


@pytest.mark.parametrize(
    "outcome", [Outcome.TIMEOUT, Outcome.CONNECT, Outcome.SERVER_ERROR, Outcome.BAD_BODY]
)
def test_an_outage_is_no_time_out(outcome: Outcome) -> None:
    """While the provider doesn't answer, no number of failures and no age makes a message expire."""
    events = [
        failed(outcome, n * HOUR_US, answering_after_us=DEFAULT.give_up_after_us - 1) for n in range(1, 90)
    ]
    assert walk(events)[-1].message.pending
    assert walk([tick(DEFAULT.give_up_after_us + OUTAGE_CAP_US - 1)])[-1].message.pending


def test_expiry_after_a_last_answer() -> None:
    """An answer after the time that the provider was answering for ends the message."""
    kept = advance(MESSAGE, saw(PROCESSING, DEFAULT.give_up_after_us - 1))
    ended = advance(MESSAGE, saw(PROCESSING, DEFAULT.give_up_after_us))
    assert kept.message.pending
    assert ended.message.outcome is Status.EXPIRED


def test_expiry_without_a_last_answer() -> None:
    """A message past its time is given up at the third straight failure."""
    steps = walk([failed(Outcome.BAD_SCHEMA, 25 * HOUR_US + n) for n in range(3)])
    assert [step.message.pending for step in steps] == [True, True, False]


def test_the_cap_of_an_outage() -> None:
    """Three days after its time even an outage can't keep a message pending."""
    step = advance(MESSAGE, tick(DEFAULT.give_up_after_us + OUTAGE_CAP_US))
    assert step.message.outcome is Status.EXPIRED
    assert step.verdict is Verdict.UNOBSERVED


@pytest.mark.parametrize("given_up", sorted(GIVEN_UP))
@pytest.mark.parametrize("via", list(Via))
def test_a_late_end(given_up: Status, via: Via) -> None:
    """A final status after we gave up moves the gauge and is counted as late, not as finished."""
    steps = walk([saw(DELIVERED, 30 * HOUR_US, via=via)] * 2, in_status(given_up))
    assert steps[0].message.status is DELIVERED
    assert steps[0].message.outcome is given_up
    come_to = sums(steps)
    assert come_to[Kind.LATE, "delivered", ""] == 1
    assert come_to[Kind.FIRST_KNOWLEDGE, via.value, ""] == 1
    assert not [series for series in come_to if series[0] in {Kind.FINISHED, Kind.DURATION_BUCKET}]
    assert [step.newly_delivered for step in steps] == [True, False]


def test_a_late_end_brings_its_cost() -> None:
    """What a late message cost is money all the same, and counted once."""
    event = Observed(1, SENT_AT + 30 * HOUR_US, 0, Answer(DELIVERED, cost_nanos=7, currency="USD"))
    assert sums(walk([event, event], in_status(Status.EXPIRED)))[Kind.COST_NANOS, "USD", ""] == 7


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
