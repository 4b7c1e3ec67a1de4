"""Requests per message, and delay of its final status, with three polling schedules.

Our schedule is the real one (`schedule`, `lifecycle`, the built-in profiles), in
virtual time and without a rate limit. Its peers poll the same messages of the
simulated provider: one every five seconds, one after five seconds and then after
twice as long each time, as documented. All give up when ours does.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

from bench.figures import Plan, Round
from exporter.config.defaults import BUILT_IN_PROFILES
from exporter.config.models import Profile
from exporter.domain import lifecycle, schedule
from exporter.domain.events import Observed
from exporter.domain.model import SECOND_US, Answer, Message, Policy, Priority, Verdict
from exporter.domain.states import FINAL_BY_PROVIDER, Status
from exporter.simulator.scenarios import NORMAL
from exporter.simulator.timeline import Timeline, TrafficKind, draw, plan_timeline

PROFILE_OF = {TrafficKind.OTP: "otp", TrafficKind.ORDER: "default", TrafficKind.CAMPAIGN: "campaign"}
SENT_AT = 1_763_856_000_000_000
FIVE_SECONDS_US = 5 * SECOND_US


class Known(NamedTuple):
    """The result for one message."""

    requests: int
    delay_us: int | None
    """From the final status to the poll that saw it; None when there was none after it."""


async def measure_rounds(plan: Plan, _: Path) -> AsyncIterator[Round]:
    """Draw new messages for each round."""
    messages = plan.choose_size(2_000, 20)
    for seed in range(plan.rounds):
        round_: dict[str, float] = {}
        for kind, profile in PROFILE_OF.items():
            policy = find_policy(profile)
            timelines = [plan_timeline(kind, draw(seed, index), NORMAL, SENT_AT) for index in range(messages)]
            some = random.Random(seed)
            ways = {
                "ours": [_poll_by_schedule(timeline, policy, some) for timeline in timelines],
                "every 5 s": [_poll_at_intervals(timeline, policy, growth=1) for timeline in timelines],
                "documented": [_poll_at_intervals(timeline, policy, growth=2) for timeline in timelines],
            }
            for way, known in ways.items():
                round_ |= _name_figures(f"{kind.value}, {way}", known)
        yield round_


def _name_figures(name: str, known: list[Known]) -> dict[str, float]:
    delays = sorted(one.delay_us for one in known if one.delay_us is not None)
    return {
        f"{name}: requests/message": sum(one.requests for one in known) / len(known),
        f"{name}: delay p50, s": delays[len(delays) // 2] / SECOND_US,
        f"{name}: delay p95, s": delays[int(len(delays) * 0.95)] / SECOND_US,
    }


def find_policy(profile: str) -> Policy:
    """Return the policy of a built-in profile."""
    return Profile.model_validate(BUILT_IN_PROFILES[profile]).policy()


def _poll_by_schedule(timeline: Timeline, policy: Policy, some: random.Random) -> Known:
    """Poll when our schedule says so, until our rules finish the message."""
    due_at = schedule.first_poll_at(policy, SENT_AT, SENT_AT)
    message = make_message(due_at)
    while message.pending:
        at = message.due_at
        answer = Answer(timeline.status_at(at))
        message = lifecycle.advance(message, Observed(1, at, at - SENT_AT, answer), policy, "").message
        if message.pending:
            poll_at = schedule.next_poll_at(message, policy, at, at - SENT_AT, some.random())
            message = message._replace(due_at=poll_at)
    ended = message.status in FINAL_BY_PROVIDER
    return Known(message.polls, message.finished_at - timeline.final_at if ended else None)


def make_message(due_at: int) -> Message:
    """Make a message that was just sent, and is polled at `due_at`."""
    return Message(
        row=1,
        account_id=1,
        campaign_id=1,
        message_id="",
        status=Status.NEW,
        outcome=Status.NEW,
        verdict=Verdict.NONE,
        sent_at=SENT_AT,
        accepted_at=SENT_AT,
        due_at=due_at,
        polled_at=0,
        finished_at=0,
        uptime_at_accept_us=0,
        polls=0,
        failures=0,
        refusals=0,
        priority=Priority.NORMAL,
    )


def _poll_at_intervals(timeline: Timeline, policy: Policy, *, growth: int) -> Known:
    """Poll after five seconds, and then after `growth` times as long each time, until giving up."""
    requests, after_us, wait_us = 0, 0, FIVE_SECONDS_US
    while after_us < policy.give_up_after_us:
        after_us += wait_us
        wait_us *= growth
        requests += 1
        if SENT_AT + after_us >= timeline.final_at:
            return Known(requests, SENT_AT + after_us - timeline.final_at)
    return Known(requests, None)
