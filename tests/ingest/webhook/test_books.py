"""A daemon, a provider and its webhooks, lost, repeated, shuffled and forged, with kills: the books agree."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.simulator import busiest_second, closest_repeat_us
from exporter.simulator.fate import HANG_SHARE, draw
from tests.ingest.webhook.house import House, booked
from tests.kit.daemon import sum_of
from tests.kit.provider import simulated
from tests.kit.waiting import until

SEED = 5
SPEED = 8.0
IN_FLIGHT = 10
"""As an account has it by default."""
LOT = 80
LOTS = 4
BADLY = {
    "delay_seconds": 0.1,
    "jitter_seconds": 0.8,
    "loss_share": 0.3,
    "repeat_share": 0.2,
    "progress": True,
}
"""30 % lost, 20 % told twice, out of order."""
PERSISTENT = {"retries": 100, "retry_seconds": 0.2}
ENDING = sum(draw(SEED, index).end >= HANG_SHARE for index in range(LOT * LOTS))


@pytest.mark.parametrize("mode", ["verify", "trust"])
def test_the_books_agree_whatever_becomes_of_webhooks(tmp_path: Path, mode: str) -> None:
    """Counters, money, parts, fallbacks and channels equal the provider's, after three kills on the way."""
    with simulated(tmp_path, speed=SPEED, seed=SEED) as provider:
        house = House(tmp_path / "house", provider.url, mode)
        # Forged ones must change nothing where they aren't trusted.
        forged = {"forged_per_second": 100} if mode == "verify" else {}
        provider.webhooks(house.hook, **BADLY, **PERSISTENT, **forged)
        for lot in range(LOTS):
            with house.start():
                house.hand_over(provider.send("otp", "default", LOT))
                wanted = int((lot + 0.5) * LOT * 0.8)
                until(
                    lambda wanted=wanted: (
                        (sum_of(house.address, "smsbat_messages_finished_total") or 0) >= wanted
                    ),  # type: ignore[misc]  # a default argument binds the loop's value
                    f"{wanted} ends",
                )
        with house.start():

            def agree() -> bool:
                return provider.finished() == ENDING and house.counters() == booked(provider.books())

            until(agree, "the books agree", every_seconds=0.2)
            counts = provider.webhook_counts()
            assert counts["lost"] > 0.2 * counts["told"]
            assert counts["repeated"] > 0
            assert (sum_of(house.address, "smsbat_first_knowledge_total", source="webhook") or 0) > 0
            provider.no_webhooks()
            before = house.counters()
            assert before == booked(provider.books())
        arrivals = provider.arrivals()
        assert (closest_repeat_us(arrivals) or 10**9) >= 1_000_000
        # The log has arrivals: requests that were under way when a second began may arrive in it.
        assert busiest_second(arrivals) <= house.rate * 1.1 + IN_FLIGHT


@pytest.mark.parametrize("mode", ["verify", "trust"])
def test_nobody_needs_to_hand_ids_over(tmp_path: Path, mode: str) -> None:
    """With `track_unknown` webhooks alone bring every message that ends, in a campaign of their own."""
    with simulated(tmp_path, speed=SPEED, seed=SEED) as provider:
        house = House(tmp_path / "house", provider.url, mode, track_unknown=True)
        with house.start():
            provider.webhooks(house.hook, **PERSISTENT)
            provider.send("otp", "webhook", LOT)

            def agree() -> bool:
                books = booked(provider.books())
                return bool(books) and house.counters() == books and not provider.webhook_counts()["waiting"]

            ending = sum(draw(SEED, index).end >= HANG_SHARE for index in range(LOT))
            until(lambda: provider.finished() == ending, "all have ended")
            until(agree, "the books agree", every_seconds=0.2)
            assert sum_of(house.address, "smsbat_messages_tracked_total", source="webhook") == ending
            assert sum_of(house.address, "smsbat_slo_unobserved_total") == 0
