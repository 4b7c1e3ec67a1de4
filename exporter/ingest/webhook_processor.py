"""Applies webhook events to the store: in groups, and acknowledged once they are durable.

A webhook names no account, so its message is searched in all of them. An event
that arrives before its id does (a dropped file takes its time) is remembered for
a minute, in memory. Nothing that is not about a tracked message reaches the
disk, and what brings nothing new costs no commit.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from exporter.domain import webhook_claims
from exporter.domain.aggregates import StateDelta
from exporter.domain.events import Event, Observed, StatusClaimed, Step, WebhookEvent
from exporter.domain.model import FINAL_BY_PROVIDER, SECOND_US, Message, NewMessage, Source, WebhookResult
from exporter.engine.tracker import Tracker
from exporter.ingest.unverified_ids import UnverifiedIds
from exporter.metrics.instruments import Instruments
from exporter.runtime.clock import Clock
from exporter.runtime.errors import StoreFull
from exporter.store import Store

MAX_WAITING = 10_000
"""Webhooks that wait for their commit; more are refused."""
GROUP = 512
"""How many share a commit at most."""
MAX_EARLY = 10_000
EARLY_US = 60 * SECOND_US
"""How long a final status is remembered whose message is not tracked yet."""
OLDEST_US = 86_400 * SECOND_US
"""A message that is first known from a webhook was sent at most this long ago."""

_NO_CHANGES = StateDelta()


class _ReceivedEvent(NamedTuple):
    """A webhook event, and when it arrived."""

    webhook: WebhookEvent
    at: int


class _Waiting(NamedTuple):
    """A received event whose sender waits for the response."""

    received: _ReceivedEvent
    result: asyncio.Future[WebhookResult]


class _GroupOutcome(NamedTuple):
    """What one transaction, or none, did with a group."""

    results: list[WebhookResult]
    conflicts: list[int]
    """Campaigns of messages for which the provider contradicts itself, beyond those in `steps`."""
    steps: Sequence[Step] = ()
    changes: StateDelta = _NO_CHANGES


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
        self._early: OrderedDict[str, _ReceivedEvent] = OrderedDict()
        self._now_tracked: asyncio.Queue[_ReceivedEvent] = asyncio.Queue()
        self._ended = False
        tracker.on_tracked = self.on_tracked

    async def submit(self, webhook: WebhookEvent) -> bool:
        """Process an event; True once all that it brings is durable, False when it must be sent again."""
        future: asyncio.Future[WebhookResult] = asyncio.get_running_loop().create_future()
        result = WebhookResult.OVERFLOW
        if not self._ended and not self._queue.full():
            self._queue.put_nowait(_Waiting(_ReceivedEvent(webhook, self._clock.now()), future))
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

    async def _process_group(self, group: Sequence[_ReceivedEvent]) -> list[WebhookResult]:
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

    async def _process_unknown(self, group: Sequence[_ReceivedEvent]) -> list[WebhookResult]:
        """The results of events about messages that aren't tracked."""
        settings = self._tracker.settings.webhook
        if settings is None or not settings.track_unknown:
            self._remember_early(group)
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

    # --- events that arrive before their message --------------------------------------------------

    def _remember_early(self, group: Sequence[_ReceivedEvent]) -> None:
        for received in group:
            if received.webhook.status in FINAL_BY_PROVIDER:
                self._early[received.webhook.message_id] = received
                self._early.move_to_end(received.webhook.message_id)
        oldest_at = self._clock.now() - EARLY_US
        while self._early and (len(self._early) > MAX_EARLY or self._find_first_early_at() < oldest_at):
            self._early.popitem(last=False)

    def _find_first_early_at(self) -> int:
        return next(iter(self._early.values())).at

    def on_tracked(self, batch: Sequence[NewMessage]) -> None:
        """Note ids that were just tracked: webhooks may have reported the final status of some already."""
        if self._early:
            for message in batch:
                received = self._early.pop(message.message_id, None)
                if received is not None:
                    self._now_tracked.put_nowait(received)

    async def _resubmit_early(self) -> None:
        """Apply the events that arrived before their message."""
        while True:
            early = [await self._now_tracked.get()]
            while len(early) < GROUP and not self._now_tracked.empty():
                early.append(self._now_tracked.get_nowait())
            # They count as received now: before, there was no message that they could have been about.
            now = self._clock.now()
            try:
                await self._commit(
                    [_ReceivedEvent(webhook, now) for webhook, at in early if now - at < EARLY_US]
                )
            except StoreFull:
                self._instruments.set_store_up(up=False)

    # --- into the store ---------------------------------------------------------------------------

    async def _commit(self, group: Sequence[_ReceivedEvent]) -> list[WebhookResult]:
        """Apply a group; raises StoreFull, and then nothing was applied."""
        began_us = self._clock.monotonic()
        settings = self._tracker.settings.webhook
        trust = settings is not None and settings.mode == "trust"
        uptimes_us = {a.id: a.limiter.get_uptime_us(began_us) for a in self._tracker.accounts.values()}
        outcome = await self._tracker.run(self._apply_group, group, uptimes_us, trust=trust)
        if outcome.steps:
            self._tracker.on_events_applied(outcome.steps, outcome.changes, began_us)
        for campaign_id in outcome.conflicts:
            self._instruments.count_status_conflict(self._tracker.state.campaigns[campaign_id].account)
        return outcome.results

    def _apply_group(
        self, group: Sequence[_ReceivedEvent], uptimes_us: Mapping[int, int], *, trust: bool
    ) -> _GroupOutcome:
        """Find the messages and apply what is new: in the store's thread, where nothing comes between."""
        found = self._store.find(list(uptimes_us), {received.webhook.message_id for received in group})
        outcome = _GroupOutcome([WebhookResult.UNKNOWN] * len(group), [])
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
                outcome.results[number] = webhook_claims.classify_unchanged(message, webhook)
                step = Step(message) if event is None else self._tracker.decide(message, event)
                if event is not None and step.message is not message:
                    events.append(event)
                    numbers.append(number)
                elif step.conflict:
                    outcome.conflicts.append(message.campaign_id)
        if not events:
            return outcome
        numbered = zip(numbers, events, strict=True)

        def decide(message: Message, event: Event) -> Step:
            number, from_webhook = next(numbered)
            webhook, step = group[number].webhook, self._tracker.decide(message, event)
            changed = step.message is not message
            outcome.results[number] = (
                webhook_claims.classify_changed(webhook, from_webhook)
                if changed
                else webhook_claims.classify_unchanged(message, webhook)
            )
            return step

        steps, changes = self._store.apply(events, decide)
        return outcome._replace(steps=steps, changes=changes)


def _resolve(group: Sequence[_Waiting], results: Sequence[WebhookResult]) -> None:
    for waiting, result in zip(group, results, strict=True):
        if not waiting.result.done():
            waiting.result.set_result(result)
