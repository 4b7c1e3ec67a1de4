"""Webhooks and a daemon in virtual time: what is polled, what is counted, what survives."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from exporter.domain.events import WebhookEvent
from exporter.domain.model import NewMessage, Outcome, Reply, Source, Verdict
from exporter.domain.snapshot import Kind
from exporter.domain.states import Status
from tests.engine.provider import count_most_within, find_closest_seconds
from tests.engine.rig import start_rig
from tests.ingest.webhook.world import (
    COST_NANOS,
    World,
    count_results,
    list_shown,
    make_event,
    make_settings,
    submit_all,
)
from tests.kit.virtual import VIRTUAL

pytestmark = VIRTUAL

MINUTES = 60
MODES = pytest.mark.parametrize("mode", ["verify", "trust"])


# --- verify -----------------------------------------------------------------------------------------


async def test_a_webhook_brings_the_poll_forward(tmp_path: Path) -> None:
    """Within a second of the webhook an answer finishes the message, long before its next poll was due."""
    world = World()
    settings = make_settings("verify", profiles={"default": {"first_poll": "1m"}})
    async with start_rig(tmp_path, world.provider, settings) as rig:
        (one,) = await rig.send(1)
        await rig.pass_time(10)
        world.end_now([one])
        assert await rig.processor.submit(make_event(rig, one))
        assert rig.count_finished() == 0
        await rig.pass_time(1)
        assert rig.count_finished("delivered") == 1
        assert rig.sum_series(Kind.COST_NANOS, "USD") == COST_NANOS
        assert rig.sum_series(Kind.FIRST_KNOWLEDGE, "webhook") == 1
        assert len(world.provider.requests) == 1
        assert count_results(rig) == {"accepted": 1}


async def test_a_claim_is_durable_before_it_is_acknowledged(tmp_path: Path) -> None:
    """A crash right after the 2xx loses nothing: the next run polls as soon as it may."""
    world = World()
    settings = make_settings(
        "verify", rate=2, profiles={"default": {"first_poll": "1h", "give_up_after": "2h"}}
    )
    async with start_rig(tmp_path, world.provider, settings) as rig:
        ids = await rig.send(3)
        await rig.pass_time(10)
        world.end_now(ids)
        assert await submit_all(rig, (make_event(rig, one) for one in ids)) == [True] * 3
        await rig.crash()
        await rig.start()
        await rig.pass_time(5)
        assert rig.count_finished("delivered") == 3
        assert rig.sum_series(Kind.FIRST_KNOWLEDGE, "webhook") == 3


async def test_forged_events_change_no_number(tmp_path: Path) -> None:
    """Made-up final statuses of pending, finished and unknown messages leave every series as it would be."""
    results = []
    for forged in (False, True):
        world = World()
        folder = tmp_path / str(forged)
        folder.mkdir()
        chance = random.Random(5)
        async with start_rig(folder, world.provider, make_settings("verify", rate=200)) as rig:
            pending, ended = await rig.send(60, prefix="p"), await rig.send(60, prefix="e")
            world.end_now(ended)
            await rig.pass_time(20)
            assert rig.count_finished() == 60
            for _ in range(20):
                if forged:
                    ids = [*pending, *ended, *(f"made-up-{chance.getrandbits(60):x}" for _ in range(60))]
                    statuses = [
                        Status.DELIVERED,
                        Status.UNDELIVERABLE,
                        Status.PERMANENTERROR,
                        Status.PROCESSING,
                    ]
                    submitted = [make_event(rig, one, chance.choice(statuses)) for one in ids]
                    assert all(await submit_all(rig, submitted))
                await rig.pass_time(7)
            results.append(dict(list_shown(rig)))
            assert rig.read_gauge("smsbat_status_conflicts_total") == 0
            assert find_closest_seconds(world.provider.requests) >= 1
            await rig.check_counts()
    assert results[0] == results[1]


async def test_forged_events_cause_no_more_polls_than_the_interval(tmp_path: Path) -> None:
    """However often a final status is made up, a message has two quick polls, then one per interval."""
    world = World()
    async with start_rig(tmp_path, world.provider, make_settings("verify", rate=100)) as rig:
        (one,) = await rig.send(1)
        for _ in range(300):
            await rig.processor.submit(make_event(rig, one, random.Random(1).choice([Status.DELIVERED])))
            await rig.pass_time(0.2)
        assert len(world.provider.requests) <= 2 + 60 / 5 + 2
        assert rig.pending == 1


async def test_a_claim_during_a_request_is_polled_again(tmp_path: Path) -> None:
    """The answer of a request that was sent before the end must not replace the webhook that came after."""
    world = World()
    world.provider.latency_seconds = 2
    settings = make_settings(
        "verify", profiles={"default": {"first_poll": "5s", "interval": "1h", "max_interval": "1h"}}
    )
    async with start_rig(tmp_path, world.provider, settings) as rig:
        (one,) = await rig.send(1)
        await rig.pass_time(5.5)
        assert world.provider.in_flight == 1
        await rig.processor.submit(make_event(rig, one))
        await rig.pass_time(2)
        world.end_now([one])
        await rig.pass_time(6)
        assert rig.count_finished("delivered") == 1
        assert find_closest_seconds(world.provider.requests) >= 1


async def test_claims_at_any_moment_keep_the_second(tmp_path: Path) -> None:
    """With a slow disk and webhooks at every moment of a request, no message is polled twice in a second."""
    world = World()
    world.provider.latency_seconds = 0.3
    chance = random.Random(7)
    settings = make_settings(
        "verify", rate=100, profiles={"default": {"first_poll": "1s", "interval": "1s", "max_interval": "3s"}}
    )
    async with start_rig(tmp_path, world.provider, settings) as rig:
        ids = await rig.send(40)
        await rig.pass_time(3)
        rig.slow_down(0.05)
        for _ in range(20):
            await submit_all(rig, (make_event(rig, one) for one in chance.sample(ids, 20)))
            await rig.pass_time(chance.uniform(0.01, 0.1))
        assert len(world.provider.requests) > 60
        assert find_closest_seconds(world.provider.requests) >= 1
        rig.slow_down(0)


# --- trust ------------------------------------------------------------------------------------------


async def test_a_trusted_final_status_counts_before_any_answer(tmp_path: Path) -> None:
    """While the provider's answers fail, it counts; the first answer brings the rest, once."""
    world = World()
    async with start_rig(tmp_path, world.provider, make_settings("trust")) as rig:
        (one,) = await rig.send(1)
        world.end_now([one])
        await rig.pass_time(2)
        truth, world.provider.answer = world.provider.answer, lambda _: Reply(Outcome.SERVER_ERROR)
        assert await rig.processor.submit(make_event(rig, one, after_seconds=-1))
        await rig.pass_time(1)
        assert rig.count_finished("delivered") == 1
        assert rig.sum_series(Kind.DURATION_SUM_US, "webhook") == 1_000_000
        assert (rig.sum_series(Kind.COST_NANOS), rig.sum_series(Kind.PARTS)) == (0, 0)
        world.provider.answer = truth
        await rig.pass_time(2 * MINUTES)
        assert (rig.sum_series(Kind.COST_NANOS, "USD"), rig.sum_series(Kind.PARTS)) == (COST_NANOS, 2)
        assert rig.sum_series(Kind.FALLBACKS, "sms") == 1
        assert rig.snapshot.fallback_ratios == {(1, "5m"): 1.0}
        assert count_results(rig) == {"accepted": 1}
        await rig.check_counts()


