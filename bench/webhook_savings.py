"""Requests per finished message, and delay of its final status, with webhooks and without.

The real rules (`schedule`, `lifecycle`, the built-in profiles), in virtual time
and without a rate limit, with messages of the simulated provider. Webhooks come
a second after the final status. `stepped back`: webhooks report most final
statuses, so that polling is only a safety net for those that are lost.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

from bench.figures import Plan, Round
from bench.schedules import PROFILE_OF, SENT_AT, find_policy, make_message
from exporter.domain import lifecycle, schedule
from exporter.domain.events import Event, Observed, StatusClaimed
from exporter.domain.model import FINAL_BY_PROVIDER, SECOND_US, Answer, Policy, Via
from exporter.simulator.scenarios import NORMAL
from exporter.simulator.timeline import NEVER_AT, Timeline, draw, plan_timeline

WEBHOOK_DELAY_US = SECOND_US


class Way(NamedTuple):
    """How final statuses come in."""

    mode: str
    """`verify`, `trust`, or empty for no webhooks."""
    webhooks_reliable: bool = False
    loss_share: float = 0.0


WAYS = {
    "without webhooks": Way(""),
    "verify, stepped back": Way("verify", webhooks_reliable=True),
    "trust, stepped back": Way("trust", webhooks_reliable=True),
    "verify, stepped back, 20 % lost": Way("verify", webhooks_reliable=True, loss_share=0.2),
    "verify, 40 % lost": Way("verify", loss_share=0.4),
}


async def measure_rounds(plan: Plan, _: Path) -> AsyncIterator[Round]:
    """Draw new messages for each round."""
    messages = plan.choose_size(2_000, 20)
    for seed in range(plan.rounds):
        figures: dict[str, float] = {}
        for kind, profile in PROFILE_OF.items():
            policy = find_policy(profile)
            timelines = [plan_timeline(kind, draw(seed, index), NORMAL, SENT_AT) for index in range(messages)]
            for name, way in WAYS.items():
                some = random.Random(seed)
                known = [_simulate(timeline, policy, way, some) for timeline in timelines]
                ended = [(polls, delay) for polls, delay in known if delay is not None]
                delays = sorted(delay for _, delay in ended)
                prefix = f"{kind.value}, {name}"
                figures |= {
                    f"{prefix}: requests/ended message": sum(p for p, _ in ended) / len(ended),
                    f"{prefix}: requests/message, those given up included": sum(p for p, _ in known)
                    / len(known),
                    f"{prefix}: delay p50, s": delays[len(delays) // 2] / SECOND_US,
                    f"{prefix}: delay p95, s": delays[int(len(delays) * 0.95)] / SECOND_US,
                }
        yield figures


def _simulate(timeline: Timeline, policy: Policy, way: Way, some: random.Random) -> tuple[int, int | None]:
    """Return requests for one message, and the delay of its final status; None when it was given up."""
    message = make_message(
        schedule.first_poll_at(policy, SENT_AT, SENT_AT, webhooks_reliable=way.webhooks_reliable)
    )
    lost = not way.mode or some.random() < way.loss_share or timeline.final_at == NEVER_AT
    webhook_at = NEVER_AT if lost else timeline.final_at + WEBHOOK_DELAY_US
    while message.unsettled:
        webhook = webhook_at < message.due_at
        at = webhook_at if webhook else message.due_at
        if webhook:
            webhook_at = NEVER_AT
        event = _make_event(timeline, at, way.mode if webhook else "")
        after = lifecycle.advance(message, event, policy, "").message
        poll_at = schedule.plan(
            message,
            after,
            policy,
            at,
            some.random(),
            uptime_us=at - SENT_AT,
            polled=not webhook,
            webhooks_reliable=way.webhooks_reliable,
        )
        message = after if poll_at is None else after._replace(due_at=poll_at)
    ended = message.outcome in FINAL_BY_PROVIDER
    return message.polls, message.finished_at - timeline.final_at if ended else None


def _make_event(timeline: Timeline, at: int, mode: str) -> Event:
    """Make a webhook in this mode, or a poll's answer."""
    status = timeline.status_at(at)
    if mode == "verify":
        return StatusClaimed(1, at, at - SENT_AT, status)
    via = Via.WEBHOOK if mode else Via.POLL
    return Observed(1, at, at - SENT_AT, Answer(status), via, timeline.final_at if mode else 0)
