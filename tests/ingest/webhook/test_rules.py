"""What a webhook does to a message: pure rules, for webhooks that are trusted and for those that aren't."""

from __future__ import annotations

from itertools import permutations

import pytest

from exporter.domain import lifecycle, webhook_claims
from exporter.domain.events import Event, Observed, StatusClaimed, Step, WebhookEvent
from exporter.domain.model import (
    FINAL_BY_PROVIDER,
    GIVEN_UP,
    SECOND_US,
    Answer,
    Outcome,
    Status,
    Verdict,
    Via,
    WebhookResult,
)
from exporter.domain.snapshot import Kind
from tests.domain.example import (
    DEFAULT,
    HOUR_US,
    MESSAGE,
    SENT_AT,
    UPTIME_AT_ACCEPT_US,
    advance,
    count_by_label,
    make_failed,
    make_observed,
    make_tick,
    sum_steps,
    walk,
)

DELIVERED, PROCESSING, UNDELIVERABLE = Status.DELIVERED, Status.PROCESSING, Status.UNDELIVERABLE
EXPIRED = MESSAGE._replace(
    status=Status.EXPIRED, outcome=Status.EXPIRED, verdict=Verdict.MISSED, finished_at=SENT_AT
)
ANSWER = Answer(DELIVERED, parts=2, cost_nanos=9, currency="USD", fallbacks=(("sms", "delivered"),))
GET = Observed(1, SENT_AT + 9 * SECOND_US, UPTIME_AT_ACCEPT_US + 9 * SECOND_US, ANSWER)
"""The answer that completes a message."""


def claim(status: Status = DELIVERED, after_us: int = SECOND_US) -> StatusClaimed:
    """A webhook in the mode `verify`."""
    return StatusClaimed(1, SENT_AT + after_us, UPTIME_AT_ACCEPT_US + after_us, status)


def trusted(status: Status = DELIVERED, after_us: int = SECOND_US, cost_nanos: int | None = 5) -> Observed:
    """A webhook in the mode `trust`, with its own time."""
    at = SENT_AT + after_us
    return Observed(
        1, at, UPTIME_AT_ACCEPT_US + after_us, Answer(status, cost_nanos=cost_nanos), Via.WEBHOOK, at
    )


# --- verify -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", sorted(Status))
@pytest.mark.parametrize("status_claimed", sorted(FINAL_BY_PROVIDER))
def test_a_claim_counts_nothing(status: Status, status_claimed: Status) -> None:
    """Whatever is claimed of whatever message: no series, no verdict, no final status, no conflict."""
    ended = status in FINAL_BY_PROVIDER | GIVEN_UP
    message = MESSAGE._replace(status=status, outcome=status if ended else Status.NEW)
    step = advance(message, claim(status_claimed))
    assert step._replace(message=message) == Step(message)
    assert step.message._replace(claimed_status=0) == message
    assert step.message.unsettled == (message.pending or status in GIVEN_UP)


def test_a_second_claim_changes_nothing() -> None:
    """While a poll is due anyway, no further one can be caused."""
    first = advance(MESSAGE, claim()).message
    assert advance(first, claim()).message is first
    assert advance(first, claim(UNDELIVERABLE)).message is first


def test_the_answer_counts() -> None:
    """A claim that the answer confirms counts as known first from the webhook; all else is the poll's."""
    steps = walk([claim(), GET])
    assert sum_steps(steps)[Kind.FIRST_KNOWLEDGE, "webhook", ""] == 1
    assert count_by_label(steps[1], Kind.DURATION_SUM_US) == {"poll": 9 * SECOND_US}
    assert count_by_label(steps[1], Kind.COST_NANOS) == {"USD": 9}
    assert steps[1].webhook_first is True
    assert not steps[1].message.unsettled


@pytest.mark.parametrize(
    "before", [[], [claim(UNDELIVERABLE)], [claim(), make_observed(PROCESSING, 2 * SECOND_US)]]
)
def test_a_final_status_without_a_right_claim_is_known_first_from_the_poll(before: list[Event]) -> None:
    """Without a claim, against it, or after it proved wrong."""
    step = walk([*before, GET])[-1]
    assert count_by_label(step, Kind.FIRST_KNOWLEDGE) == {"poll": 1}
    assert step.webhook_first is False


def test_a_claim_about_a_message_that_was_given_up() -> None:
    """One poll shows whether it ended after all; an answer without a final status settles it."""
    claimed = advance(EXPIRED, claim()).message
    assert claimed.unsettled
    late = advance(claimed, GET)
    assert count_by_label(late, Kind.LATE) == {"delivered": 1}
    wrong = advance(claimed, make_observed(PROCESSING, 30 * HOUR_US))
    assert (wrong.message.unsettled, wrong.counts) == (False, ())


