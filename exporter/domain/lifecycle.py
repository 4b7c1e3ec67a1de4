"""What an event does to a message, and what is counted for it: decisions only.

All the rules are here:

- A status moves forward along `MOVES` or not at all. A finished message never
  moves, with one exception: a final status that the provider reports after we
  gave up is *late*.
- A message is counted as finished once, at its first final status.
- A message is judged once against its deadline, by the first event that shows
  whether it was met: a final status before the deadline, a final status with the
  provider's own time, or a poll soon enough after the deadline. A later poll
  would only ever add failures (an earlier delivery can't be dated), so it makes
  the message *unobserved*, whatever it shows. A webhook is not a poll: it reports
  the past, and the final status may be on its way.
- A webhook that must be verified only decides what to poll next. The final status
  of a trusted webhook counts at once; cost, parts and channels count once too, from
  the first answer with a final status, or else the cost from the webhook.
- A failed poll changes no status. Only answers that reject this message end it,
  and only after trying again.

Nothing here reads a clock or draws a random number: `at` and the account's
provider uptime come in with the event.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping

from exporter.domain.events import Count, Event, Observed, PollFailed, StatusClaimed, Step, Tick
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
from exporter.domain.snapshot import BUCKETS_US, Kind

__all__ = [
    "Count",
    "Event",
    "Observed",
    "PollFailed",
    "StatusClaimed",
    "Step",
    "Tick",
    "advance",
    "compute_tolerance_us",
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
"""Which status may follow which; polls can miss statuses, so any jump forward is legal."""

NOT_VISIBLE_YET_US = 60 * SECOND_US
"""For how long the provider may not know a new message."""
TRIES_WHEN_REFUSED = 3
"""Answers that reject this message before it ends as `rejected`."""
TRIES_WHEN_FAILING = 3
"""Failures in a row before a message whose time is over is given up without a last answer."""
OUTAGE_CAP_US = 72 * 3600 * SECOND_US
"""How much longer than `give_up_after` an outage can keep a message pending."""


_MOVE_COUNTS: Mapping[tuple[Status, Status], tuple[Count, ...]] = {
    (before, after): (Count(Kind.MESSAGES, before.word, "", -1), Count(Kind.MESSAGES, after.word, "", 1))
    for before, moves in MOVES.items()
    for after in moves
}
"""The counts of each move."""


def compute_tolerance_us(deadline_us: int) -> int:
    """How long after the deadline a poll still shows what was true at the deadline."""
    return max(2 * SECOND_US, deadline_us // 20)


def advance(message: Message, event: Event, policy: Policy, currency: str) -> Step:
    """Decide what `event` does to `message`; `currency` is used where an answer names none."""
    match event:
        case Observed():
            return _apply_observed(message, event, policy, currency)
        case StatusClaimed():
            return _note_claim(message, event)
        case PollFailed():
            return _apply_failed(message, event, policy, currency)
        case Tick():
            return _apply_tick(message, event, policy, currency)


def _note_claim(message: Message, event: StatusClaimed) -> Step:
    """Note the claimed status, unless one is noted already or it is known; counts nothing."""
    if event.status not in MOVES[message.status] or message.claimed_status > 0:
        return Step(message)
    return Step(message._replace(claimed_status=event.status.value))


def _apply_observed(message: Message, event: Observed, policy: Policy, currency: str) -> Step:
    poll = event.via is Via.POLL
    polled = message
    if poll:
        polled = _settle_claim(message)._replace(
            polled_at=event.at, polls=message.polls + 1, failures=0, refusals=0
        )
    if poll and message.webhook_cost_nanos >= 0:
        return _complete(message, polled, event, policy, currency)
    status = event.answer.status
    if status not in MOVES[message.status]:
        step = _continue_or_give_up(polled, event, policy, currency)
        return step._replace(conflict=True) if _contradicts(message.status, status, poll=poll) else step
    if status not in FINAL_BY_PROVIDER:
        step = _continue_or_give_up(polled._replace(status=status), event, policy, currency)
        return step._replace(counts=_MOVE_COUNTS[message.status, status] + step.counts)
    return _finish(message, polled, event, policy, currency)


def _settle_claim(message: Message) -> Message:
    """A poll was answered: a claim that is still noted was not confirmed, so mark it as handled."""
    return (
        message._replace(claimed_status=-abs(message.claimed_status)) if message.claimed_status else message
    )


def _contradicts(known: Status, reported: Status, *, poll: bool) -> bool:
    """Whether an illegal move means that the provider contradicts itself.

    Webhooks can overtake one another, so only a second final status in one is a contradiction. Nothing
    contradicts a message that we gave up.
    """
    if reported is known or known in GIVEN_UP:
        return False
    return poll or reported in FINAL_BY_PROVIDER


def _continue_or_give_up(
    message: Message, event: Observed | PollFailed, policy: Policy, currency: str
) -> Step:
    """Continue to poll the message, or stop when its time has run out; judge what is due."""
    polled = isinstance(event, Observed) and event.via is Via.POLL
    if event.uptime_us - message.uptime_at_accept_us >= policy.give_up_after_us:
        if not message.pending:
            tried = polled or isinstance(event, PollFailed)
            return _stop_polling(message, currency) if tried else Step(message)
        return _give_up(message, Status.EXPIRED, event.at, policy, polled=polled)
    return _judge_if_due(message, event.at, policy, polled=polled)


def _finish(before: Message, polled: Message, event: Observed, policy: Policy, currency: str) -> Step:
    """Take the first final status from the provider."""
    answer = event.answer
    status = answer.status
    delivered = status is Status.DELIVERED
    poll = event.via is Via.POLL
    webhook_first = before.claimed_status == status if poll else None
    first = Via.WEBHOOK if webhook_first else event.via
    counts = [*_MOVE_COUNTS[before.status, status], Count(Kind.FIRST_KNOWLEDGE, first.value, "", 1)]
    after = polled._replace(status=status)
    if poll:
        counts += _count_contributions(answer, currency)
    else:
        # A webhook has no currency, parts or channels: these and the cost wait for an answer.
        after = _settle_claim(after)._replace(
            webhook_cost_nanos=answer.cost_nanos or 0, failures=0, refusals=0
        )
    if not before.pending:
        counts.append(Count(Kind.LATE, status.word, "", 1))
        return Step(after, tuple(counts), newly_delivered=delivered, webhook_first=webhook_first)
    counts.append(Count(Kind.FINISHED, status.word, "", 1))
    # If the provider's clock is ahead of ours, the final status came at the latest when we received it.
    final_at = min(event.occurred_at, event.at) or event.at
    if delivered and before.verdict is not Verdict.EXEMPT:
        counts += _count_duration(max(0, final_at - before.sent_at), event.via)
    verdict = Verdict.NONE
    if before.verdict is Verdict.NONE:
        verdict = _judge_finished(before, final_at, policy, delivered=delivered, dated=event.occurred_at != 0)
    counts += _count_unobserved(verdict)
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


def _complete(before: Message, polled: Message, event: Observed, policy: Policy, currency: str) -> Step:
    """Count cost, parts and channels of a message that a webhook finished, once an answer is final."""
    answer = event.answer
    if answer.status not in FINAL_BY_PROVIDER:
        # Perhaps the answer is only behind the webhook: poll on, as for any message.
        return _continue_or_give_up(polled, event, policy, currency)
    agrees = answer.status is before.status
    return Step(
        polled._replace(webhook_cost_nanos=-1),
        tuple(_count_contributions(answer, currency)),
        fell_back=answer.fell_back and before.outcome in FINAL_BY_PROVIDER,
        conflict=not agrees,
        webhook_first=agrees,
    )


def _stop_polling(message: Message, currency: str) -> Step:
    """Stop polling a finished message: the cost from the webhook is all that there will be."""
    counts = _count_contributions(
        Answer(message.status, cost_nanos=max(0, message.webhook_cost_nanos)), currency
    )
    return Step(_settle_claim(message)._replace(webhook_cost_nanos=-1), tuple(counts))


def _apply_failed(message: Message, event: PollFailed, policy: Policy, currency: str) -> Step:
    if not message.unsettled:
        return Step(message)
    tried = message._replace(polled_at=event.at, failures=message.failures + 1)
    final = Status.NEW
    if event.outcome is Outcome.NOT_FOUND:
        if event.at - message.accepted_at >= NOT_VISIBLE_YET_US:
            final = Status.NOT_FOUND
    elif event.outcome is Outcome.CLIENT_ERROR:
        tried = tried._replace(refusals=message.refusals + 1)
        if tried.refusals >= TRIES_WHEN_REFUSED:
            final = Status.REJECTED
    if final is not Status.NEW:
        if not message.pending:
            return _stop_polling(tried, currency)
        return _give_up(tried, final, event.at, policy, polled=True)
    if tried.failures < TRIES_WHEN_FAILING:
        return _judge_if_due(tried, event.at, policy, polled=False)
    return _continue_or_give_up(tried, event, policy, currency)


def _apply_tick(message: Message, event: Tick, policy: Policy, currency: str) -> Step:
    if not message.unsettled:
        return Step(message)
    if event.at - message.accepted_at < policy.give_up_after_us + OUTAGE_CAP_US:
        return _judge_if_due(message, event.at, policy, polled=False)
    if not message.pending:
        return _stop_polling(message, currency)
    return _give_up(message, Status.EXPIRED, event.at, policy, polled=False)


def _give_up(message: Message, status: Status, at: int, policy: Policy, *, polled: bool) -> Step:
    """End a message without a final status from the provider; `polled`: a poll has just been answered."""
    verdict = Verdict.NONE
    if message.verdict is Verdict.NONE:
        seen = polled and at <= _get_observable_until(message, policy)
        verdict = Verdict.MISSED if seen else Verdict.UNOBSERVED
    finished = Count(Kind.FINISHED, status.word, "", 1)
    counts = (*_MOVE_COUNTS[message.status, status], finished, *_count_unobserved(verdict))
    final_verdict = verdict or message.verdict
    ended = _settle_claim(message)._replace(
        status=status, outcome=status, finished_at=at, verdict=final_verdict
    )
    return Step(ended, counts, newly_finished=True, verdict=verdict)


def _get_observable_until(message: Message, policy: Policy) -> int:
    return message.sent_at + policy.deadline_us + compute_tolerance_us(policy.deadline_us)


def _judge_if_due(message: Message, at: int, policy: Policy, *, polled: bool) -> Step:
    """Judge a message that is still pending at `at`, if its deadline has passed."""
    if message.verdict is not Verdict.NONE or at < message.sent_at + policy.deadline_us:
        return Step(message)
    late = at > _get_observable_until(message, policy)
    if not late and not polled:
        return Step(message)
    verdict = Verdict.UNOBSERVED if late else Verdict.MISSED
    return Step(message._replace(verdict=verdict), _count_unobserved(verdict), verdict=verdict)


def _judge_finished(
    message: Message, final_at: int, policy: Policy, *, delivered: bool, dated: bool
) -> Verdict:
    """The verdict of a finished message; `dated`: the provider gave the time, not our poll."""
    if dated:
        # For failures too: judging only deliveries by the provider's time would bias the ratio.
        in_time = final_at <= message.sent_at + policy.deadline_us
        return Verdict.MET if delivered and in_time else Verdict.MISSED
    if final_at > _get_observable_until(message, policy):
        return Verdict.UNOBSERVED
    return Verdict.MET if delivered else Verdict.MISSED


def _count_unobserved(verdict: Verdict) -> tuple[Count, ...]:
    """Count an unobserved message at once; met and missed wait until their whole cohort is mature."""
    return (Count(Kind.SLO_UNOBSERVED, "", "", 1),) if verdict is Verdict.UNOBSERVED else ()


def _count_contributions(answer: Answer, currency: str) -> list[Count]:
    """Count the cost, parts and channels of a final answer; `currency` is used where it names none."""
    counts = []
    if answer.cost_nanos:
        counts.append(Count(Kind.COST_NANOS, answer.currency or currency, "", answer.cost_nanos))
    if answer.parts:
        counts.append(Count(Kind.PARTS, "", "", answer.parts))
    counts += [Count(Kind.FALLBACKS, kind, word, 1) for kind, word in answer.fallbacks]
    counts += [Count(Kind.CHANNELS, channel, word, 1) for channel, word in answer.channels]
    return counts


def _count_duration(duration_us: int, via: Via) -> list[Count]:
    """Count one delivery that took `duration_us`."""
    index = bisect_left(BUCKETS_US, duration_us)
    return [
        Count(Kind.DURATION_BUCKET, via.value, str(index), 1),
        Count(Kind.DURATION_SUM_US, via.value, "", duration_us),
    ]
