"""When to look at a message next: pure arithmetic over its profile.

A pending message is asked about at growing intervals, once more at its
deadline (so that it can be judged), and once more when its time runs out. A
look that failed is followed by full-jitter backoff. No two looks at a message
are ever closer than `CLOSEST_US`, as the provider demands.
"""

from __future__ import annotations

from exporter.lifecycle import tolerance_us
from exporter.model import SECOND_US, Message, Policy, Verdict

CLOSEST_US = 1_050_000
"""The shortest time between two looks at one message: the provider's second, and room for a slow network."""
GROWTH = 1.5
"""Each interval is this much longer than the one before."""
JITTER_RATIO = 0.1
_EXPONENT_CAP = 64


def first_look_at(policy: Policy, sent_at: int, now: int) -> int:
    """When to ask about a message that was just accepted."""
    return max(now, min(sent_at, now) + policy.first_poll_us)


def next_look_at(message: Message, policy: Policy, now: int, answering_us: int, u: float) -> int:
    """When to ask again about a pending message.

    `u` is uniform in [0, 1); `answering_us` is the account's answering clock,
    on which `give_up_after` is measured.
    """
    if message.failures:
        ceiling_us = _grown(policy.interval_us, 2.0, message.failures - 1, policy.max_interval_us)
        delay_us = int(u * ceiling_us)
    else:
        delay_us = _grown(policy.interval_us, GROWTH, message.polls - 1, policy.max_interval_us)
        delay_us = int(delay_us * (1 + JITTER_RATIO * (2 * u - 1)))
    remaining_us = policy.give_up_after_us - (answering_us - message.answering_base_us)
    if 0 < remaining_us < delay_us:
        delay_us = remaining_us
    look_at = now + delay_us
    if message.verdict is Verdict.NONE:
        look_at = _with_deadline(look_at, message.sent_at + policy.deadline_us, policy, now, u)
    return max(look_at, now + CLOSEST_US)


def _grown(base_us: int, factor: float, times: int, cap_us: int) -> int:
    """`base_us` grown `times` times, never above `cap_us`; clamps before it computes."""
    return int(min(float(cap_us), base_us * factor ** min(max(times, 0), _EXPONENT_CAP)))


def _with_deadline(look_at: int, deadline_at: int, policy: Policy, now: int, u: float) -> int:
    """Move a look past the deadline, or so shortly before it that both were a waste, to the deadline."""
    if now >= deadline_at or look_at <= deadline_at - policy.interval_us // 2:
        return look_at
    return deadline_at + int(u * min(SECOND_US // 2, tolerance_us(policy.deadline_us) // 4))
