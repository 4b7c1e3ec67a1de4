"""Live traffic of the three kinds, sent and passed on: what a customer's programs would do.

Amounts follow from a seed and the provider's clock: one-time passwords steady
with bursts, orders in the waves of a day, campaigns all at once.
"""

import random
from collections.abc import Awaitable, Callable
from math import pi, sin

from exporter.domain.model import SECOND_US
from exporter.simulator.scenarios import Scenario
from exporter.simulator.sent_messages import SentMessages
from exporter.simulator.timeline import TrafficKind

Emit = Callable[[str, list[str]], Awaitable[None]]
"""Takes a campaign and the ids just sent for it."""

OTP_CAMPAIGN = "otp"
ORDER_CAMPAIGN = "orders"
PROMOTIONS = ("spring-sale", "newsletter", "loyalty")
CAMPAIGN_KINDS = {OTP_CAMPAIGN: TrafficKind.OTP, ORDER_CAMPAIGN: TrafficKind.ORDER} | dict.fromkeys(
    PROMOTIONS, TrafficKind.CAMPAIGN
)
"""Every campaign that traffic is sent for."""

OTP_PER_SECOND = 0.4
OTP_BURST_FACTOR = 6
OTP_BURST_SECONDS = 30
OTP_BURSTS_PER_HOUR = 6
ORDERS_PER_SECOND = 0.3
ORDER_WAVE = 0.8
"""How far the orders of a day swing around their mean."""
DAY_SECONDS = 86_400
TICK_US = SECOND_US
MAX_CATCH_UP_US = 60 * SECOND_US
"""How much of a pause of the process is caught up on at most."""
PROMOTION_SLICE = 1000
"""Most messages of a campaign that are sent in one tick."""


class Traffic:
    """How many messages are due, tick by tick."""

    def __init__(self, sent: SentMessages, *, seed: int) -> None:
        """Add to `sent`."""
        self._sent = sent
        self._random = random.Random(seed)  # noqa: S311 - made-up traffic needs a seed, not secrecy
        self._ticked_at = sent.clock.now()
        self._owed = {OTP_CAMPAIGN: 0.0, ORDER_CAMPAIGN: 0.0}
        self._burst_until = 0
        self._scenario: Scenario | None = None
        self._next_promotion_at = 0
        self._promotions_begun = 0
        self._promotion_left = 0

    def tick(self) -> list[tuple[str, list[str]]]:
        """Send what has become due since the last tick; return the ids by campaign, without empty lists."""
        now = self._sent.clock.now()
        elapsed_seconds = min(now - self._ticked_at, MAX_CATCH_UP_US) / SECOND_US
        self._ticked_at = now
        otp_per_second = self._pick_otp_rate(now, elapsed_seconds)
        due = (
            (OTP_CAMPAIGN, self._count_due(OTP_CAMPAIGN, otp_per_second * elapsed_seconds)),
            (ORDER_CAMPAIGN, self._count_due(ORDER_CAMPAIGN, _order_rate_at(now) * elapsed_seconds)),
            self._continue_promotion(now),
        )
        return [
            (campaign, self._sent.send(CAMPAIGN_KINDS[campaign], campaign, count))
            for campaign, count in due
            if count
        ]

    def _count_due(self, campaign: str, expected: float) -> int:
        self._owed[campaign] += expected * self._random.uniform(0.5, 1.5)
        count = int(self._owed[campaign])
        self._owed[campaign] -= count
        return count

    def _pick_otp_rate(self, now: int, elapsed_seconds: float) -> float:
        if self._random.random() < OTP_BURSTS_PER_HOUR * elapsed_seconds / 3600:
            self._burst_until = now + OTP_BURST_SECONDS * SECOND_US
        return OTP_PER_SECOND * (OTP_BURST_FACTOR if now < self._burst_until else 1)

    def _continue_promotion(self, now: int) -> tuple[str, int]:
        scenario = self._sent.scenario
        if scenario is not self._scenario:
            # A new scenario shows at once instead of at the next full hour.
            self._scenario = scenario
            self._next_promotion_at = now
        if now >= self._next_promotion_at:
            self._next_promotion_at = now + scenario.campaign_every_seconds * SECOND_US
            self._promotion_left += scenario.campaign_messages
            self._promotions_begun += 1
        count = min(self._promotion_left, PROMOTION_SLICE)
        self._promotion_left -= count
        return PROMOTIONS[self._promotions_begun % len(PROMOTIONS)], count


def _order_rate_at(now: int) -> float:
    """Orders a second."""
    day_share = now / SECOND_US % DAY_SECONDS / DAY_SECONDS
    # Least at three in the morning, most at three in the afternoon (UTC).
    return ORDERS_PER_SECOND * (1 - ORDER_WAVE * sin(2 * pi * (day_share + 0.125)))


async def run_traffic(sent: SentMessages, emit: Emit, *, seed: int = 1) -> None:
    """Send live traffic for ever and `await emit(campaign, ids)` for each batch; ends by being cancelled."""
    traffic = Traffic(sent, seed=seed)
    while True:
        for campaign, ids in traffic.tick():
            await emit(campaign, ids)
        await sent.clock.sleep(TICK_US)
