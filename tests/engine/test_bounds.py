"""Memory, series and the event loop are bounded, whatever comes in."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from exporter.domain.model import NewMessage, Reply, Source
from exporter.domain.snapshot import Kind
from exporter.domain.states import Status
from exporter.metrics.collector import Collector
from tests.engine.provider import Provider, answer_under_way, make_reply
from tests.engine.rig import start_rig
from tests.engine.settings import make_settings
from tests.kit.virtual import VIRTUAL
from tests.kit.waiting import HANG_SECONDS

MINUTES = 60
QUICK = {"default": {"interval": "1m", "max_interval": "2m"}}


@VIRTUAL
async def test_a_hundred_thousand_campaign_names_are_a_bounded_number_of_series(tmp_path: Path) -> None:
    """The first few have their names; all others are `_other`, and how often is counted."""
    settings = make_settings(limits={"max_campaigns": "50"})
    async with start_rig(tmp_path, Provider(answer_under_way), settings) as rig:
        series: set[int] = set()
        for start in range(0, 100_000, 5_000):
            batch = [NewMessage(f"m{n}", f"group-{n}", "main") for n in range(start, start + 5_000)]
            await rig.tracker.track(batch, Source.DROP)
            await rig.maintenance.publish()
            series.add(len(rig.snapshot.values))
        assert len(rig.snapshot.campaigns) == 51
        assert len(series) == 1
        assert rig.sum_series(Kind.TRACKED) == 100_000
        assert rig.sum_series(Kind.TRACKED, campaign="_other") == 100_000 - 50
        overflow = rig.instruments.registry.get_sample_value(
            "smsbat_label_overflow_total", {"label": "campaign"}
        )
        assert overflow == 100_000 - 50


@VIRTUAL
async def test_names_that_can_not_be_a_label_are_counted_as_other(tmp_path: Path) -> None:
    """Too long, unprintable, or a phone number: the message is tracked, its campaign's name is not."""
    async with start_rig(tmp_path, Provider(answer_under_way)) as rig:
        names = ["x" * 65, "two\nlines", "+380501234567", "380501234567", "", "\x1b[31m"]
        batch = [NewMessage(f"m{n}", name, "main") for n, name in enumerate(names)]
        assert (await rig.tracker.track(batch, Source.DROP)).accepted == len(names)
        await rig.pass_time(10)
        assert {name.campaign for name in rig.snapshot.campaigns.values()} == {"_other"}
        assert rig.sum_series(Kind.TRACKED, campaign="_other") == len(names)


@VIRTUAL
async def test_hours_of_traffic_leave_nothing_behind(tmp_path: Path) -> None:
    """The queue holds each pending message once, the store what retention keeps, series stop growing."""
    chance = random.Random(19)

    def answer(_: str) -> Reply:
        return make_reply(Status.DELIVERED if chance.random() < 0.5 else Status.PROCESSING)

    settings = make_settings(storage={"retention": "10m"}, profiles=QUICK)
    async with start_rig(tmp_path, Provider(answer), settings) as rig:
        kept: list[int] = []
        for part in range(12):
            await rig.send(50, prefix=f"p{part}")
            await rig.pass_time(5 * MINUTES)
            assert len(await rig.list_queue()) == rig.pending
            kept.append(rig.sum_series(Kind.MESSAGES))
        assert rig.sum_series(Kind.TRACKED) == 12 * 50
        assert max(kept) <= 4 * 50
        # A status, a source, a channel more or less: what one campaign can have at all.
        assert len(rig.snapshot.values) < 60


async def test_a_disk_that_hangs_holds_up_neither_the_loop_nor_a_scrape(tmp_path: Path) -> None:
    """While the store's thread waits for the disk, `/metrics` is served from memory."""
    provider = Provider(answer_under_way, latency_seconds=0.001)
    released = threading.Event()
    settings = make_settings(rate=100)
    with ThreadPoolExecutor(1) as disk:
        async with start_rig(tmp_path, provider, settings, thread=disk) as rig:
            await rig.send(50, age_seconds=5)
            await rig.wait_until(lambda: len(provider.requests) > 5, HANG_SECONDS)
            hanging = disk.submit(released.wait, HANG_SECONDS)
            try:
                with Collector(rig.instruments.registry, created=False) as collector:
                    collector.publish(rig.snapshot)
                    for _ in range(10):
                        rendering = await collector.render("", "")
                        assert rendering is not None
                        assert b"smsbat_messages" in b"".join(rendering.parts)
                assert not hanging.done()
            finally:
                released.set()
            sent_before = len(provider.requests)
            await rig.wait_until(lambda: len(provider.requests) > sent_before, HANG_SECONDS)
