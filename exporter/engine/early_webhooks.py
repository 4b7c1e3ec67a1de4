"""Webhooks that arrive before their message is tracked: a dropped file takes its time.

Only final statuses are remembered, in memory, bounded, and for a minute.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

from exporter.domain.events import WebhookEvent
from exporter.domain.model import SECOND_US, NewMessage
from exporter.domain.states import FINAL_BY_PROVIDER

MAX_REMEMBERED = 10_000
LIFE_US = 60 * SECOND_US


class ReceivedEvent(NamedTuple):
    """A webhook event, and when it arrived."""

    webhook: WebhookEvent
    at: int


class EarlyWebhooks:
    """The webhook processor remembers events here, the tracker matches what it tracks with them."""

    def __init__(self) -> None:
        self._by_id: OrderedDict[str, ReceivedEvent] = OrderedDict()
        self._matched: asyncio.Queue[ReceivedEvent] = asyncio.Queue()

    def remember(self, received: Iterable[ReceivedEvent], now: int) -> None:
        """Remember the final statuses among events about messages that aren't tracked."""
        for one in received:
            if one.webhook.status in FINAL_BY_PROVIDER:
                self._by_id[one.webhook.message_id] = one
                self._by_id.move_to_end(one.webhook.message_id)
        while self._by_id and (len(self._by_id) > MAX_REMEMBERED or self._find_first_at() < now - LIFE_US):
            self._by_id.popitem(last=False)

    def _find_first_at(self) -> int:
        return next(iter(self._by_id.values())).at

    def match(self, tracked: Iterable[NewMessage]) -> None:
        """Find the events about ids that were just tracked."""
        if self._by_id:
            for message in tracked:
                received = self._by_id.pop(message.message_id, None)
                if received is not None:
                    self._matched.put_nowait(received)

    async def take_matched(self, at_most: int) -> list[ReceivedEvent]:
        """Wait for events whose messages are tracked by now."""
        taken = [await self._matched.get()]
        while len(taken) < at_most and not self._matched.empty():
            taken.append(self._matched.get_nowait())
        return taken
