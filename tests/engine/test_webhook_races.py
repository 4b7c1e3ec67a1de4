"""A message whose request, reload, clock and webhook cross each other is polled soon all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.config import Settings
from exporter.domain.events import WebhookEvent
from exporter.domain.model import SECOND_US, Outcome
from exporter.domain.states import Status
from tests.engine.provider import HANGING, Provider, answer_delivered, answer_under_way, answer_with
from tests.engine.rig import start_rig
from tests.engine.settings import make_settings
from tests.kit.virtual import VIRTUAL

pytestmark = VIRTUAL

DELIVERED = WebhookEvent("m-default-000000", Status.DELIVERED)


def make_webhook_settings(profile: str = "default") -> Settings:
    """Settings whose webhooks are verified, and may bring new ids."""
    webhook = {"listen": "127.0.0.1:1", "token_file": "/made-up", "mode": "verify", "track_unknown": "true"}
    return make_settings(campaigns={"sale": profile}, webhook=webhook)


@pytest.mark.parametrize("outcome", [None, Outcome.NOT_FOUND], ids=["hangs", "not found"])
async def test_an_id_that_is_tracked_while_it_is_verified_is_polled(
    tmp_path: Path, outcome: Outcome | None
) -> None:
    """Its webhook came before its file, and the request that verifies it brings nothing."""
    answer = (lambda _: HANGING) if outcome is None else answer_with(outcome)
    provider = Provider(answer, latency_seconds=3)
    async with start_rig(tmp_path, provider, make_webhook_settings()) as rig:
        await rig.pass_time(3)
        await rig.processor.submit(DELIVERED)
        await rig.wait_until(lambda: len(provider.requests) == 1, within_seconds=5)
        await rig.send(1, age_seconds=10)
        provider.answer = answer_delivered
        await rig.wait_until(lambda: rig.count_finished("delivered") == 1, within_seconds=60)


async def test_a_message_that_a_webhook_moves_to_another_class_is_polled(tmp_path: Path) -> None:
    """A reload lowers its priority, then the webhook comes while a poll is in flight that ends with 429."""
    provider = Provider(answer_under_way)
    async with start_rig(tmp_path, provider, make_webhook_settings("otp")) as rig:
        (message_id,) = await rig.send(1, "sale")
        await rig.wait_until(lambda: len(provider.requests) == 1, within_seconds=10)
        rig.reload(make_webhook_settings("campaign"))
        provider.latency_seconds, provider.answer = 3, answer_with(Outcome.RATE_LIMITED, 1)
        await rig.wait_until(lambda: len(provider.requests) == 2, within_seconds=30)
        await rig.processor.submit(WebhookEvent(message_id, Status.DELIVERED))
        await rig.pass_time(0.5)
        provider.latency_seconds, provider.answer = 0.05, answer_delivered
        await rig.wait_until(lambda: rig.count_finished("delivered") == 1, within_seconds=60)


async def test_a_clock_that_was_set_back_delays_no_poll_that_a_webhook_asks_for(tmp_path: Path) -> None:
    """The latest poll seems to be an hour ahead by then."""
    provider, error_us = Provider(answer_under_way), [0]
    settings = make_webhook_settings("campaign")
    async with start_rig(tmp_path, provider, settings, wall_error_us=lambda: error_us[0]) as rig:
        (message_id,) = await rig.send(1, "sale")
        await rig.wait_until(lambda: len(provider.requests) >= 5, within_seconds=3_600)
        error_us[0] = -3_600 * SECOND_US
        await rig.pass_time(90)
        provider.answer = answer_delivered
        await rig.processor.submit(WebhookEvent(message_id, Status.DELIVERED))
        await rig.wait_until(lambda: rig.count_finished("delivered") == 1, within_seconds=30)
