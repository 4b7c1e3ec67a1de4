"""When to poll a message next: pure arithmetic over its profile.

A pending message is polled at growing intervals, once more at its deadline (so
that it can be judged), and once more when its time runs out. After a failed
poll comes a backoff with full jitter. No two polls of a message are closer than
`CLOSEST_US`, as the provider demands.

A webhook with a final status brings the next poll forward. While webhooks bring
most final statuses of an account (see `webhook_coverage`), polling is only a
safety net: one poll at the deadline, then the longest intervals.

When more is due than the request rate allows, the order decides what the numbers
say: see `Rank`.
"""

from __future__ import annotations

from enum import IntEnum

from exporter.domain.lifecycle import compute_tolerance_us
from exporter.domain.model import SECOND_US, Message, Policy, Verdict
from exporter.domain.states import ClaimState

CLOSEST_US = 1_050_000
"""The shortest time between two polls of a message: the provider's second, and room for a slow network."""
GROWTH = 1.5
"""Each interval is this much longer than the one before."""
JITTER_RATIO = 0.1
FRESH_US = 60 * SECOND_US
"""A message that is accepted within this time of its sending is fresh."""
QUIET_US = 2 * SECOND_US
"""For how long before its deadline a message is not polled again: the poll that judges it comes then."""
_EXPONENT_CAP = 64


class Rank(IntEnum):
    """The order in which due messages of one priority are polled; the numbers are stored.

    Before all of them come unjudged messages whose deadline has just passed: only now does a poll show
    whether they met it. A failure that is not polled then is never counted, while successes are seen by
    any poll, so another order would flatter the share in time (I12).
    """

    WEBHOOK = 0
    """A webhook asks for the poll: it brings a final status."""
    FIRST = 1
    UNJUDGED = 2
    """Not in the last `QUIET_US` before the deadline."""
    JUDGED = 3


def get_rank(message: Message) -> Rank:
    """The rank of an unsettled message."""
    completed_at = message.finished_at if message.webhook_cost_nanos is not None else 0
    if message.claim_state is ClaimState.OPEN or completed_at > message.polled_at:
        return Rank.WEBHOOK
    if not message.polled_at:
        return Rank.FIRST
    return Rank.UNJUDGED if message.verdict is Verdict.NONE else Rank.JUDGED


def find_longest_delay_us(policy: Policy) -> int:
    """The longest time that a plan can be ahead of its event."""
    longest_interval_us = int(policy.max_interval_us * (1 + JITTER_RATIO))
    return max(longest_interval_us, policy.deadline_us) + policy.first_poll_us + SECOND_US


def first_poll_at(policy: Policy, sent_at: int, now: int, *, webhooks_reliable: bool = False) -> int:
    """When to poll a message first; `webhooks_reliable`: its final status will probably come by webhook."""
    deadline_at = sent_at + policy.deadline_us
    if webhooks_reliable and now < deadline_at and is_fresh(sent_at, now):
        return deadline_at
    return max(now, min(sent_at, now) + policy.first_poll_us)


def is_fresh(sent_at: int, accepted_at: int) -> bool:
    """Whether a message was accepted so soon after sending that its webhook can hardly have come before."""
    return accepted_at - sent_at < FRESH_US


def plan(  # noqa: PLR0913 - a pure decision: all that it depends on comes in
    before: Message,
    after: Message,
    policy: Policy,
    at: int,
    u: float,
    *,
    uptime_us: int,
    polled: bool,
    webhooks_reliable: bool,
) -> int | None:
    """When to poll a message that an event at `at` left unsettled; None to keep the plan.

    `polled`: the event was a poll, answered or not. The others are as for `next_poll_at`.
    """
    # A wall clock that was set back may make the latest poll seem to be ahead.
    polled_at = min(after.polled_at, at)
    if before.webhook_cost_nanos is None is not after.webhook_cost_nanos:
        return max(at, polled_at + CLOSEST_US)
    if after.claim_state is ClaimState.OPEN is not before.claim_state:
        # At once for the first claim; after a wrong one, not sooner than polling would.
        pause_us = policy.interval_us if before.claim_state is ClaimState.SETTLED else CLOSEST_US
        return max(at, polled_at + pause_us)
    if not polled:
        return None
    if before.claim_state is ClaimState.OPEN is not after.claim_state:
        # The request was sent before the webhook came, or the provider's answers are behind its webhooks.
        return at + CLOSEST_US
    unconfirmed = after.claim_state is not ClaimState.NONE or after.webhook_cost_nanos is not None
    webhooks_reliable = webhooks_reliable and not unconfirmed
    return next_poll_at(after, policy, at, uptime_us, u, webhooks_reliable=webhooks_reliable)


def next_poll_at(  # noqa: PLR0913 - as `plan`
    message: Message, policy: Policy, now: int, uptime_us: int, u: float, *, webhooks_reliable: bool = False
) -> int:
    """When to poll a pending message again.

    `u` is uniform in [0, 1); `uptime_us` is the account's provider uptime, which
    `give_up_after` is measured by; `webhooks_reliable`: polling is only a safety net.
    """
    deadline_at = message.sent_at + policy.deadline_us
    if message.failures:
        ceiling_us = _grow(policy.interval_us, 2.0, message.failures - 1, policy.max_interval_us)
        delay_us = int(u * ceiling_us)
    else:
        polls = _EXPONENT_CAP if webhooks_reliable else message.polls - 1
        delay_us = _grow(policy.interval_us, GROWTH, polls, policy.max_interval_us)
        delay_us = int(delay_us * (1 + JITTER_RATIO * (2 * u - 1)))
        if webhooks_reliable and message.verdict is Verdict.NONE and now < deadline_at:
            delay_us = deadline_at - now
    remaining_us = policy.give_up_after_us - (uptime_us - message.uptime_at_accept_us)
    if 0 < remaining_us < delay_us:
        delay_us = remaining_us
    poll_at = now + delay_us
    if message.verdict is Verdict.NONE:
        poll_at = _align_with_deadline(poll_at, deadline_at, policy, now, u)
    return max(poll_at, now + CLOSEST_US)


def _grow(base_us: int, factor: float, times: int, cap_us: int) -> int:
    """Grow `base_us` `times` times, never above `cap_us`; clamps before it computes."""
    return int(min(float(cap_us), base_us * factor ** min(max(times, 0), _EXPONENT_CAP)))


def _align_with_deadline(poll_at: int, deadline_at: int, policy: Policy, now: int, u: float) -> int:
    """Move a poll that is after the deadline, or so shortly before that one is enough, to the deadline."""
    if now >= deadline_at or poll_at <= deadline_at - policy.interval_us // 2:
        return poll_at
    return deadline_at + int(u * min(SECOND_US // 2, compute_tolerance_us(policy.deadline_us) // 4))
