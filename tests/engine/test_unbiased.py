"""With too small a request rate, what the series say of the share in time is still the truth (I12)."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from exporter.domain.model import Reply
from exporter.domain.snapshot import Kind
from exporter.domain.states import Status
from tests.engine.provider import Provider, make_reply
from tests.engine.rig import start_rig
from tests.engine.settings import make_settings
from tests.kit.virtual import VIRTUAL

pytestmark = VIRTUAL

RATE = 10
DEADLINE_SECONDS = 30
SECONDS = 15 * 60


class Truth:
    """A provider where 40 % of the passwords hang, and some of the others are late; it knows which."""

    def __init__(self) -> None:
        """Begin with nothing sent."""
        self._chance = random.Random(7)
        self._delivered_at: dict[str, float] = {}
        self.sent = self.missed = 0

    def send(self, message_id: str) -> None:
        """Decide what becomes of a message."""
        hangs = self._chance.random() < 0.4
        seconds = 10_000 if hangs else self._chance.lognormvariate(2, 0.8)
        self._delivered_at[message_id] = asyncio.get_running_loop().time() + seconds
        self.sent += 1
        self.missed += seconds > DEADLINE_SECONDS

    def answer(self, message_id: str) -> Reply:
        """Answer a request."""
        delivered = asyncio.get_running_loop().time() >= self._delivered_at[message_id]
        return make_reply(Status.DELIVERED if delivered else Status.PROCESSING)


@pytest.mark.parametrize("per_second", [2, 4])
async def test_the_share_in_time_is_the_truth_under_overload(tmp_path: Path, per_second: int) -> None:
    """More one-time passwords than the rate can poll at their intervals, 40 % of which hang."""
    truth = Truth()
    provider = Provider(truth.answer)
    settings = make_settings(rate=RATE, campaigns={"otp": "otp"})
    async with start_rig(tmp_path, provider, settings) as rig:
        for second in range(SECONDS):
            for number in range(per_second):
                truth.send(f"n{second}-{number}-otp-000000")
                await rig.send(1, "otp", prefix=f"n{second}-{number}")
                await rig.pass_time(1 / per_second)
        judged, missed = rig.sum_series(Kind.SLO_MESSAGES), rig.sum_series(Kind.SLO_MISSED)
        assert judged > 0.8 * truth.sent
        assert missed / judged == pytest.approx(truth.missed / truth.sent, abs=0.02)
