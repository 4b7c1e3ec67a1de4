"""A message, a profile and events to start a test from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from exporter.domain import lifecycle
from exporter.domain.lifecycle import Count, Event, Observed, PollFailed, Step, Tick
from exporter.domain.model import SECOND_US, Answer, Message, Outcome, Policy, Priority, Verdict, Via
from exporter.domain.snapshot import Kind
from exporter.domain.states import FINISHED, Status

MINUTE_US = 60 * SECOND_US
HOUR_US = 3600 * SECOND_US
SENT_AT = 1_700_000_000 * SECOND_US
UPTIME_AT_ACCEPT_US = 1_000 * SECOND_US
"""The account's provider uptime when the example was accepted."""

DEFAULT = Policy(
    first_poll_us=5 * SECOND_US,
    interval_us=5 * SECOND_US,
    max_interval_us=30 * MINUTE_US,
    give_up_after_us=24 * HOUR_US,
    deadline_us=5 * MINUTE_US,
    objective_ratio=0.95,
    priority=Priority.NORMAL,
)
OTP = Policy(
    first_poll_us=3 * SECOND_US,
    interval_us=5 * SECOND_US,
    max_interval_us=5 * SECOND_US,
    give_up_after_us=2 * MINUTE_US,
    deadline_us=30 * SECOND_US,
    objective_ratio=0.95,
    priority=Priority.HIGH,
)
CAMPAIGN = Policy(
    first_poll_us=MINUTE_US,
    interval_us=MINUTE_US,
    max_interval_us=HOUR_US,
    give_up_after_us=72 * HOUR_US,
    deadline_us=HOUR_US,
    objective_ratio=0.9,
    priority=Priority.LOW,
)

MESSAGE = Message(
    row=1,
    account_id=1,
    campaign_id=1,
    message_id="abc123def456",
    status=Status.NEW,
    outcome=Status.NEW,
    verdict=Verdict.NONE,
    sent_at=SENT_AT,
    accepted_at=SENT_AT,
    due_at=SENT_AT + 5 * SECOND_US,
    polled_at=0,
    finished_at=0,
    uptime_at_accept_us=UPTIME_AT_ACCEPT_US,
    polls=0,
    failures=0,
    refusals=0,
    priority=Priority.NORMAL,
)
"""Just accepted."""


def make_observed(
    status: Status, after_us: int, *, via: Via = Via.POLL, occurred_after_us: int | None = None, row: int = 1
) -> Observed:
    """The provider says `status`, `after_us` after sending; it answers all the time."""
    occurred_at = 0 if occurred_after_us is None else SENT_AT + occurred_after_us
    return Observed(row, SENT_AT + after_us, UPTIME_AT_ACCEPT_US + after_us, Answer(status), via, occurred_at)


def make_failed(outcome: Outcome, after_us: int, *, uptime_after_us: int | None = None) -> PollFailed:
    """A poll fails; the provider uptime grew by `uptime_after_us` (default: all the time)."""
    uptime_us = UPTIME_AT_ACCEPT_US + (after_us if uptime_after_us is None else uptime_after_us)
    return PollFailed(1, SENT_AT + after_us, uptime_us, outcome)


def make_tick(after_us: int) -> Tick:
    """Only time passes."""
    return Tick(1, SENT_AT + after_us, 0)


def sum_counts(counts: Iterable[Count]) -> Counter[tuple[Kind, str, str]]:
    """What the counts come to, series by series; nothing that comes to 0."""
    sums: Counter[tuple[Kind, str, str]] = Counter()
    for kind, label1, label2, amount in counts:
        sums[kind, label1, label2] += amount
    return Counter({series: amount for series, amount in sums.items() if amount})


def count_by_label(step: Step, kind: Kind) -> dict[str, int]:
    """What a step counts of one kind, by the first label."""
    return {label1: amount for (k, label1, _), amount in sum_counts(step.counts).items() if k is kind}


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


def sum_steps(steps: list[Step]) -> dict[tuple[Kind, str, str], int]:
    """What all steps come to."""
    return dict(sum_counts(count for step in steps for count in step.counts))


def make_in_status(status: Status) -> Message:
    """A message that got to `status` some time ago, judged where that takes it."""
    ended = status in FINISHED
    return MESSAGE._replace(
        status=status,
        outcome=status if ended else Status.NEW,
        verdict=Verdict.MISSED if ended else Verdict.NONE,
        finished_at=SENT_AT + SECOND_US if ended else 0,
    )
