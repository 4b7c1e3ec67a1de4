"""Applies webhook events to the store: in groups, and acknowledged once they are durable.

A webhook names no account, so its message is searched in all of them. An event
that arrives before its id does is remembered for a minute (see `early_webhooks`).
Nothing that is not about a tracked message reaches the disk, and what brings
nothing new costs no commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from exporter.domain import webhook_claims
from exporter.domain.events import Event, Observed, StatusClaimed, Step, WebhookEvent
from exporter.domain.model import SECOND_US, Message, NewMessage, Source, WebhookResult
from exporter.engine.early_webhooks import LIFE_US, ReceivedEvent
from exporter.engine.tracker import Tracker
from exporter.ingest.unverified_ids import UnverifiedIds
from exporter.metrics.instruments import Instruments
from exporter.runtime.clock import Clock
from exporter.runtime.errors import StoreFull
from exporter.store import Applied, Store

MAX_WAITING = 10_000
"""Webhooks that wait for their commit; more are refused."""
GROUP = 512
"""How many share a commit at most."""
OLDEST_US = 86_400 * SECOND_US
"""A message that is first known from a webhook was sent at most this long ago."""


class _Waiting(NamedTuple):
    """A received event whose sender waits for the response."""

    received: ReceivedEvent
    result: asyncio.Future[WebhookResult]


class WebhookProcessor:
    """All methods belong to the event loop, except `_apply_group`."""

    def __init__(
        self,
        tracker: Tracker,
        store: Store,
        unverified_ids: UnverifiedIds,
        clock: Clock,
        instruments: Instruments,
    ) -> None:
        self._tracker = tracker
        self._store = store
        self._unverified_ids = unverified_ids
        self._clock = clock
        self._instruments = instruments
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(MAX_WAITING)
        self._early = tracker.early_webhooks
        self._ended = False

    async def submit(self, webhook: WebhookEvent) -> bool:
        """Process an event; True once all that it brings is durable, False when it must be sent again."""
        future: asyncio.Future[WebhookResult] = asyncio.get_running_loop().create_future()
        result = WebhookResult.OVERFLOW
        if not self._ended and not self._queue.full():
            self._queue.put_nowait(_Waiting(ReceivedEvent(webhook, self._clock.now()), future))
            result = await future
        self._instruments.count_webhook(result)
        return result is not WebhookResult.OVERFLOW

    async def run(self) -> None:
        """Work until cancelled; events that wait then are refused."""
        group: list[_Waiting] = []
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._resubmit_early())
                while True:
                    group = [await self._queue.get()]
                    while len(group) < GROUP and not self._queue.empty():
                        group.append(self._queue.get_nowait())
                    _resolve(group, await self._process_group([waiting.received for waiting in group]))
        finally:
            self._ended = True
            left = group + [self._queue.get_nowait() for _ in range(self._queue.qsize())]
            _resolve(left, [WebhookResult.OVERFLOW] * len(left))

    async def _process_group(self, group: Sequence[ReceivedEvent]) -> list[WebhookResult]:
        """The result of each event of a group, once that is durable."""
        try:
            results = await self._commit(group)
            unknown = [number for number, result in enumerate(results) if result is WebhookResult.UNKNOWN]
            if unknown:
                now_known = await self._process_unknown([group[number] for number in unknown])
                for number, result in zip(unknown, now_known, strict=True):
                    results[number] = result
        except StoreFull:
            self._instruments.set_store_up(up=False)
            return [WebhookResult.OVERFLOW] * len(group)
        return results

    async def _process_unknown(self, group: Sequence[ReceivedEvent]) -> list[WebhookResult]:
        """The results of events about messages that aren't tracked."""
        settings = self._tracker.settings.webhook
        if settings is None or not settings.track_unknown:
            self._early.remember(group, self._clock.now())
            return [WebhookResult.UNKNOWN] * len(group)
        sent_at = {
            webhook.message_id: webhook_claims.estimate_sent_at(webhook, at, OLDEST_US)
            for webhook, at in reversed(group)
        }
        if settings.mode == "verify":
            # The response is the same whether there is room or not: it must not show which ids are known.
            for message_id, at in sent_at.items():
                self._unverified_ids.propose(message_id, at)
            return [WebhookResult.UNKNOWN] * len(group)
        account = self._tracker.settings.accounts[0].name
        batch = [NewMessage(one, settings.campaign, account, at) for one, at in sent_at.items()]
        if (await self._tracker.track(batch, Source.WEBHOOK)).blocked:
            return [WebhookResult.OVERFLOW] * len(group)
        return await self._commit(group)

    async def _resubmit_early(self) -> None:
        """Apply the events that arrived before their message."""
        while True:
            early = await self._early.take_matched(GROUP)
            # They count as received now: before, there was no message that they could have been about.
            now = self._clock.now()
            try:
                await self._commit(
                    [ReceivedEvent(webhook, now) for webhook, at in early if now - at < LIFE_US]
                )
            except StoreFull:
                self._instruments.set_store_up(up=False)

    # --- into the store ---------------------------------------------------------------------------

    async def _commit(self, group: Sequence[ReceivedEvent]) -> list[WebhookResult]:
        """Apply a group; raises StoreFull, and then nothing was applied."""
        began_us = self._clock.monotonic()
        settings = self._tracker.settings.webhook
        trust = settings is not None and settings.mode == "trust"
        uptimes_us = {a.id: a.limiter.get_uptime_us(began_us) for a in self._tracker.accounts.values()}
        results, applied = await self._tracker.run(self._apply_group, group, uptimes_us, trust=trust)
        self._tracker.on_events_applied(applied, began_us)
        return results

    def _apply_group(
        self, group: Sequence[ReceivedEvent], uptimes_us: Mapping[int, int], *, trust: bool
    ) -> tuple[list[WebhookResult], Applied]:
        """Find the messages and apply what is new: in the store's thread, where nothing comes between."""
        found = self._store.find(list(uptimes_us), {received.webhook.message_id for received in group})
        results = [WebhookResult.UNKNOWN] * len(group)
        events: list[Observed | StatusClaimed] = []
        numbers: list[int] = []
        for number, (webhook, at) in enumerate(group):
            messages = found.get(webhook.message_id, [])
            for message in messages:
                # A webhook names no account: where several have the id, each account is polled.
                trusted = trust and len(messages) == 1
                event = webhook_claims.to_event(
                    message, webhook, at, uptimes_us[message.account_id], trusted=trusted
                )
                if event is None:
                    results[number] = webhook_claims.classify_unchanged(message, webhook)
                else:
                    events.append(event)
                    numbers.append(number)
        numbered = zip(numbers, events, strict=True)

        def decide(message: Message, event: Event) -> Step:
            number, from_webhook = next(numbered)
            webhook, step = group[number].webhook, self._tracker.decide(message, event)
            if step.message is not message:
                results[number] = webhook_claims.classify_changed(webhook, from_webhook)
            elif results[number] is WebhookResult.UNKNOWN:
                results[number] = webhook_claims.classify_unchanged(message, webhook)
            return step

        # All rows were found above, so every event is decided.
        return results, self._store.apply(events, decide)


def _resolve(group: Sequence[_Waiting], results: Sequence[WebhookResult]) -> None:
    for waiting, result in zip(group, results, strict=True):
        if not waiting.result.done():
            waiting.result.set_result(result)