async def test_the_completing_poll_survives_a_crash(tmp_path: Path) -> None:
    """The cost of a message is polled after a restart too, and counted once."""
    world = World()
    async with start_rig(tmp_path, world.provider, make_settings("trust")) as rig:
        ids = await rig.send(5)
        world.end_now(ids)
        assert all(await submit_all(rig, (make_event(rig, one) for one in ids)))
        await rig.crash()
        await rig.start()
        await rig.pass_time(10)
        assert rig.sum_series(Kind.COST_NANOS, "USD") == 5 * COST_NANOS
        assert rig.count_finished("delivered") == 5
        assert len(world.provider.requests) == 5


async def test_a_final_status_without_a_plausible_time(tmp_path: Path) -> None:
    """A time before sending, or far ahead, is counted as implausible, and the time of arrival is used."""
    world = World()
    async with start_rig(tmp_path, world.provider, make_settings("trust")) as rig:
        ids = await rig.send(2)
        await rig.pass_time(3)
        submitted = [make_event(rig, ids[0], after_seconds=-4), make_event(rig, ids[1], after_seconds=61)]
        assert all(await submit_all(rig, submitted))
        await rig.pass_time(1)
        assert count_results(rig) == {"implausible": 2}
        assert rig.sum_series(Kind.DURATION_SUM_US, "webhook") == 2 * 3_000_000


