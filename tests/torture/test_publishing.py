"""What is shown is committed: also the verdicts, which maintenance commits and shows by itself."""

from __future__ import annotations

from pathlib import Path

from exporter.domain.model import Status
from exporter.domain.snapshot import Kind
from tests.engine.provider import Provider, make_reply
from tests.engine.rig import start_rig
from tests.engine.settings import make_settings
from tests.kit.virtual import VIRTUAL

pytestmark = VIRTUAL
DEADLINE_SECONDS = 30


async def test_verdicts_that_find_no_room_on_the_disk_are_not_shown(tmp_path: Path) -> None:
    """While the disk is full they wait; once it has room they count once, as many as there are."""
    provider = Provider(lambda _: make_reply(Status.DELIVERED))
    async with start_rig(tmp_path, provider, make_settings(campaigns={"otp": "otp"})) as rig:
        await rig.send(20, "otp")
        await rig.wait_until(lambda: rig.count_finished() == 20, 60)
        assert rig.sum_series(Kind.SLO_MESSAGES) == 0
        rig.store.full = True
        await rig.pass_time(10 * DEADLINE_SECONDS)
        assert rig.sum_series(Kind.SLO_MESSAGES) == 0
        rig.store.full = False
        await rig.wait_until(lambda: rig.sum_series(Kind.SLO_MESSAGES) > 0, 60)
        await rig.pass_time(2 * DEADLINE_SECONDS)
        assert rig.sum_series(Kind.SLO_MESSAGES) == 20
