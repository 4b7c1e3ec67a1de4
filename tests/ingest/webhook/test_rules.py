"""What a webhook does to a message: pure rules, for webhooks that are believed and for those that aren't."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import pytest

from exporter.domain import lifecycle, webhook_claims
from exporter.domain.events import Event, Observed, StatusClaimed, Step, WebhookEvent
from exporter.domain.model import (
    FINAL_BY_PROVIDER,
    GIVEN_UP,
    SECOND_US,
    Answer,
    Message,
    Outcome,
    Status,
    Verdict,
    Via,
    WebhookResult,
)
from exporter.domain.snapshot import Kind
from tests.domain.example import (
    ANSWERING_US,
    DEFAULT,
    HOUR_US,
    MESSAGE,
    SENT_AT,
    counted,
    failed,
    saw,
    tick,
    total,
)

DELIVERED, PROCESSING, UNDELIVERABLE = Status.DELIVERED, Status.PROCESSING, Status.UNDELIVERABLE
EXPIRED = MESSAGE._replace(
    status=Status.EXPIRED, outcome=Status.EXPIRED, verdict=Verdict.MISSED, finished_at=SENT_AT
)
ANSWER = Answer(DELIVERED, parts=2, cost_nanos=9, currency="USD", fallbacks=(("sms", "delivered"),))
GET = Observed(1, SENT_AT + 9 * SECOND_US, ANSWERING_US + 9 * SECOND_US, ANSWER)
"""The answer that completes."""


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


def hint(status: Status = DELIVERED, after_us: int = SECOND_US) -> StatusClaimed:
    """A webhook that must be verified."""
    return StatusClaimed(1, SENT_AT + after_us, ANSWERING_US + after_us, status)


def trusted(status: Status = DELIVERED, after_us: int = SECOND_US, cost_nanos: int | None = 5) -> Observed:
    """A webhook that is believed, with its own time."""
    at = SENT_AT + after_us
    return Observed(1, at, ANSWERING_US + after_us, Answer(status, cost_nanos=cost_nanos), Via.WEBHOOK, at)


# --- verify -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", sorted(Status))
@pytest.mark.parametrize("told", sorted(FINAL_BY_PROVIDER))
def test_a_hint_counts_nothing(status: Status, told: Status) -> None:
    """Whatever a message is and whatever is hinted: no series moves, no verdict, no end, no conflict."""
    ended = status in FINAL_BY_PROVIDER | GIVEN_UP
    message = MESSAGE._replace(status=status, outcome=status if ended else Status.NEW)
    step = advance(message, hint(told))
    assert step._replace(message=message) == Step(message)
    assert step.message._replace(claimed_status=0) == message
    assert step.message.unsettled == (message.pending or status in GIVEN_UP)


def test_a_second_hint_changes_nothing() -> None:
    """While a look is due anyway, nobody can ask for more."""
    first = advance(MESSAGE, hint()).message
    assert advance(first, hint()).message is first
    assert advance(first, hint(UNDELIVERABLE)).message is first


def test_the_answer_counts() -> None:
    """A hint that the answer bears out shows as first knowledge of the webhook; all else is the poll's."""
    steps = walk([hint(), GET])
    assert sums(steps)[Kind.FIRST_KNOWLEDGE, "webhook", ""] == 1
    assert counted(steps[1], Kind.DURATION_SUM_US) == {"poll": 9 * SECOND_US}
    assert counted(steps[1], Kind.COST_NANOS) == {"USD": 9}
    assert steps[1].webhook_first is True
    assert not steps[1].message.unsettled


@pytest.mark.parametrize("before", [[], [hint(UNDELIVERABLE)], [hint(), saw(PROCESSING, 2 * SECOND_US)]])
def test_knowledge_that_nobody_foretold(before: list[Event]) -> None:
    """Without a hint, against it, or after it proved wrong, the end is the poll's knowledge."""
    step = walk([*before, GET])[-1]
    assert counted(step, Kind.FIRST_KNOWLEDGE) == {"poll": 1}
    assert step.webhook_first is False


