"""A daemon that is killed, a provider, and webhooks lost, repeated, shuffled and forged: the totals agree."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from exporter.simulator.timeline import HANG_SHARE, draw
from tests.ingest.webhook.daemon import TOKEN, WebhookDaemon, count_finished
from tests.ingest.webhook.forging import forging
from tests.kit.arrivals import count_busiest_second, find_closest_repeat_us
from tests.kit.daemon import sum_of
from tests.kit.provider import simulated
from tests.kit.waiting import until

SEED = 5
SPEED = 8.0
IN_FLIGHT = 10
"""The default of an account."""
LOT = 80
LOTS = 4
BADLY = {
    "delay_seconds": 0.1,
    "jitter_seconds": 0.8,
    "loss_share": 0.3,
    "repeat_share": 0.2,
    "progress": True,
}
"""30 % lost, 20 % sent twice, out of order."""
PERSISTENT = {"retries": 100, "retry_seconds": 0.2}
ENDING = sum(draw(SEED, index).end >= HANG_SHARE for index in range(LOT * LOTS))


@pytest.mark.parametrize("mode", ["verify", "trust"])
def test_the_totals_agree_whatever_becomes_of_webhooks(tmp_path: Path, mode: str) -> None:
    """Counters, money, parts, fallbacks and channels equal the provider's, after three kills on the way."""
    with simulated(tmp_path, speed=SPEED, seed=SEED) as provider, ExitStack() as exits:
        house = WebhookDaemon(tmp_path / "house", provider.url, mode)
        provider.webhooks(house.webhook_url, **BADLY, **PERSISTENT)
        ids: list[str] = []
        forged: Counter[int] = Counter()
        if mode == "verify":
            # Where they are trusted they would count.
            forged = exits.enter_context(forging(house.webhook, f"/webhook/{TOKEN}", ids, per_second=100))
        for lot in range(LOTS):
            with house.start():
                ids += provider.send("otp", "default", LOT)
                house.post_ids(ids[-LOT:])
                wanted = int((lot + 0.5) * LOT * 0.8)
                until(
                    lambda wanted=wanted: (
                        (sum_of(house.address, "smsbat_messages_finished_total") or 0) >= wanted
                    ),  # type: ignore[misc]  # a default argument binds the loop's value
                    f"{wanted} final statuses",
                )
        with house.start():

            def agree() -> bool:
                return provider.finished() == ENDING and house.read_counters() == count_finished(provider)

            until(lambda: forged[204] > 100 or mode == "trust", "forged webhooks were received")
            until(agree, "the totals agree", every_seconds=0.2)
            counts = provider.webhook_counts()
            assert counts["lost"] > 0.2 * counts["events"]
            assert counts["repeated"] > 0
            assert (sum_of(house.address, "smsbat_first_knowledge_total", source="webhook") or 0) > 0
            provider.no_webhooks()
            assert house.read_counters() == count_finished(provider)
        arrivals = provider.arrivals()
        assert (find_closest_repeat_us(arrivals) or 10**9) >= 1_000_000
        # What is recorded are arrivals: requests that were under way when a second began may arrive in it.
        assert count_busiest_second(arrivals) <= house.rate * 1.1 + IN_FLIGHT


@pytest.mark.parametrize("mode", ["verify", "trust"])
def test_nobody_needs_to_hand_ids_over(tmp_path: Path, mode: str) -> None:
    """With `track_unknown` webhooks alone bring every message that ends, in a campaign of their own."""
    with simulated(tmp_path, speed=SPEED, seed=SEED) as provider:
        house = WebhookDaemon(tmp_path / "house", provider.url, mode, track_unknown=True)
        with house.start():
            provider.webhooks(house.webhook_url, **PERSISTENT)
            provider.send("otp", "webhook", LOT)

            def agree() -> bool:
                totals = count_finished(provider)
                waiting = provider.webhook_counts()["waiting"]
                return bool(totals) and house.read_counters() == totals and not waiting

            ending = sum(draw(SEED, index).end >= HANG_SHARE for index in range(LOT))
            until(lambda: provider.finished() == ending, "all have ended")
            until(agree, "the totals agree", every_seconds=0.2)
            assert sum_of(house.address, "smsbat_messages_tracked_total", source="webhook") == ending
            assert sum_of(house.address, "smsbat_slo_unobserved_total") == 0
