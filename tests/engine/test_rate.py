"""What the account may send: its rate, the pauses that the provider asks for, a key that is refused."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from exporter.domain.model import Outcome, Reply
from tests.engine.provider import (
    BucketLimit,
    Provider,
    answer_delivered,
    answer_under_way,
    answer_with,
    count_most_within,
    find_closest_seconds,
    find_widest_gap_seconds,
)
from tests.engine.rig import start_rig
from tests.engine.settings import make_settings
from tests.kit.virtual import VIRTUAL

pytestmark = VIRTUAL

MINUTES = 60
HOURS = 3_600


@pytest.mark.parametrize("rate", [0.5, 3, 10, 100])
async def test_no_second_ever_sees_more_than_the_rate(tmp_path: Path, rate: float) -> None:
    """However much is due, and however fast the answers: the rate and one burst, as the provider counts."""
    provider = Provider(answer_under_way, latency_seconds=0.001)
    async with start_rig(tmp_path, provider, make_settings(rate=rate, max_in_flight=50)) as rig:
        await rig.send(2_000)
        await rig.pass_time(20)
        burst = max(1, rate / 10)
        for seconds in (1, 2, 5, 10):
            assert count_most_within(provider.requests, seconds) <= rate * seconds + burst
        assert len(provider.requests) >= rate * (20 - 5 - 0.2)


@pytest.mark.parametrize("wait_seconds", [1, 20, 600])
async def test_retry_after_is_silence_on_the_whole_account(tmp_path: Path, wait_seconds: int) -> None:
    """One 429 silences the account, not only its message, for just as long; half the rate follows."""
    provider = Provider(answer_under_way)
    async with start_rig(tmp_path, provider) as rig:
        await rig.send(300)
        await rig.pass_time(10)
        provider.answer = answer_with(Outcome.RATE_LIMITED, wait_seconds)
        sent_before = len(provider.requests)
        await rig.wait_until(lambda: len(provider.requests) > sent_before, 2)
        provider.answer = answer_under_way
        limited_at = provider.requests[sent_before].at_seconds + 0.05
        await rig.pass_time(wait_seconds + 10)
        after = provider.list_since(limited_at + 0.1)
        assert after[0].at_seconds >= limited_at + wait_seconds
        assert after[0].at_seconds < limited_at + wait_seconds + 1
        if wait_seconds < 60:
            # Each minute gives back a tenth of the rate.
            assert count_most_within(after, 4) <= 5 * 4 + 2
        assert rig.pending == 300


async def test_a_long_pause_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The log says why nothing is sent for ten minutes; a pause of ten seconds is not logged."""
    provider = Provider(answer_with(Outcome.RATE_LIMITED, 10))
    async with start_rig(tmp_path, provider) as rig:
        await rig.send(300)
        await rig.pass_time(30)
        provider.answer = answer_with(Outcome.RATE_LIMITED, 600)
        await rig.pass_time(300)
        logged = [vars(record) for record in caplog.records if "asked for a pause" in record.message]
        assert [(line["event"], line["fields"]["account"]) for line in logged] == [("account_paused", "main")]
        assert 590 <= logged[0]["fields"]["seconds"] <= 600


async def test_429_without_retry_after_pauses_longer_each_time(tmp_path: Path) -> None:
    """5 s, doubling up to 5 minutes, and no message is affected."""
    provider = Provider(answer_with(Outcome.RATE_LIMITED))
    async with start_rig(tmp_path, provider) as rig:
        await rig.send(50)
        await rig.pass_time(2 * HOURS)
        times = [request.at_seconds for request in provider.requests]
        pauses = [later - earlier for earlier, later in pairwise(times)]
        # A request or two are out already when the first 429 comes; slow rates add up to 10 s of their own.
        longer = [round(pause) for pause in pauses if pause > 4]
        for pause, expected in zip(longer, [5, 10, 20, 40, 80, 160, 300, 300], strict=False):
            assert expected <= pause <= expected + 11
        assert max(longer) <= 311
        assert (rig.count_finished(), rig.pending) == (0, 50)
        assert all(message.failures == 0 for message in await rig.read_messages())
        provider.answer = answer_delivered
        await rig.wait_until(lambda: rig.pending == 0, 15 * MINUTES)


