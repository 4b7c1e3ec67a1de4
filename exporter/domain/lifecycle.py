"""What an event makes of a message, and what is counted for it: decisions only.

The rules, all of which live here:

- A status moves forward along `MOVES` or not at all. Finished is absorbing, but
  for one step: a final status of the provider after we gave up is *late*.
- A message is counted as finished once, at its first end.
- A message is judged once against its deadline, by the first event that can
  tell: an end before the deadline, an end that the provider dates itself, or a
  look close enough after the deadline. A later look would only ever add
  failures (what arrived meanwhile can't be dated), so it makes the message
  *unobserved*, whatever it shows. A webhook is no look: it tells what was, and
  the end may be on its way.
- A webhook that must be verified only points at what to look at next. The end
  that a trusted one tells counts at once; what it was worth counts once too, by
  the first answer that completes it, or else by the cost that the webhook told.
- A failed look changes no status. Only answers that blame this very message end
  it, and only after trying again.

Nothing here reads a clock or draws a number: `at` and the account's answering
clock come in with the event.
"""

from __future__ import annotations

from collections.abc import Mapping

from exporter.domain.contributions import Count, contributions_of, duration
from exporter.domain.events import Event, Observed, PollFailed, StatusClaimed, Step, Tick
from exporter.domain.model import (
    FINAL_BY_PROVIDER,
    FINISHED,
    GIVEN_UP,
    SECOND_US,
    Answer,
    Message,
    Outcome,
    Policy,
    Status,
    Verdict,
    Via,
)
from exporter.domain.snapshot import Kind

__all__ = [
    "Count",
    "Event",
    "Observed",
    "PollFailed",
    "StatusClaimed",
    "Step",
    "Tick",
    "advance",
    "tolerance_us",
]

_UNDER_WAY = frozenset({Status.SCHEDULED, Status.PROCESSING, Status.OTHER})

MOVES: Mapping[Status, frozenset[Status]] = {
    Status.NEW: _UNDER_WAY | FINISHED,
    Status.SCHEDULED: frozenset({Status.PROCESSING, Status.OTHER}) | FINISHED,
    Status.PROCESSING: frozenset({Status.OTHER}) | FINISHED,
    Status.OTHER: frozenset({Status.SCHEDULED, Status.PROCESSING}) | FINISHED,
    Status.DELIVERED: frozenset(),
    Status.UNDELIVERABLE: frozenset(),
    Status.PERMANENTERROR: frozenset(),
    Status.EXPIRED: FINAL_BY_PROVIDER,
    Status.NOT_FOUND: FINAL_BY_PROVIDER,
    Status.REJECTED: FINAL_BY_PROVIDER,
}
"""Where a status may go; a poll can miss states, so any jump forward is legal."""

NOT_VISIBLE_YET_US = 60 * SECOND_US
"""A young message may be unknown to the provider for this long."""
TRIES_WHEN_REFUSED = 3
"""Answers that blame this very message before it is `rejected`."""
TRIES_WHEN_FAILING = 3
"""Straight failures before a message past its time is given up without a last answer."""
OUTAGE_CAP_US = 72 * 3600 * SECOND_US
"""How much longer than `give_up_after` an outage can keep a message pending."""


_MOVED: Mapping[tuple[Status, Status], tuple[Count, ...]] = {
    (before, after): (Count(Kind.MESSAGES, before.word, "", -1), Count(Kind.MESSAGES, after.word, "", 1))
    for before, moves in MOVES.items()
    for after in moves
}
"""What each move counts."""