def test_a_claim_that_can_not_be_polled() -> None:
    """After three failures a message that was given up is settled."""
    steps = walk(
        [claim(after_us=30 * HOUR_US), *[make_failed(Outcome.TIMEOUT, 31 * HOUR_US + n) for n in range(3)]],
        EXPIRED,
    )
    assert [step.message.unsettled for step in steps] == [True, True, True, False]
    assert not sum_steps(steps)


# --- trust ------------------------------------------------------------------------------------------


def test_a_trusted_final_status_counts_at_once() -> None:
    """Its status, its duration by its own time and its verdict; its cost waits for an answer."""
    step = advance(MESSAGE, trusted())
    assert count_by_label(step, Kind.FINISHED) == {"delivered": 1}
    assert count_by_label(step, Kind.DURATION_SUM_US) == {"webhook": SECOND_US}
    assert count_by_label(step, Kind.FIRST_KNOWLEDGE) == {"webhook": 1}
    assert step.verdict is Verdict.MET
    assert count_by_label(step, Kind.COST_NANOS) == {}
    assert step.message.unsettled
    assert not step.message.pending
    assert step.message.webhook_cost_nanos == 5


def test_one_answer_completes_it() -> None:
    """Cost, parts, fallbacks and channels come from the first answer, once; a second one adds nothing."""
    steps = walk([trusted(), GET, GET])
    come_to = sum_steps(steps)
    assert come_to[Kind.COST_NANOS, "USD", ""] == 9
    assert come_to[Kind.PARTS, "", ""] == 2
    assert come_to[Kind.FALLBACKS, "sms", "delivered"] == 1
    assert come_to[Kind.FINISHED, "delivered", ""] == 1
    assert [step.fell_back for step in steps] == [False, True, False]
    assert not steps[1].message.unsettled


def test_an_answer_that_is_behind() -> None:
    """An answer that still says `processing` completes nothing and contradicts nothing: the next one may."""
    steps = walk([trusted(), make_observed(PROCESSING, 2 * SECOND_US), GET])
    assert steps[1].message.unsettled
    assert not any(step.conflict for step in steps)
    assert sum_steps(steps)[Kind.COST_NANOS, "USD", ""] == 9


def test_an_answer_that_contradicts() -> None:
    """The first final status stays, the conflict is counted, and so is the cost."""
    step = walk([trusted(UNDELIVERABLE), GET])[-1]
    assert step.conflict
    assert step.message.status is UNDELIVERABLE
    assert count_by_label(step, Kind.COST_NANOS) == {"USD": 9}
    assert step.webhook_first is False


@pytest.mark.parametrize(
    "tries",
    [
        [make_failed(Outcome.NOT_FOUND, 61 * SECOND_US)],
        [make_failed(Outcome.CLIENT_ERROR, n * SECOND_US) for n in (2, 3, 4)],
        [make_failed(Outcome.TIMEOUT, 25 * HOUR_US + n) for n in range(3)],
        [make_observed(PROCESSING, 25 * HOUR_US)],
        [make_tick(DEFAULT.give_up_after_us + lifecycle.OUTAGE_CAP_US)],
    ],
)
def test_a_final_status_that_no_answer_completes(tries: list[Event]) -> None:
    """When no answer will come any more the webhook's own cost counts, in the account's currency, once."""
    steps = walk([trusted(), *tries])
    assert sum_steps(steps)[Kind.COST_NANOS, "UAH", ""] == 5
    assert [step.message.unsettled for step in steps[-2:]] == [True, False]
    again = advance(steps[-1].message, GET)
    assert count_by_label(again, Kind.COST_NANOS) == {}


def test_an_outage_does_not_settle() -> None:
    """While the provider doesn't answer at all, no number of failures settles a message."""
    failures = [make_failed(Outcome.CONNECT, n * HOUR_US, uptime_after_us=SECOND_US) for n in range(1, 60)]
    assert walk([trusted(), *failures])[-1].message.unsettled


def test_a_repeat_does_not_settle() -> None:
    """A repeated webhook, however late, does not replace the answer that is still to come."""
    repeated = trusted(after_us=30 * HOUR_US)
    steps = walk([repeated, repeated], EXPIRED)
    assert steps[1].message is steps[0].message
    assert count_by_label(advance(steps[1].message, GET), Kind.COST_NANOS) == {"USD": 9}