# --- both -------------------------------------------------------------------------------------------


@MODES
async def test_repeats_disorder_and_loss_change_nothing(tmp_path: Path, mode: str) -> None:
    """3,000 histories, repeated, shuffled and partly lost: each message counts once, as it truly ended."""
    world = World()
    chance = random.Random(3)
    async with start_rig(
        tmp_path, world.provider, make_settings(mode, rate=500, profiles={"default": {"max_interval": "10s"}})
    ) as rig:
        ids = await rig.send(3_000)
        ends = [chance.choice([Status.DELIVERED, Status.DELIVERED, Status.UNDELIVERABLE]) for _ in ids]
        for one, status in zip(ids, ends, strict=True):
            world.end_now([one], status)
        submitted: list[WebhookEvent] = []
        for one, status in zip(ids, ends, strict=True):
            history = [
                make_event(rig, one, Status.PROCESSING),
                make_event(rig, one, status),
                make_event(rig, one, status),
            ]
            submitted += [single for single in history if chance.random() > 0.3]
        chance.shuffle(submitted)
        assert all(await submit_all(rig, submitted))
        await rig.wait_until(lambda: rig.count_finished() == 3_000, 5 * MINUTES)
        await rig.pass_time(1 * MINUTES)
        truth = Counter(status.word for status in ends)
        assert {word: rig.count_finished(word) for word in truth} == truth
        assert rig.sum_series(Kind.COST_NANOS, "USD") == truth["delivered"] * COST_NANOS
        assert rig.sum_series(Kind.PARTS) == 2 * truth["delivered"] + truth["undeliverable"]
        assert rig.read_gauge("smsbat_status_conflicts_total") == 0
        await rig.check_counts()


@MODES
async def test_unknown_ids_leave_no_trace(tmp_path: Path, mode: str) -> None:
    """They get the response of known ones; nothing is polled, shown or written."""
    world = World()
    async with start_rig(tmp_path, world.provider, make_settings(mode)) as rig:
        before = (dict(list_shown(rig)), rig.tracker.state.commit)
        assert all(await submit_all(rig, (make_event(rig, f"made-up-{n}") for n in range(2_000))))
        await rig.pass_time(2 * MINUTES)
        assert (dict(list_shown(rig)), rig.tracker.state.commit) == before
        assert count_results(rig) == {"unknown": 2_000}
        assert not world.provider.requests


@MODES
async def test_a_webhook_that_comes_before_its_message(tmp_path: Path, mode: str) -> None:
    """A final status that arrives before its id counts within seconds of the id."""
    world = World()
    settings = make_settings(mode, profiles={"default": {"first_poll": "5m", "deadline": "10m"}})
    async with start_rig(tmp_path, world.provider, settings) as rig:
        world.end_now(["m-default-000000"])
        assert await rig.processor.submit(make_event(rig, "m-default-000000"))
        await rig.pass_time(20)
        await rig.send(1)
        await rig.pass_time(7)
        assert rig.count_finished("delivered") == 1
        assert rig.sum_series(Kind.FIRST_KNOWLEDGE, "webhook") == 1


@MODES
async def test_nothing_is_acknowledged_while_the_disk_is_full(tmp_path: Path, mode: str) -> None:
    """Refused, every time, until there is room again; what was refused changes nothing."""
    world = World()
    async with start_rig(
        tmp_path, world.provider, make_settings(mode, profiles={"default": {"first_poll": "5m"}})
    ) as rig:
        ids = await rig.send(3)
        world.end_now(ids)
        rig.store.full = True
        assert await submit_all(rig, (make_event(rig, one) for one in ids)) == [False] * 3
        rig.store.full = False
        assert await submit_all(rig, (make_event(rig, one) for one in ids)) == [True] * 3
        await rig.pass_time(2)
        assert rig.count_finished("delivered") == 3
        assert count_results(rig) == {"overflow": 3, "accepted": 3}


async def test_too_many_waiting_are_refused(tmp_path: Path) -> None:
    """The queue is bounded: more is refused at once, and what is in the queue is not lost."""
    world = World()
    async with start_rig(tmp_path, world.provider, make_settings("verify")) as rig:
        submitted = [make_event(rig, f"made-up-{n}", Status.PROCESSING) for n in range(10_100)]
        answers = await submit_all(rig, submitted)
        assert answers.count(False) == 100


