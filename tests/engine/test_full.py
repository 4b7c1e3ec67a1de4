"""The disk is full: polling is paused, answers wait, and everything continues when there is room."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.domain.model import NewMessage, Source
from exporter.domain.snapshot import Kind
from exporter.engine.tracker import Tracked
from exporter.runtime.errors import StoreFull
from tests.engine.provider import Provider, answer_delivered, answer_under_way, find_closest_seconds
from tests.engine.rig import start_rig
from tests.engine.settings import make_settings
from tests.kit.virtual import VIRTUAL

pytestmark = VIRTUAL

MINUTES = 60


async def test_a_full_disk_stops_the_polls_and_loses_nothing(tmp_path: Path) -> None:
    """Ten minutes without room: only requests in flight are sent, and their answers are counted later."""
    provider = Provider(answer_under_way)
    async with start_rig(tmp_path, provider) as rig:
        await rig.send(200)
        await rig.pass_time(15)
        rig.store.full = True
        provider.answer = answer_delivered
        shown, sent_before = dict(rig.snapshot.values), len(provider.requests)
        await rig.pass_time(10 * MINUTES)
        assert len(provider.requests) - sent_before <= 10
        assert rig.instruments.registry.get_sample_value("smsbat_store_up") == 0
        assert rig.snapshot.values == shown
        full_until = rig.now_seconds
        answered = len(provider.requests) - sent_before
        assert answered >= 1
        rig.store.full = False
        await rig.pass_time(2)
        assert rig.instruments.registry.get_sample_value("smsbat_store_up") == 1
        assert rig.count_finished("delivered") >= answered
        await rig.wait_until(lambda: rig.pending == 0, 2 * MINUTES)
        assert rig.count_finished("delivered") == rig.sum_series(Kind.TRACKED) == 200
        assert provider.list_since(full_until)
        assert find_closest_seconds(provider.requests) >= 1


async def test_ids_are_refused_while_the_disk_is_full_and_accepted_after_it(tmp_path: Path) -> None:
    """The caller gets an error instead of a result, also for ids of a new campaign."""
    provider = Provider(answer_under_way)
    async with start_rig(tmp_path, provider) as rig:
        batch = [NewMessage("abc", "brand-new", "main"), NewMessage("def", "brand-new", "main")]
        rig.store.full = True
        with pytest.raises(StoreFull):
            await rig.tracker.track(batch, Source.DROP)
        rig.store.full = False
        assert await rig.tracker.track(batch, Source.DROP) == Tracked(accepted=2)
        await rig.pass_time(10)
        assert rig.pending == len(provider.count_requests()) == 2


@pytest.mark.parametrize(
    ("accounts", "campaigns"),
    [(("main",), {"brand-new": "otp"}), (("main", "second"), {})],
    ids=["a new campaign", "a new account"],
)
async def test_a_reload_while_the_disk_is_full_waits_for_room(
    tmp_path: Path, accounts: tuple[str, ...], campaigns: dict[str, str]
) -> None:
    """New campaigns and accounts need a row each: the reload is finished once there is room."""
    providers = {"main": Provider(answer_under_way), "second": Provider(answer_under_way)}
    async with start_rig(tmp_path, providers, make_settings()) as rig:
        await rig.send(10)
        await rig.pass_time(10)
        rig.store.full = True
        rig.reload(make_settings(*accounts, campaigns=campaigns))
        await rig.pass_time(1 * MINUTES)
        rig.store.full = False
        room_at = rig.now_seconds
        await rig.pass_time(5)
        await rig.send(5, "brand-new", account=accounts[-1])
        await rig.pass_time(30)
        assert len(providers[accounts[-1]].list_since(room_at)) >= 5
        assert len({request.message_id for request in providers["main"].list_since(room_at)}) >= 10