def test_the_fallback_of_a_late_final_status_counts_in_no_cohort() -> None:
    """A message that was given up finished as expired: its fallback is no share of those that finished."""
    steps = walk([trusted(after_us=30 * HOUR_US), GET], EXPIRED)
    assert [step.fell_back for step in steps] == [False, False]


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_any_order_has_the_same_totals(order: tuple[int, ...]) -> None:
    """Progress, a final status, its repeat and the answer."""
    events: list[Event] = [trusted(PROCESSING), trusted(), trusted(), GET]
    steps = walk([events[n] for n in order])
    last = steps[-1].message
    come_to = sum_steps([*steps, advance(last, GET)])
    assert come_to[Kind.FINISHED, "delivered", ""] == 1
    assert come_to[Kind.MESSAGES, "delivered", ""] == 1
    assert come_to[Kind.COST_NANOS, "USD", ""] == 9
    assert come_to[Kind.PARTS, "", ""] == 2
    assert not any(step.conflict for step in steps)


def test_messages_first_known_from_a_webhook_are_not_judged() -> None:
    """When they were sent is not known: no verdict, no duration."""
    message = MESSAGE._replace(verdict=Verdict.EXEMPT)
    histories: list[list[Event]] = [
        [trusted(), GET],
        [claim(), GET],
        [make_observed(PROCESSING, HOUR_US)],
        [make_tick(HOUR_US)],
    ]
    for events in histories:
        steps = walk(events, message)
        assert {kind for kind, _, _ in sum_steps(steps)}.isdisjoint(
            {Kind.DURATION_BUCKET, Kind.DURATION_SUM_US, Kind.SLO_UNOBSERVED}
        )
        assert all(step.verdict is Verdict.NONE for step in steps)


# --- what is an event -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offset_us", "plausible"),
    [
        (0, True),
        (-1, False),
        (5 * SECOND_US, True),
        (9 * SECOND_US + webhook_claims.AHEAD_US, True),
        (9 * SECOND_US + webhook_claims.AHEAD_US + 1, False),
        (-SENT_AT, False),
    ],
)
def test_a_plausible_time(offset_us: int, *, plausible: bool) -> None:
    """Not before sending, not more than a minute ahead; else the time of arrival counts, as implausible."""
    at = SENT_AT + 9 * SECOND_US
    webhook = WebhookEvent("abc123def456", DELIVERED, SENT_AT + offset_us)
    event = webhook_claims.to_event(MESSAGE, webhook, at, 0, trusted=True)
    assert isinstance(event, Observed)
    assert event.occurred_at == (webhook.occurred_at if plausible else 0)
    assert webhook_claims.classify_changed(webhook, event) is (
        WebhookResult.ACCEPTED if plausible else WebhookResult.IMPLAUSIBLE
    )


def test_a_time_cut_to_the_second() -> None:
    """The provider writes whole seconds: a delivery within the second of its sending is not before it."""
    message = MESSAGE._replace(sent_at=SENT_AT + 900_000)
    event = webhook_claims.to_event(
        message, WebhookEvent("abc123def456", DELIVERED, SENT_AT), SENT_AT + SECOND_US, 0, trusted=True
    )
    assert isinstance(event, Observed)
    assert event.occurred_at == SENT_AT
    assert count_by_label(advance(message, event), Kind.DURATION_SUM_US).get("webhook", 0) == 0


@pytest.mark.parametrize("status", [s for s in Status if s not in FINAL_BY_PROVIDER | GIVEN_UP])
def test_progress_causes_no_poll(status: Status) -> None:
    """In the mode `verify` the progress of a message under way is no event."""
    assert (
        webhook_claims.to_event(MESSAGE, WebhookEvent("abc123def456", status), SENT_AT, 0, trusted=False)
        is None
    )


@pytest.mark.parametrize(
    ("known", "claimed_status", "reported", "result"),
    [
        (DELIVERED, 0, DELIVERED, WebhookResult.DUPLICATE),
        (DELIVERED, 0, UNDELIVERABLE, WebhookResult.STALE),
        (DELIVERED, 0, PROCESSING, WebhookResult.STALE),
        (PROCESSING, 0, PROCESSING, WebhookResult.DUPLICATE),
        (PROCESSING, 0, Status.SCHEDULED, WebhookResult.STALE),
        (Status.NEW, 0, PROCESSING, WebhookResult.ACCEPTED),
        (Status.NEW, DELIVERED.value, DELIVERED, WebhookResult.DUPLICATE),
        (Status.NEW, -DELIVERED.value, DELIVERED, WebhookResult.DUPLICATE),
        (Status.NEW, DELIVERED.value, UNDELIVERABLE, WebhookResult.STALE),
    ],
)
def test_the_result_of_events_that_change_nothing(
    known: Status, claimed_status: int, reported: Status, result: WebhookResult
) -> None:
    """A repeat is a duplicate, what is behind or contradicts is stale, progress is accepted."""
    message = MESSAGE._replace(status=known, claimed_status=claimed_status)
    assert webhook_claims.classify_unchanged(message, WebhookEvent("abc123def456", reported)) is result
