"""The books agree with what the provider answers."""

import asyncio
from collections import Counter
from decimal import Decimal
from typing import Any

from exporter.domain.model import NANOS_PER_UNIT, SECOND_US
from exporter.simulator.answer import status_body
from exporter.simulator.book import Book
from exporter.simulator.fate import TrafficKind
from exporter.simulator.tally import CampaignTally, tally
from tests.simulator.rig import HOUR_US, HandClock, json_exactly

FINAL = {"delivered", "undeliverable", "permanenterror"}


def answers(book: Book) -> dict[str, list[dict[str, Any]]]:
    """What a client is told of every message now, parsed, by campaign."""
    now = book.clock.now()
    told: dict[str, list[dict[str, Any]]] = {}
    for index in range(len(book)):
        body = status_body(index, book.ids.write(index), book.fate(index), now)
        told.setdefault(book.campaign(index), []).append(json_exactly(body.decode()))
    return told


def recount(told: list[dict[str, Any]]) -> CampaignTally:
    """The books of one campaign as anyone can make them from the answers alone."""
    ended = [answer for answer in told if answer["deliverystatus"] in FINAL]
    costs: Counter[str] = Counter()
    for answer in ended:
        amount: Decimal = answer.get("billAmount", answer["cost"])
        if amount:
            costs[answer.get("billCurrency", "account")] += int(amount * NANOS_PER_UNIT)
    fallbacks = [
        (entry["type"], entry["status"]) for answer in ended for entry in answer.get("fallbacks", ())
    ]
    return CampaignTally(
        messages=Counter(answer["deliverystatus"] for answer in told),
        finished=Counter(answer["deliverystatus"] for answer in ended),
        cost_nanos=costs,
        parts=sum(answer["partscount"] for answer in ended),
        fallbacks=Counter(fallbacks),
        channels=Counter(pair for answer in ended for pair in answer.get("extendedStatuses", {}).items()),
        messages_fell_back=sum(status != "not_used" for _, status in fallbacks),
    )


async def test_the_books_agree_with_the_answers_at_every_moment() -> None:
    """Statuses, money, parts, fallbacks and channels are what a client that asks for everything counts."""
    clock = HandClock()
    book = Book(3, clock)
    for kind in TrafficKind:
        book.send(kind, f"campaign of {kind}", 700)
    for wait_us in (0, SECOND_US, 30 * SECOND_US, HOUR_US, 100 * HOUR_US):
        clock.passed_us += wait_us
        expected = {campaign: recount(told) for campaign, told in answers(book).items()}
        assert await tally(book) == expected


async def test_unseen_ends_are_left_out_on_demand() -> None:
    """Only what an answer has told counts as seen."""
    clock = HandClock()
    book = Book(3, clock)
    book.send(TrafficKind.OTP, "otp", 10)
    clock.passed_us += HOUR_US
    assert await tally(book, seen_only=True) == {}
    book.note_final_seen(4)
    sums = (await tally(book, seen_only=True))["otp"]
    assert sums.finished.total() == sums.messages.total() == 1
    assert sums.parts == book.fate(4).parts


async def test_counting_lets_others_have_their_turn_and_keeps_its_moment() -> None:
    """Time that passes and messages that are sent during the count don't show in it."""
    clock = HandClock()
    book = Book(3, clock)
    book.send(TrafficKind.OTP, "otp", 5000)
    async with asyncio.TaskGroup() as group:
        counting = group.create_task(tally(book))
        await asyncio.sleep(0)
        assert not counting.done()
        clock.passed_us += HOUR_US
        book.send(TrafficKind.OTP, "otp", 1)
    assert counting.result()["otp"].messages == {"scheduled": 5000}


def test_money_in_json_is_exact() -> None:
    """Amounts are decimal strings, with the whole number of nanos beside them."""
    sums = CampaignTally(cost_nanos=Counter({"UAH": 12_345_600_001, "EUR": 2_000_000_000}))
    assert sums.as_json()["cost"] == {
        "UAH": {"amount": "12.345600001", "nanos": 12_345_600_001},
        "EUR": {"amount": "2.00", "nanos": 2_000_000_000},
    }
