"""More is due than the rate allows: what matters goes first, and no message starves."""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest

from exporter.domain.model import Reply
from exporter.domain.states import Status
from tests.engine.provider import (
    Provider,
    Request,
    answer_delivered,
    answer_under_way,
    count_most_within,
    find_closest_seconds,
    make_reply,
)
from tests.engine.rig import Rig, start_rig
from tests.engine.settings import make_settings
from tests.kit.virtual import VIRTUAL

pytestmark = VIRTUAL

MINUTES = 60
CLASSES = make_settings(campaigns={"otp": "otp", "sale": "campaign"})
OTP_FIRST_POLL_SECONDS = 3
HOLD_SECONDS = 1.05
"""After each start nothing is sent for so long."""


def select_campaign(requests: Iterable[Request], campaign: str) -> list[Request]:
    """The requests about one campaign's messages, by what `Rig.send` calls them."""
    return [request for request in requests if f"-{campaign}-" in request.message_id]


def deliver_passwords() -> Provider:
    """A provider that has delivered each password by the second poll, and nothing of a campaign."""
    seen: set[str] = set()

    def answer(message_id: str) -> Reply:
        if message_id in seen:
            return make_reply(Status.DELIVERED)
        if "-otp-" in message_id:
            seen.add(message_id)
        return make_reply(Status.PROCESSING)

    return Provider(answer)


async def measure_password_lags_seconds(rig: Rig, provider: Provider, minutes: int) -> list[float]:
    """Send a one-time password about each second; how late the first poll of each was."""
    due_at: dict[str, float] = {}
    began = rig.now_seconds
    chance = random.Random(2)
    for number in range(minutes * 60):
        (message_id,) = await rig.send(1, "otp", prefix=f"n{number}")
        due_at[message_id] = rig.now_seconds + OTP_FIRST_POLL_SECONDS
        await rig.pass_time(chance.uniform(0, 2))
    await rig.pass_time(10)
    first: dict[str, float] = {}
    for at_seconds, message_id in provider.list_since(began):
        first.setdefault(message_id, at_seconds)
    return [first[message_id] - due for message_id, due in due_at.items()]


async def test_a_campaign_of_100_000_does_not_delay_one_time_passwords(tmp_path: Path) -> None:
    """With 100,000 campaign messages due at 10 requests a second, passwords wait as if they were alone.

    A tick of the schedule (100 ms) and a token of the rate (100 ms) are what they wait either way.
    """
    provider = deliver_passwords()
    async with start_rig(tmp_path / "alone", provider, CLASSES) as rig:
        alone = await measure_password_lags_seconds(rig, provider, 1)
    provider = deliver_passwords()
    async with start_rig(tmp_path / "beside", provider, CLASSES) as rig:
        await rig.send(100_000, "sale", age_seconds=60)
        beside = await measure_password_lags_seconds(rig, provider, 2)
        sale = select_campaign(provider.requests, "sale")
    assert max(beside) <= max(alone) + 0.21
    assert median(beside) <= median(alone) + 0.1
    assert len(sale) > 120 * (10 - 2) * 0.95


async def test_low_priority_gets_its_tenth_when_high_could_take_all(tmp_path: Path) -> None:
    """Passwords enough for ten times the rate leave a campaign 10 %, and ordinary messages 20 %."""
    provider = Provider(answer_under_way)
    settings = make_settings(
        campaigns={"otp": "otp", "sale": "campaign"}, profiles={"otp": {"give_up_after": "1h"}}
    )
    async with start_rig(tmp_path, provider, settings) as rig:
        await rig.send(500, "otp")
        await rig.send(1_000, "sale", age_seconds=60)
        await rig.pass_time(100)
        share = len(select_campaign(provider.list_since(10), "sale")) / len(provider.list_since(10))
        assert share == pytest.approx(0.10, abs=0.01)
        await rig.send(1_000, "orders", age_seconds=60)
        three_classes = rig.now_seconds
        await rig.pass_time(100)
        requests = provider.list_since(three_classes)
        assert len(select_campaign(requests, "sale")) / len(requests) == pytest.approx(0.10, abs=0.01)
        assert len(select_campaign(requests, "orders")) / len(requests) == pytest.approx(0.20, abs=0.01)