async def test_events_that_wait_at_the_stop_are_refused(tmp_path: Path) -> None:
    """Each gets its response, and nothing new is accepted."""
    world = World()
    async with start_rig(tmp_path, world.provider, make_settings("verify")) as rig:
        (one,) = await rig.send(1)
        async with asyncio.TaskGroup() as tasks:
            submitting = tasks.create_task(rig.processor.submit(make_event(rig, one)))
            await asyncio.sleep(0)
            await rig.crash()
        assert submitting.done()
        assert not await rig.processor.submit(make_event(rig, one))
        await rig.start()


async def test_an_id_of_two_accounts_is_polled_in_both(tmp_path: Path) -> None:
    """A webhook names no account: even where webhooks are trusted, each account's answer decides."""
    worlds = {"main": World(), "second": World()}
    settings = make_settings("trust", "main", "second", profiles={"default": {"first_poll": "5m"}})
    async with start_rig(tmp_path, {name: world.provider for name, world in worlds.items()}, settings) as rig:
        await rig.send(1)
        await rig.tracker.track([NewMessage("m-default-000000", "default", "second")], Source.INTAKE)
        worlds["second"].end_now(["m-default-000000"])
        assert await rig.processor.submit(make_event(rig, "m-default-000000"))
        await rig.pass_time(4)
        assert rig.count_finished("delivered") == rig.count_finished() == 1
        assert [len(world.provider.requests) for world in worlds.values()] == [2, 1]


# --- ids that only webhooks bring -------------------------------------------------------------------


async def test_trusted_webhooks_track_their_messages(tmp_path: Path) -> None:
    """With `track_unknown` no other source of ids is needed; no duration or verdict is made up."""
    world = World()
    async with start_rig(tmp_path, world.provider, make_settings("trust", track_unknown=True)) as rig:
        ids = [f"w-{n}" for n in range(50)]
        world.end_now(ids)
        rig.submitted = len(ids)
        assert all(await submit_all(rig, (make_event(rig, one) for one in [*ids, *ids])))
        await rig.pass_time(20)
        assert rig.sum_series(Kind.TRACKED, "webhook", "webhook") == 50
        assert rig.count_finished("delivered") == 50
        assert rig.sum_series(Kind.COST_NANOS, "USD") == 50 * COST_NANOS
        assert rig.sum_series(Kind.DURATION_SUM_US) == rig.sum_series(Kind.SLO_UNOBSERVED) == 0
        assert {message.verdict for message in await rig.read_messages()} == {Verdict.EXEMPT}
        await rig.pass_time(10 * MINUTES)
        assert rig.sum_series(Kind.SLO_MESSAGES) == 0
        await rig.check_counts()


async def test_unverified_ids_are_polled_first(tmp_path: Path) -> None:
    """Only what the provider knows is tracked; made-up ids cost a tenth of the rate, and nothing else."""
    world = World()
    world.known_only = True
    async with start_rig(
        tmp_path, world.provider, make_settings("verify", track_unknown=True, rate=20)
    ) as rig:
        real = [f"w-{n}" for n in range(20)]
        world.end_now(real)
        rig.submitted = len(real)
        submitted = [make_event(rig, one) for one in real] + [
            make_event(rig, f"made-up-{n}") for n in range(400)
        ]
        random.Random(2).shuffle(submitted)
        assert all(await submit_all(rig, submitted))
        await rig.pass_time(4 * MINUTES)
        assert rig.sum_series(Kind.TRACKED, "webhook", "webhook") == rig.sum_series(Kind.TRACKED) == 20
        assert rig.count_finished("delivered") == 20
        assert max(world.provider.count_requests().values()) == 1
        assert count_most_within(world.provider.requests, 10) <= 10 * 20 * 0.1 + 1
        await rig.check_counts()


async def test_unverified_ids_leave_the_rate_to_messages(tmp_path: Path) -> None:
    """In any number beside messages: the rate holds, and messages keep nine tenths of it."""
    world = World()
    world.known_only = True
    async with start_rig(tmp_path, world.provider, make_settings("verify", track_unknown=True)) as rig:
        ids = await rig.send(2_000, age_seconds=30)
        world.ends = dict.fromkeys(ids, (1e9, Status.DELIVERED))
        await submit_all(rig, (make_event(rig, f"made-up-{n}") for n in range(5_000)))
        await rig.pass_time(60)
        polled = Counter(one.message_id.startswith("made-up") for one in world.provider.requests)
        assert count_most_within(world.provider.requests, 1) <= 11
        assert polled[False] >= 0.85 * 600
        assert 0 < polled[True] <= 61


