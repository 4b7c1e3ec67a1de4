"""Live traffic of the three kinds, sent into the book and handed on: what a customer's programs would do.

Amounts follow from a seed and the provider's clock: one-time passwords steady
with bursts, orders in the waves of a day, campaigns all at once.
"""

import random
from collections.abc import Awaitable, Callable
from math import pi, sin

from exporter.domain.model import SECOND_US
from exporter.simulator.book import Book
from exporter.simulator.fate import TrafficKind
from exporter.simulator.scenarios import Scenario

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
"""After a pause of the process no more than this is made up for."""
PROMOTION_SLICE = 1000
"""Most messages of a campaign that are sent in one tick."""


class Traffic:
    """How many messages are due, tick by tick."""

    def __init__(self, book: Book, *, seed: int, scale: float) -> None:
        """Send into `book`; `scale` multiplies every amount."""
        self._book = book
        self._random = random.Random(seed)  # noqa: S311 - made-up traffic needs a seed, not secrecy
        self._scale = scale
        self._ticked_at = book.clock.now()
        self._owed = {OTP_CAMPAIGN: 0.0, ORDER_CAMPAIGN: 0.0}
        self._burst_until = 0
        self._scenario: Scenario | None = None
        self._next_promotion_at = 0
        self._promotions_begun = 0
        self._promotion_left = 0

    def tick(self) -> list[tuple[str, list[str]]]:
        """Send what has become due since the last tick; return the ids by campaign, without empty lists."""
        now = self._book.clock.now()
        elapsed_seconds = min(now - self._ticked_at, MAX_CATCH_UP_US) / SECOND_US
        self._ticked_at = now
        due = (
            (
                OTP_CAMPAIGN,
                self._steady(OTP_CAMPAIGN, self._otp_per_second(now, elapsed_seconds), elapsed_seconds),
            ),
            (ORDER_CAMPAIGN, self._steady(ORDER_CAMPAIGN, _orders_per_second(now), elapsed_seconds)),
            self._promotion(now),
        )
        return [
            (campaign, self._book.send(CAMPAIGN_KINDS[campaign], campaign, count))
            for campaign, count in due
            if count
        ]

    def _steady(self, campaign: str, per_second: float, elapsed_seconds: float) -> int:
        jitter = self._random.uniform(0.5, 1.5)
        self._owed[campaign] += per_second * elapsed_seconds * self._scale * jitter
        count = int(self._owed[campaign])
        self._owed[campaign] -= count
        return count

    def _otp_per_second(self, now: int, elapsed_seconds: float) -> float:
        if self._random.random() < OTP_BURSTS_PER_HOUR * elapsed_seconds / 3600:
            self._burst_until = now + OTP_BURST_SECONDS * SECOND_US
        return OTP_PER_SECOND * (OTP_BURST_FACTOR if now < self._burst_until else 1)

    def _promotion(self, now: int) -> tuple[str, int]:
        scenario = self._book.scenario
        if scenario is not self._scenario:
            # A new scenario shows at once instead of at the next full hour.
            self._scenario = scenario
            self._next_promotion_at = now
        if now >= self._next_promotion_at:
            self._next_promotion_at = now + scenario.campaign_every_seconds * SECOND_US
            self._promotion_left += int(scenario.campaign_messages * self._scale)
            self._promotions_begun += 1
        count = min(self._promotion_left, PROMOTION_SLICE)
        self._promotion_left -= count
        return PROMOTIONS[self._promotions_begun % len(PROMOTIONS)], count


def _orders_per_second(now: int) -> float:
    day_share = now / SECOND_US % DAY_SECONDS / DAY_SECONDS
    # Least at three in the morning, most at three in the afternoon (UTC).
    return ORDERS_PER_SECOND * (1 - ORDER_WAVE * sin(2 * pi * (day_share + 0.125)))


async def run_traffic(book: Book, emit: Emit, *, seed: int = 1, scale: float = 1.0) -> None:
    """Send live traffic for ever and `await emit(campaign, ids)` for each lot; ends by being cancelled."""
    traffic = Traffic(book, seed=seed, scale=scale)
    while True:
        for campaign, ids in traffic.tick():
            await emit(campaign, ids)
        await book.clock.sleep(TICK_US)