def test_a_hint_about_a_message_that_was_given_up() -> None:
    """One look tells whether it ended after all; an answer without an end settles it."""
    hinted = advance(EXPIRED, hint()).message
    assert hinted.unsettled
    late = advance(hinted, GET)
    assert counted(late, Kind.LATE) == {"delivered": 1}
    wrong = advance(hinted, saw(PROCESSING, 30 * HOUR_US))
    assert (wrong.message.unsettled, wrong.counts) == (False, ())


def test_a_hint_that_can_not_be_looked_at() -> None:
    """Three failures end the interest in a message that was given up."""
    steps = walk(
        [hint(after_us=30 * HOUR_US), *[failed(Outcome.TIMEOUT, 31 * HOUR_US + n) for n in range(3)]], EXPIRED
    )
    assert [step.message.unsettled for step in steps] == [True, True, True, False]
    assert not sums(steps)


# --- trust ------------------------------------------------------------------------------------------


def test_a_trusted_end_counts_at_once() -> None:
    """Its status, its duration by its own time and its verdict; what it was worth waits for an answer."""
    step = advance(MESSAGE, trusted())
    assert counted(step, Kind.FINISHED) == {"delivered": 1}
    assert counted(step, Kind.DURATION_SUM_US) == {"webhook": SECOND_US}
    assert counted(step, Kind.FIRST_KNOWLEDGE) == {"webhook": 1}
    assert step.verdict is Verdict.MET
    assert counted(step, Kind.COST_NANOS) == {}
    assert step.message.unsettled
    assert not step.message.pending
    assert step.message.webhook_cost_nanos == 5


def test_one_answer_completes_it() -> None:
    """Cost, parts, fallbacks and channels come from the first answer, once; a second one adds nothing."""
    steps = walk([trusted(), GET, GET])
    come_to = sums(steps)
    assert come_to[Kind.COST_NANOS, "USD", ""] == 9
    assert come_to[Kind.PARTS, "", ""] == 2
    assert come_to[Kind.FALLBACKS, "sms", "delivered"] == 1
    assert come_to[Kind.FINISHED, "delivered", ""] == 1
    assert [step.fell_back for step in steps] == [False, True, False]
    assert not steps[1].message.unsettled


def test_an_answer_that_is_behind() -> None:
    """An answer that still says `processing` completes nothing and contradicts nothing: the next one may."""
    steps = walk([trusted(), saw(PROCESSING, 2 * SECOND_US), GET])
    assert steps[1].message.unsettled
    assert not any(step.conflict for step in steps)
    assert sums(steps)[Kind.COST_NANOS, "USD", ""] == 9


def test_an_answer_that_contradicts() -> None:
    """The first end stays, the contradiction is told, and the money is counted all the same."""
    step = walk([trusted(UNDELIVERABLE), GET])[-1]
    assert step.conflict
    assert step.message.status is UNDELIVERABLE
    assert counted(step, Kind.COST_NANOS) == {"USD": 9}
    assert step.webhook_first is False


@pytest.mark.parametrize(
    "tries",
    [
        [failed(Outcome.NOT_FOUND, 61 * SECOND_US)],
        [failed(Outcome.CLIENT_ERROR, n * SECOND_US) for n in (2, 3, 4)],
        [failed(Outcome.TIMEOUT, 25 * HOUR_US + n) for n in range(3)],
        [saw(PROCESSING, 25 * HOUR_US)],
        [tick(DEFAULT.give_up_after_us + lifecycle.OUTAGE_CAP_US)],
    ],
)
def test_an_end_that_no_answer_completes(tries: list[Event]) -> None:
    """When nobody will answer any more the webhook's own cost counts, in the account's currency, once."""
    steps = walk([trusted(), *tries])
    assert sums(steps)[Kind.COST_NANOS, "UAH", ""] == 5
    assert [step.message.unsettled for step in steps[-2:]] == [True, False]
    again = advance(steps[-1].message, GET)
    assert counted(again, Kind.COST_NANOS) == {}


def test_an_outage_does_not_settle() -> None:
    """While the provider doesn't answer at all, no number of failures gives up the rest of an end."""
    failures = [failed(Outcome.CONNECT, n * HOUR_US, answering_after_us=SECOND_US) for n in range(1, 60)]
    assert walk([trusted(), *failures])[-1].message.unsettled