async def test_unverified_ids_and_messages_take_turns(tmp_path: Path) -> None:
    """However long the store takes to read what is due, two requests never use the same turn."""
    world = World()
    world.known_only = True
    async with start_rig(tmp_path, world.provider, make_settings("verify", track_unknown=True)) as rig:
        ids = await rig.send(500, age_seconds=30)
        world.ends = dict.fromkeys(ids, (1e9, Status.DELIVERED))
        await submit_all(rig, (make_event(rig, f"made-up-{n}") for n in range(500)))
        rig.slow_down(0.07)
        await rig.pass_time(5)
        polled = [request.at_seconds for request in world.provider.requests]
        assert min(later - earlier for earlier, later in pairwise(polled)) >= 0.0999
        rig.slow_down(0)


async def test_no_id_is_polled_twice_within_a_second(tmp_path: Path) -> None:
    """A webhook brings an id, and the next ones ask for its polls while it is only just being tracked."""
    world = World()
    world.known_only = True
    async with start_rig(
        tmp_path, world.provider, make_settings("verify", track_unknown=True, rate=100)
    ) as rig:
        ids = [f"w-{n}" for n in range(30)]
        world.ends = dict.fromkeys(ids, (1e9, Status.DELIVERED))
        rig.slow_down(0.004)
        for _ in range(100):
            await submit_all(rig, [make_event(rig, one) for one in ids])
            await rig.pass_time(0.02)
        rig.slow_down(0)
        await rig.pass_time(5)
        assert set(world.provider.count_requests()) == set(ids)
        assert find_closest_seconds(world.provider.requests) >= 1


# --- webhooks instead of polls ----------------------------------------------------------------------


@MODES
async def test_polling_steps_back_while_webhooks_are_reliable(tmp_path: Path, mode: str) -> None:
    """With webhooks one request finishes a message; when they stop, polling takes over again."""
    world = World()
    async with start_rig(
        tmp_path, world.provider, make_settings(mode, rate=100, campaigns={"otp": "otp"})
    ) as rig:
        chance = random.Random(4)

        async def simulate_traffic(seconds: int, prefix: str, *, webhooks: bool) -> tuple[int, int]:
            """Two messages a second that end after 2 to 12 s; requests and finished messages in that time."""
            requests, finished = len(world.provider.requests), rig.count_finished()
            ending: list[tuple[float, str]] = []
            for second in range(seconds + 15):
                if second < seconds:
                    ids = await rig.send(2, "otp", prefix=f"{prefix}{second}")
                    ending += [(rig.now_seconds + chance.uniform(2, 12), one) for one in ids]
                due = [one for at, one in ending if at <= rig.now_seconds]
                ending = [(at, one) for at, one in ending if at > rig.now_seconds]
                world.end_now(due)
                if webhooks:
                    await submit_all(rig, (make_event(rig, one) for one in due))
                await rig.pass_time(1)
            return len(world.provider.requests) - requests, rig.count_finished() - finished

        await simulate_traffic(30, "warm", webhooks=True)
        requests, finished = await simulate_traffic(120, "with", webhooks=True)
        assert finished == 240
        assert requests <= 1.1 * finished
        await rig.pass_time(10 * MINUTES)
        requests, finished = await simulate_traffic(60, "without", webhooks=False)
        assert finished == 120
        assert requests > 2 * finished


async def test_messages_with_lost_webhooks_are_polled_at_the_deadline(tmp_path: Path) -> None:
    """So that their verdicts are right."""
    world = World()
    async with start_rig(tmp_path, world.provider, make_settings("verify", campaigns={"otp": "otp"})) as rig:
        reported = await rig.send(10, "otp", prefix="reported")
        await rig.pass_time(1)
        world.end_now(reported)
        await submit_all(rig, (make_event(rig, one) for one in reported))
        await rig.pass_time(5)
        assert rig.account.webhook_coverage.webhooks_reliable(rig.clock.now())
        lost = await rig.send(2, "otp", prefix="lost")
        world.end_now(lost[:1])
        await rig.pass_time(29)
        assert rig.count_finished() == 10
        await rig.pass_time(2)
        assert rig.count_finished("delivered") == 11
        await rig.pass_time(2 * MINUTES)
        verdicts = Counter(message.verdict for message in (await rig.read_messages())[-2:])
        assert verdicts == {Verdict.MET: 1, Verdict.MISSED: 1}
