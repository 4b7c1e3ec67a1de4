"""What an event does to a message: the table of moves, the verdicts, and what is counted once."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.domain import lifecycle
from exporter.domain.lifecycle import MOVES, Event, Observed
from exporter.domain.model import (
    FINAL_BY_PROVIDER,
    FINISHED,
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
    HOUR_US,
    MESSAGE,
    SENT_AT,
    advance,
    count_by_label,
    make_failed,
    make_in_status,
    make_observed,
    make_tick,
    sum_steps,
    walk,
)

ALL = frozenset(Status)
UNDER_WAY = frozenset({Status.SCHEDULED, Status.PROCESSING, Status.OTHER})
REPORTED = UNDER_WAY | FINAL_BY_PROVIDER
"""The statuses that an answer can have."""
DELIVERED, PROCESSING, SCHEDULED = Status.DELIVERED, Status.PROCESSING, Status.SCHEDULED

LEGAL = {
    Status.NEW: REPORTED | GIVEN_UP,
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


# --- the table of moves -----------------------------------------------------------------------------


def test_the_table_is_the_documented_one() -> None:
    """Statuses move forward only, final ones never move, and what we gave up can still finish late."""
    assert {status: set(moves) for status, moves in MOVES.items()} == {
        status: set(moves) for status, moves in LEGAL.items()
    }


@pytest.mark.parametrize("via", list(Via))
@pytest.mark.parametrize("reported", sorted(REPORTED))
@pytest.mark.parametrize("known", sorted(ALL))
def test_each_pair_of_statuses(known: Status, reported: Status, via: Via) -> None:
    """An answer moves a message where the table says, and nowhere else; the gauge follows it."""
    step = advance(make_in_status(known), make_observed(reported, 2 * SECOND_US, via=via))
    after = reported if reported in LEGAL[known] else known
    assert step.message.status is after
    moved = {known.word: -1, reported.word: 1} if after is not known else {}
    assert count_by_label(step, Kind.MESSAGES) == moved


@pytest.mark.parametrize("final", sorted(FINAL_BY_PROVIDER))
@pytest.mark.parametrize(
    "event",
    [
        *(make_observed(status, HOUR_US, via=via) for status in sorted(REPORTED) for via in Via),
        *(make_failed(outcome, HOUR_US) for outcome in Outcome),
        make_tick(1000 * HOUR_US),
    ],
    ids=repr,
)
def test_a_final_status_never_changes(final: Status, event: Event) -> None:
    """After the provider's final status no event changes or counts anything about the message."""
    step = advance(make_in_status(final), event)
    assert (step.message.status, step.message.outcome, step.counts) == (final, final, ())
    assert not step.newly_finished
    assert not step.newly_delivered


@pytest.mark.parametrize(
    ("known", "reported", "via", "conflict"),
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
        # It was not the provider that ended these.
        (Status.EXPIRED, PROCESSING, Via.POLL, False),
        (Status.EXPIRED, DELIVERED, Via.POLL, False),
    ],
)
def test_a_conflict_is_the_provider_against_itself(
    known: Status, reported: Status, via: Via, *, conflict: bool
) -> None:
    """Only an answer that contradicts an earlier one is a conflict: not a late one, not a repeated one."""
    assert (
        advance(make_in_status(known), make_observed(reported, 2 * SECOND_US, via=via)).conflict is conflict
    )


@pytest.mark.parametrize("known", [Status.NEW, SCHEDULED])
def test_a_move_and_the_expiry_in_one_answer(known: Status) -> None:
    """An answer that moves a message whose time has run out takes it to `expired`, counted once."""
    step = advance(make_in_status(known), make_observed(PROCESSING, 25 * HOUR_US))
    assert step.message.status is Status.EXPIRED
    assert count_by_label(step, Kind.MESSAGES) == {known.word: -1, "expired": 1}
    assert count_by_label(step, Kind.FINISHED) == {"expired": 1}


# --- what must hold for any history -----------------------------------------------------------------

durations = st.integers(min_value=0, max_value=100 * HOUR_US)
answers = st.builds(
    Answer,
    status=st.sampled_from(sorted(REPORTED)),
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
        uptime_us=durations,
        answer=answers,
        via=st.sampled_from(Via),
        occurred_at=st.just(0) | st.integers(SENT_AT - HOUR_US, SENT_AT + 200 * HOUR_US),
    ),
    st.builds(
        lifecycle.PollFailed,
        row=st.just(1),
        at=durations.map(SENT_AT.__add__),
        uptime_us=durations,
        outcome=st.sampled_from([outcome for outcome in Outcome if outcome is not Outcome.OK]),
    ),
    st.builds(lifecycle.Tick, row=st.just(1), at=durations.map(SENT_AT.__add__), uptime_us=st.just(0)),
)


@given(st.lists(events, max_size=12))
def test_any_history(history: list[Event]) -> None:
    """Whatever comes: finished and judged at most once, one status each, no count but the gauge falls."""
    steps = walk(history)
    last = steps[-1].message if steps else MESSAGE
    come_to = sum_steps(steps)
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
    assert len(set(outcomes)) <= 1, "the first final status is the one that counts"


webhooks_under_way = st.builds(
    make_observed,
    st.sampled_from(sorted(UNDER_WAY)),
    st.integers(0, 60 * SECOND_US),
    via=st.just(Via.WEBHOOK),
)
polls_under_way = st.builds(make_observed, st.sampled_from(sorted(UNDER_WAY)), st.integers(0, 60 * SECOND_US))
final_statuses = st.builds(
    make_observed,
    st.sampled_from(sorted(FINAL_BY_PROVIDER)),
    st.integers(0, 60 * SECOND_US),
    via=st.sampled_from(Via),
)


@given(st.lists(st.one_of(webhooks_under_way, polls_under_way), max_size=4), final_statuses)
def test_one_final_status_in_any_order(before: list[Event], final: Observed) -> None:
    """All permutations of a history with one final status come to the same totals."""
    results = [sum_steps(walk(order)) for order in permutations([*before, final])]
    assert all(result == results[0] for result in results)


@given(
    st.lists(webhooks_under_way, max_size=3),
    st.sampled_from(sorted(permutations(sorted(FINAL_BY_PROVIDER), 2))),
    st.integers(1, 3),
)
def test_two_final_statuses_in_any_order(
    before: list[Event], statuses: tuple[Status, Status], repeats: int
) -> None:
    """With two different final statuses exactly one is counted, and one is a conflict."""
    first, second = (make_observed(status, SECOND_US, via=Via.WEBHOOK) for status in statuses)
    for order in permutations([*before, first, second]):
        steps = walk(order * repeats)
        assert sum(step.newly_finished for step in steps) == 1
        assert sum(n for (kind, *_), n in sum_steps(steps).items() if kind is Kind.FINISHED) == 1
        assert sum(step.conflict for step in walk(order)) == 1