def test_a_repeat_does_not_settle() -> None:
    """A webhook that comes again, however late, takes nothing from the answer that is still to come."""
    repeated = trusted(after_us=30 * HOUR_US)
    steps = walk([repeated, repeated], EXPIRED)
    assert steps[1].message is steps[0].message
    assert counted(advance(steps[1].message, GET), Kind.COST_NANOS) == {"USD": 9}


def test_a_late_end_that_is_trusted_falls_back_in_no_cohort() -> None:
    """A message that we gave up finished as expired: its fallback is no share of those that finished."""
    steps = walk([trusted(after_us=30 * HOUR_US), GET], EXPIRED)
    assert [step.fell_back for step in steps] == [False, False]


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_any_order_comes_to_the_same(order: tuple[int, ...]) -> None:
    """Progress, an end, its repeat and the answer: the same totals in every order."""
    told: list[Event] = [trusted(PROCESSING), trusted(), trusted(), GET]
    steps = walk([told[n] for n in order])
    last = steps[-1].message
    come_to = sums([*steps, advance(last, GET)])
    assert come_to[Kind.FINISHED, "delivered", ""] == 1
    assert come_to[Kind.MESSAGES, "delivered", ""] == 1
    assert come_to[Kind.COST_NANOS, "USD", ""] == 9
    assert come_to[Kind.PARTS, "", ""] == 2
    assert not any(step.conflict for step in steps)


def test_who_hears_only_the_end_judges_nothing() -> None:
    """A message first heard of by webhook has no known beginning: no verdict, no duration."""
    message = MESSAGE._replace(verdict=Verdict.EXEMPT)
    histories: list[list[Event]] = [
        [trusted(), GET],
        [hint(), GET],
        [saw(PROCESSING, HOUR_US)],
        [tick(HOUR_US)],
    ]
    for events in histories:
        steps = walk(events, message)
        assert {kind for kind, _, _ in sums(steps)}.isdisjoint(
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
    """Not before sending, not more than a minute ahead; else the arrival counts and it is told."""
    at = SENT_AT + 9 * SECOND_US
    told = WebhookEvent("abc123def456", DELIVERED, SENT_AT + offset_us)
    event = webhook_claims.event_of(MESSAGE, told, at, 0, trusted=True)
    assert isinstance(event, Observed)
    assert event.occurred_at == (told.occurred_at if plausible else 0)
    assert webhook_claims.moved(told, event) is (
        WebhookResult.ACCEPTED if plausible else WebhookResult.IMPLAUSIBLE
    )


def test_a_time_cut_to_the_second() -> None:
    """The provider writes whole seconds: delivered within the second of its sending is not before it."""
    message = MESSAGE._replace(sent_at=SENT_AT + 900_000)
    event = webhook_claims.event_of(
        message, WebhookEvent("abc123def456", DELIVERED, SENT_AT), SENT_AT + SECOND_US, 0, trusted=True
    )
    assert isinstance(event, Observed)
    assert event.occurred_at == SENT_AT
    assert counted(advance(message, event), Kind.DURATION_SUM_US).get("webhook", 0) == 0


@pytest.mark.parametrize("status", [s for s in Status if s not in FINAL_BY_PROVIDER | GIVEN_UP])
def test_progress_is_worth_no_look(status: Status) -> None:
    """Where only answers count, news of a message that is under way is no event."""
    assert (
        webhook_claims.event_of(MESSAGE, WebhookEvent("abc123def456", status), SENT_AT, 0, trusted=False)
        is None
    )


@pytest.mark.parametrize(
    ("known", "hearsay_of", "told", "result"),
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
def test_news_that_moves_nothing(known: Status, hearsay_of: int, told: Status, result: WebhookResult) -> None:
    """A repeat is a duplicate, what is behind or against what is known is stale, progress is accepted."""
    message = MESSAGE._replace(status=known, claimed_status=hearsay_of)
    assert webhook_claims.known(message, WebhookEvent("abc123def456", told)) is result