async def test_slow_answers_about_a_campaign_leave_slots_for_passwords(tmp_path: Path) -> None:
    """Requests that take 10 s each would fill all ten slots with a campaign: two are never given to it."""
    provider = Provider(answer_under_way, latency_seconds=10)
    async with start_rig(tmp_path, provider, CLASSES) as rig:
        await rig.send(1_000, "sale", age_seconds=60)
        await rig.pass_time(30)
        assert provider.in_flight == 8
        (message_id,) = await rig.send(1, "otp")
        await rig.pass_time(OTP_FIRST_POLL_SECONDS + 0.3)
        assert message_id in provider.count_requests()
        assert provider.in_flight == 9


async def test_ten_times_more_than_the_rate_loses_no_message(tmp_path: Path) -> None:
    """Messages that live 2 minutes, ten times as many as can be polled: none is given up without a poll."""
    profile = {
        "first_poll": "3s",
        "interval": "3s",
        "max_interval": "3s",
        "give_up_after": "2m",
        "deadline": "30s",
    }
    settings = make_settings(profiles={"default": profile})
    provider = Provider(answer_under_way)
    async with start_rig(tmp_path, provider, settings) as rig:
        for second in range(20):
            await rig.send(30, prefix=f"s{second}")
            await rig.pass_time(1)
        await rig.wait_until(lambda: rig.pending == 0, 10 * MINUTES)
        assert rig.count_finished("expired") == rig.count_finished() == 600
        assert all(message.polls >= 1 for message in await rig.read_messages())
        assert len(provider.count_requests()) == 600
        assert count_most_within(provider.requests, 10) <= 10 * 10 + 1
        assert find_closest_seconds(provider.requests) >= 1


async def test_first_polls_go_before_repeated_ones(tmp_path: Path) -> None:
    """While a thousand messages wait for their next poll, new ones get three of four turns."""
    provider = Provider(answer_under_way)
    async with start_rig(tmp_path, provider) as rig:
        old = set(await rig.send(1_000, prefix="old"))
        await rig.pass_time(200)
        new = set(await rig.send(100, prefix="new", age_seconds=5))
        asked_new = rig.now_seconds
        await rig.pass_time(100 / 7.5 + 2)
        first = {request.message_id for request in provider.list_since(asked_new)}
        assert new <= first
        assert old & first


async def test_messages_of_a_class_wait_about_equally_long(tmp_path: Path) -> None:
    """Ten times more polls due than possible: no wait between two is 3 times as long as another."""
    profile = {"first_poll": "5s", "interval": "5s", "max_interval": "5s"}
    provider = Provider(answer_under_way)
    async with start_rig(tmp_path, provider, make_settings(profiles={"default": profile})) as rig:
        await rig.send(500)
        await rig.pass_time(6 * MINUTES)
        polled_at: dict[str, list[float]] = {}
        for at_seconds, message_id in provider.list_since(120):
            polled_at.setdefault(message_id, []).append(at_seconds)
        waits = [later - earlier for times in polled_at.values() for earlier, later in pairwise(times)]
        assert len(polled_at) == 500
        assert max(waits) / min(waits) < 3
        assert rig.read_gauge("smsbat_poll_lag_seconds", priority="normal") == pytest.approx(45, abs=8)
        assert rig.read_gauge("smsbat_polls_due", priority="normal") == pytest.approx(450, abs=50)


async def test_the_budget_is_used_in_full(tmp_path: Path) -> None:
    """With enough due, no token is wasted over answers that take as long as usual."""
    provider = Provider(answer_delivered, latency_seconds=0.4)
    async with start_rig(tmp_path, provider) as rig:
        await rig.send(3_000, age_seconds=5)
        await rig.pass_time(HOLD_SECONDS)
        began = rig.now_seconds
        await rig.pass_time(100)
        assert len(provider.list_since(began)) == pytest.approx(1_000, abs=5)


async def test_messages_that_are_being_read_get_their_turn(tmp_path: Path) -> None:
    """Messages that are claimed and not yet read from the store are polled once they are read."""
    provider = Provider(answer_delivered, latency_seconds=0.001)
    async with start_rig(tmp_path, provider, make_settings(rate=100)) as rig:
        await rig.pass_time(HOLD_SECONDS)
        rig.slow_down(0.1)
        for batch in range(3):
            await rig.send(12, prefix=f"b{batch}", age_seconds=5)
            await rig.pass_time(1)
            assert len(provider.count_requests()) == 12 * (batch + 1)
