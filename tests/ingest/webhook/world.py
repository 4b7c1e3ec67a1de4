"""A provider in virtual time that knows how each message ends, with its answers and its webhooks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from exporter.config import Settings
from exporter.domain.events import WebhookEvent
from exporter.domain.model import SECOND_US, Answer, Outcome, Reply, Status
from exporter.domain.snapshot import Kind
from tests.engine import settings
from tests.engine.provider import Provider
from tests.engine.rig import Rig

COST_NANOS = 70_000_000
ANSWER = Answer(
    Status.DELIVERED,
    parts=2,
    cost_nanos=COST_NANOS,
    currency="USD",
    fallbacks=(("sms", "delivered"),),
    channels=(("viber", "undeliverable"), ("sms", "delivered")),
)
"""The answer for a delivered message."""


def make_settings(mode: str, *accounts: str, **more: Any) -> Settings:  # noqa: ANN401 - sections of a configuration, checked there
    """Settings with webhooks in that mode; `track_unknown` and the sections of a configuration may follow."""
    unknown = str(more.pop("track_unknown", False)).lower()
    webhook = {"listen": "127.0.0.1:0", "token_file": "token", "mode": mode, "track_unknown": unknown}
    return settings.make_settings(*accounts, webhook=webhook, **more)


class World:
    """The truth about each message, and since when it holds."""

    def __init__(self) -> None:
        self.ends: dict[str, tuple[float, Status]] = {}
        """When each message ends, in seconds of virtual time, and how."""
        self.provider = Provider(self._answer)
        self.known_only = False
        """Whether ids that have no end here are unknown to the provider."""

    def _answer(self, message_id: str) -> Reply:
        end = self.ends.get(message_id)
        if end is None and self.known_only:
            return Reply(Outcome.NOT_FOUND)
        if end is None or asyncio.get_running_loop().time() < end[0]:
            return Reply(Outcome.OK, Answer(Status.PROCESSING))
        return Reply(Outcome.OK, ANSWER if end[1] is Status.DELIVERED else Answer(end[1], parts=1))

    def end_now(self, ids: Iterable[str], status: Status = Status.DELIVERED) -> None:
        """Give messages their final status now."""
        now = asyncio.get_running_loop().time()
        self.ends.update(dict.fromkeys(ids, (now, status)))


def make_event(
    rig: Rig, message_id: str, status: Status = Status.DELIVERED, *, after_seconds: float | None = None
) -> WebhookEvent:
    """An event; its time is now, or that long after now (negative: before)."""
    late_us = 0 if after_seconds is None else int(after_seconds * SECOND_US)
    return WebhookEvent(message_id, status, rig.clock.now() + late_us, 50_000_000)


async def submit_all(rig: Rig, all_events: Iterable[WebhookEvent]) -> list[bool]:
    """Submit all events at the same moment."""
    async with asyncio.TaskGroup() as tasks:
        submitting = [tasks.create_task(rig.processor.submit(one)) for one in all_events]
    return [one.result() for one in submitting]


def count_results(rig: Rig) -> dict[str, int]:
    """The results of webhooks since the start, without zeros."""
    family = next(f for f in rig.instruments.registry.collect() if f.name == "smsbat_webhook_events")
    return {s.labels["result"]: int(s.value) for s in family.samples if s.name.endswith("_total") and s.value}


def list_shown(rig: Rig, *without: Kind) -> Mapping[tuple[str, ...], int]:
    """All series other than 0, by campaign's name, kind and labels, `without` some kinds."""
    return {
        (rig.snapshot.campaigns[key.campaign_id].campaign, key.kind.name, key.label1, key.label2): value
        for key, value in rig.snapshot.values.items()
        if value and key.kind not in without
    }
