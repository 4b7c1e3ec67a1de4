"""What the provider says of single messages: unknown ids, refusals, new words, lost connections."""

from __future__ import annotations

import json
import random
import string
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from exporter.domain.model import Answer, Outcome, Reply, Status
from exporter.domain.snapshot import Kind
from exporter.provider import parsing
from tests.engine.provider import (
    Provider,
    answer_delivered,
    answer_under_way,
    answer_with,
    find_closest_seconds,
    make_reply,
)
from tests.engine.rig import start_rig
from tests.engine.settings import make_settings
from tests.kit.virtual import VIRTUAL

pytestmark = VIRTUAL

MINUTES = 60


async def test_a_message_that_becomes_visible_later_is_followed(tmp_path: Path) -> None:
    """Two answers of 404 within the first minute end no message."""
    seen: Counter[str] = Counter()

    def answer(message_id: str) -> Reply:
        seen[message_id] += 1
        return Reply(Outcome.NOT_FOUND) if seen[message_id] <= 2 else answer_delivered(message_id)

    provider = Provider(answer)
    async with start_rig(tmp_path, provider) as rig:
        await rig.send(10)
        await rig.pass_time(5 * MINUTES)
        assert rig.count_finished("delivered") == rig.count_finished() == 10
        assert rig.api_requests == {"not_found": 20, "ok": 10}


async def test_a_message_that_never_becomes_visible_is_not_found_once(tmp_path: Path) -> None:
    """Its first 404 after a minute ends it; it is not polled again, and the account is not affected."""
    provider = Provider(answer_with(Outcome.NOT_FOUND))
    async with start_rig(tmp_path, provider) as rig:
        await rig.send(10)
        await rig.pass_time(59)
        assert (rig.count_finished(), rig.pending) == (0, 10)
        await rig.pass_time(10 * MINUTES)
        assert rig.count_finished("not_found") == rig.count_finished() == 10
        after_a_minute = Counter(request.message_id for request in provider.list_since(60))
        assert set(after_a_minute.values()) == {1}
        assert rig.read_gauge("smsbat_circuit_open") == 0


async def test_one_poison_message_among_a_hundred_is_rejected_after_three_tries(tmp_path: Path) -> None:
    """A 400 rejects this message only: three of them end it, and the others are not affected."""

    def answer(message_id: str) -> Reply:
        return Reply(Outcome.CLIENT_ERROR) if message_id.endswith("000042") else answer_under_way(message_id)

    provider = Provider(answer)
    async with start_rig(tmp_path, provider) as rig:
        await rig.send(100)
        await rig.pass_time(10 * MINUTES)
        assert rig.count_finished("rejected") == rig.count_finished() == 1
        assert rig.api_requests["client_error"] == 3
        assert rig.read_gauge("smsbat_circuit_open") == 0
        requests = provider.count_requests()
        poison = requests.pop("m-default-000042")
        assert poison == 3
        assert min(requests.values()) > 3
        assert find_closest_seconds(provider.requests) >= 1


async def test_poison_alone_never_opens_the_circuit(tmp_path: Path) -> None:
    """An answer that rejects the message shows that the provider works."""
    provider = Provider(answer_with(Outcome.CLIENT_ERROR))
    async with start_rig(tmp_path, provider) as rig:
        await rig.send(50)
        await rig.pass_time(5 * MINUTES)
        assert rig.count_finished("rejected") == 50
        assert rig.api_requests == {"client_error": 150}
        assert rig.read_gauge("smsbat_api_up") == 1


async def test_ten_thousand_unknown_words_are_one_series(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever words the provider invents, all are `other`; the first twenty are in the log, once each."""
    chance = random.Random(3)
    words: set[str] = set()

    def answer(message_id: str) -> Reply:
        word = "".join(chance.choices(string.ascii_letters + '_ \n"\\é', k=chance.randint(1, 40)))
        words.add(word)
        body = json.dumps({"messageId": message_id, "deliverystatus": word}).encode()
        parsed = parsing.parse_answer(body, message_id)
        assert isinstance(parsed, Answer)
        return Reply(Outcome.OK, parsed)

    provider = Provider(answer, latency_seconds=0.01)
    settings = make_settings(rate=100, profiles={"default": {"max_interval": "10s"}})
    async with start_rig(tmp_path, provider, settings) as rig:
        await rig.send(500)
        await rig.pass_time(15)
        series = len(rig.snapshot.values)
        await rig.wait_until(lambda: len(words) > 10_000, 5 * MINUTES)
        assert len(rig.snapshot.values) == series
        assert rig.sum_series(Kind.MESSAGES, "other") == rig.pending == 500
        assert rig.read_gauge("smsbat_unknown_statuses_total") == len(provider.requests) - provider.in_flight
        assert len([record for record in caplog.records if "does not know" in record.message]) == 20


async def test_a_reused_connection_that_is_lost_costs_only_a_second(tmp_path: Path) -> None:
    """The one silent retry comes after a second, and counts as no failure."""
    seen: Counter[str] = Counter()

    def answer(message_id: str) -> Reply:
        seen[message_id] += 1
        lost = Reply(Outcome.CONNECT, reused_connection_lost=True)
        return lost if seen[message_id] == 1 else answer_delivered(message_id)

    provider = Provider(answer)
    async with start_rig(tmp_path, provider) as rig:
        await rig.send(20)
        await rig.pass_time(12)
        assert rig.count_finished("delivered") == 20
        assert rig.api_requests == {"ok": 20}
        assert all(message.failures == 0 for message in await rig.read_messages())
        gaps = _list_gaps(provider)
        assert min(gaps) >= 1
        assert max(gaps) < 4


async def test_a_connection_that_is_lost_twice_is_a_failure(tmp_path: Path) -> None:
    """A provider that closes every connection is down, whatever it says of keeping them."""
    provider = Provider(lambda _: Reply(Outcome.CONNECT, reused_connection_lost=True))
    async with start_rig(tmp_path, provider) as rig:
        await rig.send(20)
        await rig.pass_time(2 * MINUTES)
        assert rig.read_gauge("smsbat_circuit_open") == 1
        assert rig.api_requests["connect"] == pytest.approx(len(provider.requests) / 2, abs=20)
        assert find_closest_seconds(provider.requests) >= 1


async def test_a_status_that_goes_back_is_counted_and_changes_nothing(tmp_path: Path) -> None:
    """Processing, then scheduled again: `processing` stays, and each contradiction is counted."""
    seen: Counter[str] = Counter()

    def answer(message_id: str) -> Reply:
        seen[message_id] += 1
        return make_reply(Status.PROCESSING if seen[message_id] == 1 else Status.SCHEDULED)

    provider = Provider(answer)
    async with start_rig(tmp_path, provider) as rig:
        await rig.send(5)
        await rig.pass_time(2 * MINUTES)
        assert rig.sum_series(Kind.MESSAGES, "processing") == 5
        assert rig.read_gauge("smsbat_status_conflicts_total") == len(provider.requests) - 5


def _list_gaps(provider: Provider) -> list[float]:
    """The times between a message's requests, over all messages."""
    times: dict[str, list[float]] = {}
    for request in provider.requests:
        times.setdefault(request.message_id, []).append(request.at_seconds)
    return [later - earlier for ats in times.values() for earlier, later in pairwise(ats)]
