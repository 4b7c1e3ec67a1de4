"""When to look at a message next: pure arithmetic over its profile.

A pending message is asked about at growing intervals, once more at its
deadline (so that it can be judged), and once more when its time runs out. A
look that failed is followed by full-jitter backoff. No two looks at a message
are ever closer than `CLOSEST_US`, as the provider demands.

A webhook that tells an end brings the next look forward. While webhooks bring
most of an account's ends (see `fusion`), looking steps back to a safety net:
one look at the deadline, then the longest intervals.
"""

from __future__ import annotations

from exporter.domain.lifecycle import tolerance_us
from exporter.domain.model import SECOND_US, Message, Policy, Verdict

CLOSEST_US = 1_050_000
"""The shortest time between two looks at one message: the provider's second, and room for a slow network."""
GROWTH = 1.5
"""Each interval is this much longer than the one before."""
JITTER_RATIO = 0.1
FRESH_US = 60 * SECOND_US
"""A message that was handed over within this time of its sending is fresh."""
_EXPONENT_CAP = 64


def first_look_at(policy: Policy, sent_at: int, now: int, *, webhooks_reliable: bool = False) -> int:
    """When to poll a message first; `webhooks_reliable`: a webhook will probably bring its end before."""
    deadline_at = sent_at + policy.deadline_us
    if webhooks_reliable and now < deadline_at and is_fresh(sent_at, now):
        return deadline_at
    return max(now, min(sent_at, now) + policy.first_poll_us)


def is_fresh(sent_at: int, accepted_at: int) -> bool:
    """Whether a message was handed over so soon that its webhook can hardly have come before."""
    return accepted_at - sent_at < FRESH_US


def plan(  # noqa: PLR0913 - a pure decision: all that it depends on comes in
    before: Message,
    after: Message,
    policy: Policy,
    at: int,
    u: float,
    *,
    uptime_us: int,
    looked: bool,
    webhooks_reliable: bool,
) -> int | None:
    """When to look at a message that an event at this instant left unsettled; None: as planned before.

    `looked`: the event was a look, answered or not; the others as for `next_look_at`.
    """
    if after.webhook_cost_nanos >= 0 > before.webhook_cost_nanos:
        return max(at, after.polled_at + CLOSEST_US)
    if after.claimed_status > 0 and after.claimed_status != before.claimed_status:
        # At once for the first; who tells what isn't so gets no more looks than anyone would make.
        pause_us = policy.interval_us if before.claimed_status else CLOSEST_US
        return max(at, after.polled_at + pause_us)
    if not looked:
        return None
    if before.claimed_status > 0 > after.claimed_status:
        # The request was under way before the webhook came, or the webhook ahead of the provider's answers.
        return at + CLOSEST_US
    webhooks_reliable = webhooks_reliable and not after.claimed_status and after.webhook_cost_nanos < 0
    return next_look_at(after, policy, at, uptime_us, u, webhooks_reliable=webhooks_reliable)


def next_look_at(  # noqa: PLR0913 - as `plan`
    message: Message, policy: Policy, now: int, uptime_us: int, u: float, *, webhooks_reliable: bool = False
) -> int:
    """When to ask again about a pending message.

    `u` is uniform in [0, 1); `uptime_us` is the account's answering clock,
    on which `give_up_after` is measured; `webhooks_reliable`: looking is a safety net only.
    """
    deadline_at = message.sent_at + policy.deadline_us
    if message.failures:
        ceiling_us = _grown(policy.interval_us, 2.0, message.failures - 1, policy.max_interval_us)
        delay_us = int(u * ceiling_us)
    else:
        polls = _EXPONENT_CAP if webhooks_reliable else message.polls - 1
        delay_us = _grown(policy.interval_us, GROWTH, polls, policy.max_interval_us)
        delay_us = int(delay_us * (1 + JITTER_RATIO * (2 * u - 1)))
        if webhooks_reliable and message.verdict is Verdict.NONE and now < deadline_at:
            delay_us = deadline_at - now
    remaining_us = policy.give_up_after_us - (uptime_us - message.uptime_at_accept_us)
    if 0 < remaining_us < delay_us:
        delay_us = remaining_us
    look_at = now + delay_us
    if message.verdict is Verdict.NONE:
        look_at = _with_deadline(look_at, deadline_at, policy, now, u)
    return max(look_at, now + CLOSEST_US)


def _grown(base_us: int, factor: float, times: int, cap_us: int) -> int:
    """`base_us` grown `times` times, never above `cap_us`; clamps before it computes."""
    return int(min(float(cap_us), base_us * factor ** min(max(times, 0), _EXPONENT_CAP)))


def _with_deadline(look_at: int, deadline_at: int, policy: Policy, now: int, u: float) -> int:
    """Move a look past the deadline, or so shortly before it that both were a waste, to the deadline."""
    if now >= deadline_at or look_at <= deadline_at - policy.interval_us // 2:
        return look_at
    return deadline_at + int(u * min(SECOND_US // 2, tolerance_us(policy.deadline_us) // 4))
