"""A provider in virtual time that knows how each message ends, and tells of it by answers and by webhooks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from exporter.config import Settings
from exporter.domain.events import WebhookEvent
from exporter.domain.model import SECOND_US, Answer, Outcome, Reply, Status
from exporter.domain.snapshot import Kind
from tests.engine.provider import Provider
from tests.engine.rig import Rig
from tests.engine.settings import settings_of

COST_NANOS = 70_000_000
ANSWER = Answer(
    Status.DELIVERED,
    parts=2,
    cost_nanos=COST_NANOS,
    currency="USD",
    fallbacks=(("sms", "delivered"),),
    channels=(("viber", "undeliverable"), ("sms", "delivered")),
)
"""What a delivered message is answered with."""


def listening(mode: str, *accounts: str, **more: Any) -> Settings:  # noqa: ANN401 - sections of a configuration, checked there
    """Settings with webhooks in that mode; `track_unknown` and the sections of a configuration may follow."""
    unknown = str(more.pop("track_unknown", False)).lower()
    webhook = {"listen": "127.0.0.1:0", "token_file": "token", "mode": mode, "track_unknown": unknown}
    return settings_of(*accounts, webhook=webhook, **more)


class World:
    """What is true of each message, and since when."""

    def __init__(self) -> None:
        """No message has been sent."""
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
        """Let messages end at this moment."""
        now = asyncio.get_running_loop().time()
        self.ends.update(dict.fromkeys(ids, (now, status)))


def news(
    rig: Rig, message_id: str, status: Status = Status.DELIVERED, *, after_seconds: float | None = None
) -> WebhookEvent:
    """A webhook; its time is now, or that long after now (negative: before)."""
    late_us = 0 if after_seconds is None else int(after_seconds * SECOND_US)
    return WebhookEvent(message_id, status, rig.clock.now() + late_us, 50_000_000)


async def hear_all(rig: Rig, all_news: Iterable[WebhookEvent]) -> list[bool]:
    """All webhooks at the same moment."""
    async with asyncio.TaskGroup() as tasks:
        hearing = [tasks.create_task(rig.processor.submit(one)) for one in all_news]
    return [one.result() for one in hearing]


def events(rig: Rig) -> dict[str, int]:
    """What became of webhooks in this life, without those that did not occur."""
    family = next(f for f in rig.instruments.registry.collect() if f.name == "smsbat_webhook_events")
    return {s.labels["result"]: int(s.value) for s in family.samples if s.name.endswith("_total") and s.value}


def shown(rig: Rig, *without: Kind) -> Mapping[tuple[str, ...], int]:
    """All series other than 0, by campaign's name, kind and labels, `without` some kinds."""
    return {
        (rig.snapshot.campaigns[key.campaign_id].campaign, key.kind.name, key.label1, key.label2): value
        for key, value in rig.snapshot.values.items()
        if value and key.kind not in without
    }
