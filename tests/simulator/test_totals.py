"""The totals agree with what the provider answers."""

import asyncio
from collections import Counter
from decimal import Decimal
from typing import Any

from exporter.domain.model import NANOS_PER_UNIT, SECOND_US
from exporter.simulator.answers import write_status
from exporter.simulator.sent_messages import SentMessages
from exporter.simulator.timeline import TrafficKind
from tests.kit.totals import Totals, select, sum_totals
from tests.simulator.rig import HOUR_US, HandClock, json_exactly

FINAL = {"delivered", "undeliverable", "permanenterror"}


def poll_all(sent: SentMessages) -> dict[str, list[dict[str, Any]]]:
    """The answers about every message now, parsed, by campaign."""
    now = sent.clock.now()
    answers: dict[str, list[dict[str, Any]]] = {}
    for index in range(len(sent)):
        body = write_status(index, sent.ids.write(index), sent.timeline_of(index), now)
        answers.setdefault(sent.campaign_of(index), []).append(json_exactly(body.decode()))
    return answers


def recount(campaign: str, answers: list[dict[str, Any]]) -> Totals:
    """The totals of one campaign as anyone can make them from the answers alone."""
    totals: Totals = Counter()
    for answer in answers:
        totals[campaign, "messages", answer["deliverystatus"]] += 1
        if answer["deliverystatus"] not in FINAL:
            continue
        totals[campaign, "finished", answer["deliverystatus"]] += 1
        totals[campaign, "parts"] += answer["partscount"]
        amount: Decimal = answer.get("billAmount", answer["cost"])
        totals[campaign, "cost_nanos", answer.get("billCurrency", "UAH")] += int(amount * NANOS_PER_UNIT)
        for entry in answer.get("fallbacks", ()):
            totals[campaign, "fallbacks", entry["type"], entry["status"]] += 1
        for channel, status in answer.get("extendedStatuses", {}).items():
            totals[campaign, "channels", channel, status] += 1
    return +totals


async def test_the_totals_agree_with_the_answers_at_every_moment() -> None:
    """Statuses, money, parts, fallbacks and channels are what a client that polls every message counts."""
    clock = HandClock()
    sent = SentMessages(3, clock)
    for kind in TrafficKind:
        sent.send(kind, f"campaign of {kind}", 700)
    for wait_us in (0, SECOND_US, 30 * SECOND_US, HOUR_US, 100 * HOUR_US):
        clock.passed_us += wait_us
        expected = sum((recount(*one) for one in poll_all(sent).items()), Counter[tuple[str, ...]]())
        assert await sum_totals(sent) == expected


async def test_only_the_ended_among_some_are_counted_on_demand() -> None:
    """The others are left out, and so are those of them that have not ended."""
    clock = HandClock()
    sent = SentMessages(3, clock)
    ids = sent.send(TrafficKind.OTP, "otp", 10)
    assert await sum_totals(sent, among=ids) == {}
    clock.passed_us += HOUR_US
    totals = await sum_totals(sent, among={ids[4]})
    assert select(totals, "finished").total() == select(totals, "messages").total() == 1
    assert totals["otp", "parts"] == sent.timeline_of(4).parts


async def test_counting_lets_others_have_their_turn_and_keeps_its_moment() -> None:
    """Time that passes and messages that are sent during the count don't show in it."""
    clock = HandClock()
    sent = SentMessages(3, clock)
    sent.send(TrafficKind.OTP, "otp", 5000)
    async with asyncio.TaskGroup() as group:
        counting = group.create_task(sum_totals(sent))
        await asyncio.sleep(0)
        assert not counting.done()
        clock.passed_us += HOUR_US
        sent.send(TrafficKind.OTP, "otp", 1)
    assert counting.result() == {("otp", "messages", "scheduled"): 5000}
