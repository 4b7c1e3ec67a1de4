"""Each message is judged once against its deadline; a stall shows at once, and nothing shows too early."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.domain.aggregates import COHORT_US
from exporter.domain.lifecycle import compute_tolerance_us
from exporter.domain.model import SECOND_US, Reply, Status, Verdict
from exporter.domain.snapshot import Kind
from tests.engine.provider import Provider, answer_delivered, answer_under_way, make_reply, refuse_connection
from tests.engine.rig import Rig, start_rig
from tests.engine.settings import make_settings
from tests.kit.virtual import VIRTUAL

pytestmark = VIRTUAL

MINUTES = 60
HOURS = 3_600
OTP = make_settings(rate=50, campaigns={"otp": "otp"})
"""With a rate at which all messages can be polled in time."""
OTP_DEADLINE_SECONDS = 30
PERSIST_SECONDS = 5
HEARTBEAT_SECONDS = 1


def compute_shown_after_seconds(deadline_seconds: int) -> float:
    """When the verdict on a message is counted at the latest: once its whole cohort is mature."""
    tolerance = compute_tolerance_us(deadline_seconds * SECOND_US)
    return deadline_seconds + (COHORT_US + tolerance) / SECOND_US + PERSIST_SECONDS + HEARTBEAT_SECONDS


def read_verdicts(rig: Rig) -> tuple[int, int, int]:
    """Counts of judged, missed and unobserved messages."""
    return (
        rig.sum_series(Kind.SLO_MESSAGES),
        rig.sum_series(Kind.SLO_MISSED),
        rig.sum_series(Kind.SLO_UNOBSERVED),
    )


def answer_after_seconds(rig: Callable[[], Rig], seconds: float, then: Status) -> Callable[[str], Reply]:
    """Each message is under way for that long after its first poll."""
    first: dict[str, float] = {}

    def answer(message_id: str) -> Reply:
        now = rig().now_seconds
        since = now - first.setdefault(message_id, now)
        return make_reply(then if since >= seconds else Status.PROCESSING)

    return answer


async def test_every_message_is_judged_exactly_once(tmp_path: Path) -> None:
    """Fast and slow, failed and never answered, with an outage and a crash between: the sums are right."""
    chance = random.Random(5)
    timelines: dict[str, tuple[float, Status]] = {}
    provider = Provider()
    async with start_rig(tmp_path, provider, OTP) as rig:

        def answer(message_id: str) -> Reply:
            ends_at, status = timelines[message_id]
            return make_reply(status if rig.now_seconds >= ends_at else Status.PROCESSING)

        provider.answer = answer
        for number in range(240):
            now = rig.now_seconds
            message_id = f"n{number}-otp-000000"
            final = chance.choice(
                [Status.DELIVERED, Status.DELIVERED, Status.UNDELIVERABLE, Status.PERMANENTERROR]
            )
            timelines[message_id] = now + chance.choice([2, 10, 20, 60, 10_000]), final
            await rig.send(1, "otp", prefix=f"n{number}")
            await rig.pass_time(1)
            if number == 100:
                provider.answer = refuse_connection
            if number == 170:
                provider.answer = answer
            if number == 200:
                await rig.crash()
                await rig.start()
        await rig.pass_time(6 * MINUTES)
        messages, missed, unobserved = read_verdicts(rig)
        assert messages + unobserved == rig.sum_series(Kind.TRACKED) == 240
        verdicts = Counter(message.verdict for message in await rig.read_messages())
        assert verdicts == {
            Verdict.MET: messages - missed,
            Verdict.MISSED: missed,
            Verdict.UNOBSERVED: unobserved,
        }
        assert min(messages - missed, missed, unobserved) > 20


async def test_only_messages_delivered_in_time_are_met(tmp_path: Path) -> None:
    """When all messages can be polled in time, the verdicts are exact."""
    chance = random.Random(6)
    timelines: dict[str, tuple[float, Status]] = {}
    provider = Provider()
    in_time = 0
    async with start_rig(tmp_path, provider, OTP) as rig:
        provider.answer = lambda i: make_reply(
            timelines[i][1] if rig.now_seconds >= timelines[i][0] else Status.PROCESSING
        )
        for number in range(120):
            # Not within the second after the deadline, in which a poll may come a little late.
            seconds = chance.choice([1, 8, 15, 25, 29.9, 32, 45, 10_000])
            final = chance.choice([Status.DELIVERED, Status.UNDELIVERABLE])
            in_time += final is Status.DELIVERED and seconds < OTP_DEADLINE_SECONDS
            timelines[f"n{number}-otp-000000"] = rig.now_seconds + seconds, final
            await rig.send(1, "otp", prefix=f"n{number}")
            await rig.pass_time(1)
        await rig.pass_time(4 * MINUTES)
        assert read_verdicts(rig) == (120, 120 - in_time, 0)


@pytest.mark.parametrize(("profile", "deadline_seconds"), [("otp", 30), ("default", 300)])
async def test_a_stall_shows_when_the_first_deadline_has_passed(
    tmp_path: Path, profile: str, deadline_seconds: int
) -> None:
    """From one moment on nothing is delivered: the misses begin to grow a deadline and a cohort later."""
    provider = Provider(answer_delivered)
    async with start_rig(tmp_path, provider, make_settings(rate=50, campaigns={"alerts": profile})) as rig:
        number = 0

        async def send_traffic(seconds: int) -> None:
            nonlocal number
            for _ in range(seconds):
                number += 1
                await rig.send(1, "alerts", prefix=f"n{number}")
                await rig.pass_time(1)

        await send_traffic(4 * MINUTES)
        provider.answer = answer_under_way
        stalled_at = rig.now_seconds
        while rig.sum_series(Kind.SLO_MISSED) < 5:
            await send_traffic(1)
            assert rig.now_seconds - stalled_at <= compute_shown_after_seconds(deadline_seconds) + 5
        assert rig.sum_series(Kind.SLO_UNOBSERVED) == 0


async def test_an_outage_shows_as_unobserved_and_misses_nothing(tmp_path: Path) -> None:
    """Without an answered poll nothing is known; that shows within the tolerance and 5 s more."""
    provider = Provider(refuse_connection)
    async with start_rig(tmp_path, provider, OTP) as rig:
        await rig.send(50, "otp")
        await rig.pass_time(OTP_DEADLINE_SECONDS)
        assert read_verdicts(rig) == (0, 0, 0)
        await rig.pass_time(
            compute_tolerance_us(OTP_DEADLINE_SECONDS * SECOND_US) / SECOND_US
            + PERSIST_SECONDS
            + HEARTBEAT_SECONDS
        )
        assert read_verdicts(rig) == (0, 0, 50)
        provider.answer = answer_delivered
        await rig.pass_time(5 * MINUTES)
        assert read_verdicts(rig) == (0, 0, 50)
        assert rig.count_finished("delivered") == 50


async def test_a_campaign_sees_no_misses_before_its_deadline(tmp_path: Path) -> None:
    """What takes 50 of 60 minutes is neither missed nor judged before the hour, and all met after it."""
    provider = Provider()
    async with start_rig(tmp_path, provider, make_settings(campaigns={"sale": "campaign"})) as rig:
        provider.answer = answer_after_seconds(lambda: rig, 49 * MINUTES, Status.DELIVERED)
        await rig.send(100, "sale")
        for _ in range(60):
            await rig.pass_time(1 * MINUTES)
            assert read_verdicts(rig) == (0, 0, 0)
            assert not rig.snapshot.delivery_ratios
        await rig.pass_time(compute_shown_after_seconds(1 * HOURS) - 1 * HOURS)
        assert read_verdicts(rig) == (100, 0, 0)


async def test_successes_never_show_without_the_failures_of_their_time(tmp_path: Path) -> None:
    """Half is delivered at once, half never: the fast half is never shown alone."""
    provider = Provider(
        lambda message_id: make_reply(Status.PROCESSING if message_id[-1] in "02468" else Status.DELIVERED)
    )
    async with start_rig(tmp_path, provider, OTP) as rig:
        for number in range(3 * MINUTES):
            if number < 60:
                await rig.send(2, "otp", prefix=f"n{number}")
            await rig.pass_time(1)
            messages, missed, _ = read_verdicts(rig)
            assert messages == 2 * missed
        assert read_verdicts(rig) == (120, 60, 0)


async def test_a_ratio_is_there_only_where_there_is_something_to_judge(tmp_path: Path) -> None:
    """No message, or none old enough: no sample. After the window: no sample any more."""
    provider = Provider(
        lambda message_id: make_reply(Status.UNDELIVERABLE if message_id[-1] == "0" else Status.DELIVERED)
    )
    async with start_rig(tmp_path, provider, OTP) as rig:
        await rig.pass_time(1 * MINUTES)
        assert not rig.snapshot.delivery_ratios
        assert not rig.snapshot.fallback_ratios
        await rig.send(10, "otp")
        await rig.pass_time(OTP_DEADLINE_SECONDS)
        assert not rig.snapshot.delivery_ratios
        assert set(rig.snapshot.fallback_ratios.values()) == {0.0}
        await rig.pass_time(2 * COHORT_US / SECOND_US + HEARTBEAT_SECONDS)
        assert set(rig.snapshot.delivery_ratios.values()) == {0.9}
        await rig.pass_time(8 * MINUTES)
        assert not rig.snapshot.delivery_ratios
        assert not rig.snapshot.fallback_ratios