def tolerance_us(deadline_us: int) -> int:
    """How long after the deadline a look still tells what was true at the deadline."""
    return max(2 * SECOND_US, deadline_us // 20)


def advance(message: Message, event: Event, policy: Policy, currency: str) -> Step:
    """Decide what `event` does to `message`; `currency` holds where an answer names none."""
    match event:
        case Observed():
            return _observed(message, event, policy, currency)
        case StatusClaimed():
            return _claimed(message, event)
        case PollFailed():
            return _failed(message, event, policy, currency)
        case Tick():
            return _ticked(message, event, policy, currency)


def _claimed(message: Message, event: StatusClaimed) -> Step:
    """Note what to look for, unless it is looked for already, or known; counts nothing."""
    if event.status not in MOVES[message.status] or message.claimed_status > 0:
        return Step(message)
    return Step(message._replace(claimed_status=event.status.value))


def _observed(message: Message, event: Observed, policy: Policy, currency: str) -> Step:
    poll = event.via is Via.POLL
    looked = message
    if poll:
        looked = _answered(message)._replace(
            polled_at=event.at, polls=message.polls + 1, failures=0, refusals=0
        )
    if poll and message.webhook_cost_nanos >= 0:
        return _completed(message, looked, event, policy, currency)
    status = event.answer.status
    if status not in MOVES[message.status]:
        step = _stay_or_stop(looked, event, policy, currency)
        return step._replace(conflict=True) if _contradicts(message.status, status, poll=poll) else step
    if status not in FINAL_BY_PROVIDER:
        step = _stay_or_stop(looked._replace(status=status), event, policy, currency)
        return step._replace(counts=_MOVED[message.status, status] + step.counts)
    return _final(message, looked, event, policy, currency)


def _answered(message: Message) -> Message:
    """Hearsay has had its look; what is left of it tells that it wasn't borne out, or is of no use."""
    return (
        message._replace(claimed_status=-abs(message.claimed_status)) if message.claimed_status else message
    )


def _contradicts(known: Status, told: Status, *, poll: bool) -> bool:
    """Whether an illegal move shows the provider at odds with itself.

    Webhooks overtake one another: there only a second end contradicts. No answer contradicts an end of ours.
    """
    if told is known or known in GIVEN_UP:
        return False
    return poll or told in FINAL_BY_PROVIDER


def _stay_or_stop(message: Message, event: Observed | PollFailed, policy: Policy, currency: str) -> Step:
    """Go on asking about the message, or stop when its time has run out; judge what is due."""
    looked = isinstance(event, Observed) and event.via is Via.POLL
    if event.uptime_us - message.uptime_at_accept_us >= policy.give_up_after_us:
        if not message.pending:
            tried = looked or isinstance(event, PollFailed)
            return _let_go(message, currency) if tried else Step(message)
        return _give_up(message, Status.EXPIRED, event.at, policy, looked=looked)
    return _stay(message, event.at, policy, looked=looked)


def _final(before: Message, looked: Message, event: Observed, policy: Policy, currency: str) -> Step:
    """The provider's final word, the first that we hear."""
    answer = event.answer
    status = answer.status
    delivered = status is Status.DELIVERED
    poll = event.via is Via.POLL
    webhook_first = before.claimed_status == status if poll else None
    first = Via.WEBHOOK if webhook_first else event.via
    counts = [*_MOVED[before.status, status], Count(Kind.FIRST_KNOWLEDGE, first.value, "", 1)]
    after = looked._replace(status=status)
    if poll:
        counts += contributions_of(answer, currency)
    else:
        # A webhook knows no currency, parts or channels: all of its worth waits for an answer.
        after = _answered(after)._replace(webhook_cost_nanos=answer.cost_nanos or 0, failures=0, refusals=0)
    if not before.pending:
        counts.append(Count(Kind.LATE, status.word, "", 1))
        return Step(after, tuple(counts), newly_delivered=delivered, webhook_first=webhook_first)
    counts.append(Count(Kind.FINISHED, status.word, "", 1))
    # A provider's clock that is ahead of ours can't date an end later than we heard of it.
    ended_at = min(event.occurred_at, event.at) or event.at
    if delivered and before.verdict is not Verdict.EXEMPT:
        counts += duration(max(0, ended_at - before.sent_at), event.via)
    verdict = Verdict.NONE
    if before.verdict is Verdict.NONE:
        verdict = _judge_end(before, ended_at, policy, delivered=delivered, dated=event.occurred_at != 0)
    counts += _unobserved(verdict)
    after = after._replace(outcome=status, finished_at=event.at, verdict=verdict or before.verdict)
    return Step(
        after,
        tuple(counts),
        newly_delivered=delivered,
        newly_finished=True,
        fell_back=answer.fell_back,
        verdict=verdict,
        webhook_first=webhook_first,
    )


def _completed(before: Message, looked: Message, event: Observed, policy: Policy, currency: str) -> Step:
    """An answer about a message whose end a webhook told: count its worth, once the answer tells an end."""
    answer = event.answer
    if answer.status not in FINAL_BY_PROVIDER:
        # Perhaps only behind the webhook: ask on, as long as anyone would.
        return _stay_or_stop(looked, event, policy, currency)
    agrees = answer.status is before.status
    return Step(
        looked._replace(webhook_cost_nanos=-1),
        tuple(contributions_of(answer, currency)),
        fell_back=answer.fell_back and before.outcome in FINAL_BY_PROVIDER,
        conflict=not agrees,
        webhook_first=agrees,
    )


def _let_go(message: Message, currency: str) -> Step:
    """Ask no more about a message that has ended: the cost that a webhook told is all there will be."""
    counts = contributions_of(Answer(message.status, cost_nanos=max(0, message.webhook_cost_nanos)), currency)
    return Step(_answered(message)._replace(webhook_cost_nanos=-1), tuple(counts))


def _failed(message: Message, event: PollFailed, policy: Policy, currency: str) -> Step:
    if not message.unsettled:
        return Step(message)
    tried = message._replace(polled_at=event.at, failures=message.failures + 1)
    blame = Status.NEW
    if event.outcome is Outcome.NOT_FOUND:
        if event.at - message.accepted_at >= NOT_VISIBLE_YET_US:
            blame = Status.NOT_FOUND
    elif event.outcome is Outcome.CLIENT_ERROR:
        tried = tried._replace(refusals=message.refusals + 1)
        if tried.refusals >= TRIES_WHEN_REFUSED:
            blame = Status.REJECTED
    if blame is not Status.NEW:
        if not message.pending:
            return _let_go(tried, currency)
        return _give_up(tried, blame, event.at, policy, looked=True)
    if tried.failures < TRIES_WHEN_FAILING:
        return _stay(tried, event.at, policy, looked=False)
    return _stay_or_stop(tried, event, policy, currency)


def _ticked(message: Message, event: Tick, policy: Policy, currency: str) -> Step:
    if not message.unsettled:
        return Step(message)
    if event.at - message.accepted_at < policy.give_up_after_us + OUTAGE_CAP_US:
        return _stay(message, event.at, policy, looked=False)
    if not message.pending:
        return _let_go(message, currency)
    return _give_up(message, Status.EXPIRED, event.at, policy, looked=False)


def _give_up(message: Message, status: Status, at: int, policy: Policy, *, looked: bool) -> Step:
    """End a message whose end the provider did not tell; `looked`: it did answer about it just now."""
    verdict = Verdict.NONE
    if message.verdict is Verdict.NONE:
        seen = looked and at <= _observable_until(message, policy)
        verdict = Verdict.MISSED if seen else Verdict.UNOBSERVED
    finished = Count(Kind.FINISHED, status.word, "", 1)
    counts = (*_MOVED[message.status, status], finished, *_unobserved(verdict))
    verdict_kept = verdict or message.verdict
    ended = _answered(message)._replace(status=status, outcome=status, finished_at=at, verdict=verdict_kept)
    return Step(ended, counts, newly_finished=True, verdict=verdict)


def _observable_until(message: Message, policy: Policy) -> int:
    return message.sent_at + policy.deadline_us + tolerance_us(policy.deadline_us)


def _stay(message: Message, at: int, policy: Policy, *, looked: bool) -> Step:
    """Judge a message that is still pending `at` this instant, if it is time."""
    if message.verdict is not Verdict.NONE or at < message.sent_at + policy.deadline_us:
        return Step(message)
    late = at > _observable_until(message, policy)
    if not late and not looked:
        return Step(message)
    verdict = Verdict.UNOBSERVED if late else Verdict.MISSED
    return Step(message._replace(verdict=verdict), _unobserved(verdict), verdict=verdict)


def _judge_end(message: Message, ended_at: int, policy: Policy, *, delivered: bool, dated: bool) -> Verdict:
    """The verdict over a message that ended; `dated`: when is the provider's own word, not our look."""
    if dated:
        # Failures too: judging only deliveries by their date would bend the ratio.
        in_time = ended_at <= message.sent_at + policy.deadline_us
        return Verdict.MET if delivered and in_time else Verdict.MISSED
    if ended_at > _observable_until(message, policy):
        return Verdict.UNOBSERVED
    return Verdict.MET if delivered else Verdict.MISSED


def _unobserved(verdict: Verdict) -> tuple[Count, ...]:
    """An unobserved message counts at once; met and missed wait until their whole cohort is of age."""
    return (Count(Kind.SLO_UNOBSERVED, "", "", 1),) if verdict is Verdict.UNOBSERVED else ()