@pytest.mark.parametrize("retry_after_seconds", [None, 2], ids=["without Retry-After", "Retry-After: 2"])
async def test_a_rate_that_is_configured_too_high_settles_below_one_percent_of_429s(
    tmp_path: Path, retry_after_seconds: int | None
) -> None:
    """Configured 2, allowed 1: in the steady state fewer than 1 in 100 is refused, and few are left out."""
    limit = BucketLimit(1, answer_under_way, retry_after_seconds)
    provider = Provider(limit)
    async with start_rig(tmp_path, provider, make_settings(rate=2)) as rig:
        await rig.send(500)
        await rig.pass_time(5 * MINUTES)
        settled = len(provider.requests), len(limit.refused_at)
        await rig.pass_time(20 * MINUTES)
        requests = len(provider.requests) - settled[0]
        assert 0 < (len(limit.refused_at) - settled[1]) / requests < 0.01
        assert requests > 0.6 * 1 * 20 * MINUTES


async def test_a_refused_key_costs_a_request_a_minute_and_no_message_an_attempt(tmp_path: Path) -> None:
    """While the key is refused one message is the probe; afterwards all messages are as before."""
    provider = Provider(answer_under_way)
    async with start_rig(tmp_path, provider, make_settings(campaigns={"otp": "otp"})) as rig:
        await rig.send(50, "otp")
        await rig.pass_time(20)
        before = {message.row: (message.polls, message.failures) for message in await rig.read_messages()}
        provider.answer = answer_with(Outcome.UNAUTHORIZED)
        sent_before = len(provider.requests)
        await rig.pass_time(1 * HOURS)
        refused = provider.requests[sent_before:]
        # Those that were in flight at the first refusal, then the probes.
        out_already = [r for r in refused if r.at_seconds < refused[0].at_seconds + 1]
        assert len(out_already) <= 3
        assert count_most_within(refused[len(out_already) :], 59.9) == 1
        assert len(refused) <= 3 + 60
        assert (rig.count_finished(), rig.pending) == (0, 50)
        after = {message.row: (message.polls, message.failures) for message in await rig.read_messages()}
        assert sum(polls for polls, _ in after.values()) - sum(polls for polls, _ in before.values()) <= 10
        assert all(failures == 0 for _, failures in after.values())


async def test_a_changed_key_is_tried_at_once_and_polling_continues(tmp_path: Path) -> None:
    """Within two seconds of the rotation all is as before, even if the first answer finishes its message."""
    provider = Provider(answer_with(Outcome.UNAUTHORIZED))
    async with start_rig(tmp_path, provider) as rig:
        await rig.send(50)
        await rig.pass_time(10 * MINUTES)
        provider.answer = answer_delivered
        sent_before = len(provider.requests)
        rig.account.limiter.on_credentials_changed(rig.clock.monotonic())
        rig.account.wakeup.set()
        await rig.pass_time(2)
        assert len(provider.requests) - sent_before >= 15
        await rig.wait_until(lambda: rig.pending == 0, 5)
        assert find_closest_seconds(provider.requests) >= 1


async def test_the_retry_after_of_a_503_is_kept(tmp_path: Path) -> None:
    """Retry-After of a failing provider pauses the whole account too."""
    provider = Provider(lambda _: Reply(Outcome.SERVER_ERROR, retry_after_us=120_000_000))
    async with start_rig(tmp_path, provider) as rig:
        await rig.send(50)
        await rig.pass_time(6)
        sent_before = len(provider.requests)
        await rig.pass_time(100)
        assert sent_before <= 2
        assert len(provider.requests) == sent_before
        await rig.pass_time(60)
        assert find_widest_gap_seconds(provider.requests) >= 120
