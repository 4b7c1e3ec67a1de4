"""What webhooks tell, on its way into the store: in groups, and answered once it is durable.

A webhook names no account, so its message is looked for in all of them. One
that comes before its id does (a dropped file takes its time) is remembered for
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
"""How long an end is remembered whose message is not tracked yet."""
OLDEST_US = 86_400 * SECOND_US
"""A message that is first heard of by a webhook was sent at most this long ago."""


_NOTHING = StateDelta()


class _ReceivedEvent(NamedTuple):
    """WebhookEvent, and when it arrived."""

    news: WebhookEvent
    at: int


class _Waiting(NamedTuple):
    """A webhook on its way."""

    told: _ReceivedEvent
    result: asyncio.Future[WebhookResult]


class _Learned(NamedTuple):
    """What one transaction, or none, made of a group."""

    results: list[WebhookResult]
    conflicts: list[int]
    """Campaigns of messages that the provider contradicts itself about, beyond those in `steps`."""
    steps: Sequence[Step] = ()
    changes: StateDelta = _NOTHING


class WebhookProcessor:
    """All methods belong to the event loop, but `_applied`."""

    def __init__(
        self,
        tracker: Tracker,
        store: Store,
        unverified_ids: UnverifiedIds,
        clock: Clock,
        instruments: Instruments,
    ) -> None:
        """Nothing has been heard."""
        self._tracker = tracker
        self._store = store
        self._strangers = unverified_ids
        self._clock = clock
        self._instruments = instruments
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(MAX_WAITING)
        self._early: OrderedDict[str, _ReceivedEvent] = OrderedDict()
        self._again: asyncio.Queue[_ReceivedEvent] = asyncio.Queue()
        self._ended = False
        tracker.on_tracked = self.on_tracked

    async def submit(self, news: WebhookEvent) -> bool:
        """Take in a webhook; True once all that it brings is durable, False when it must come again."""
        result: asyncio.Future[WebhookResult] = asyncio.get_running_loop().create_future()
        became = WebhookResult.OVERFLOW
        if not self._ended and not self._queue.full():
            self._queue.put_nowait(_Waiting(_ReceivedEvent(news, self._clock.now()), result))
            became = await result
        self._instruments.count_webhook(became)
        return became is not WebhookResult.OVERFLOW

    async def run(self) -> None:
        """Work until cancelled; whoever waits then is refused."""
        group: list[_Waiting] = []
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._resubmit_early())
                while True:
                    group = [await self._queue.get()]
                    while len(group) < GROUP and not self._queue.empty():
                        group.append(self._queue.get_nowait())
                    _answer(group, await self._taken_in(group))
        finally:
            self._ended = True
            left = group + [self._queue.get_nowait() for _ in range(self._queue.qsize())]
            _answer(left, [WebhookResult.OVERFLOW] * len(left))

    async def _taken_in(self, group: Sequence[_Waiting]) -> list[WebhookResult]:
        """What became of each of a group, once that is durable."""
        told = [waiting.told for waiting in group]
        try:
            results = await self._commit(told)
            unknown = [number for number, result in enumerate(results) if result is WebhookResult.UNKNOWN]
            if unknown:
                welcome = await self._welcome([told[number] for number in unknown])
                for number, result in zip(unknown, welcome, strict=True):
                    results[number] = result
        except StoreFull:
            self._instruments.set_store_up(up=False)
            return [WebhookResult.OVERFLOW] * len(group)
        return results

    async def _welcome(self, told: Sequence[_ReceivedEvent]) -> list[WebhookResult]:
        """What becomes of news about messages that aren't tracked."""
        settings = self._tracker.settings.webhook
        if settings is None or not settings.track_unknown:
            self._remember(told)
            return [WebhookResult.UNKNOWN] * len(told)
        sent_at = {
            news.message_id: webhook_claims.sent_at(news, at, OLDEST_US) for news, at in reversed(told)
        }
        if settings.mode == "verify":
            # The answer is the same whether there is room or not: it must not tell which ids are known.
            for message_id, at in sent_at.items():
                self._strangers.propose(message_id, at)
            return [WebhookResult.UNKNOWN] * len(told)
        account = self._tracker.settings.accounts[0].name
        batch = [NewMessage(one, settings.campaign, account, at) for one, at in sent_at.items()]
        if (await self._tracker.track(batch, Source.WEBHOOK)).blocked:
            return [WebhookResult.OVERFLOW] * len(told)
        return await self._commit(told)

    # --- what comes before its message -----------------------------------------------------------

    def _remember(self, told: Sequence[_ReceivedEvent]) -> None:
        for one in told:
            if one.news.status in FINAL_BY_PROVIDER:
                self._early[one.news.message_id] = one
                self._early.move_to_end(one.news.message_id)
        oldest_at = self._clock.now() - EARLY_US
        while self._early and (len(self._early) > MAX_EARLY or self._first_early_at() < oldest_at):
            self._early.popitem(last=False)

    def _first_early_at(self) -> int:
        return next(iter(self._early.values())).at

    def on_tracked(self, batch: Sequence[NewMessage]) -> None:
        """Take note of ids that were just tracked: the ends of some may have been told already."""
        if self._early:
            for message in batch:
                told = self._early.pop(message.message_id, None)
                if told is not None:
                    self._again.put_nowait(told)

    async def _resubmit_early(self) -> None:
        """Tell again what came before its message."""
        while True:
            early = [await self._again.get()]
            while len(early) < GROUP and not self._again.empty():
                early.append(self._again.get_nowait())
            # WebhookResult now: before, there was no message that it could have been about.
            now = self._clock.now()
            try:
                await self._commit([_ReceivedEvent(news, now) for news, at in early if now - at < EARLY_US])
            except StoreFull:
                self._instruments.set_store_up(up=False)

    # --- into the store --------------------------------------------------------------------------

    async def _commit(self, told: Sequence[_ReceivedEvent]) -> list[WebhookResult]:
        """Apply a group; raises StoreFull, and then nothing was applied."""
        began_us = self._clock.monotonic()
        settings = self._tracker.settings.webhook
        trust = settings is not None and settings.mode == "trust"
        clocks = {a.id: a.limiter.uptime_us(began_us) for a in self._tracker.accounts.values()}
        learned = await self._tracker.run(self._applied, told, clocks, trust=trust)
        if learned.steps:
            self._tracker.on_events_applied(learned.steps, learned.changes, began_us)
        for campaign_id in learned.conflicts:
            self._instruments.count_status_conflict(self._tracker.state.campaigns[campaign_id].account)
        return learned.results

    def _applied(self, told: Sequence[_ReceivedEvent], clocks: Mapping[int, int], *, trust: bool) -> _Learned:
        """Find the messages and apply what is new: in the store's thread, where nothing comes between."""
        found = self._store.find(list(clocks), {one.news.message_id for one in told})
        learned = _Learned([WebhookResult.UNKNOWN] * len(told), [])
        events: list[Observed | StatusClaimed] = []
        numbers: list[int] = []
        for number, (news, at) in enumerate(told):
            messages = found.get(news.message_id, [])
            for message in messages:
                # Nobody says which account is meant: where that matters, each is asked.
                trusted = trust and len(messages) == 1
                event = webhook_claims.event_of(
                    message, news, at, clocks[message.account_id], trusted=trusted
                )
                learned.results[number] = webhook_claims.known(message, news)
                step = Step(message) if event is None else self._tracker.decisions.decide(message, event)
                if event is not None and step.message is not message:
                    events.append(event)
                    numbers.append(number)
                elif step.conflict:
                    learned.conflicts.append(message.campaign_id)
        if not events:
            return learned
        numbered = zip(numbers, events, strict=True)

        def decide(message: Message, event: Event) -> Step:
            number, mine = next(numbered)
            news, step = told[number].news, self._tracker.decisions.decide(message, event)
            changed = step.message is not message
            learned.results[number] = (
                webhook_claims.moved(news, mine) if changed else webhook_claims.known(message, news)
            )
            return step

        steps, changes = self._store.apply(events, decide)
        return learned._replace(steps=steps, changes=changes)


def _answer(group: Sequence[_Waiting], results: Sequence[WebhookResult]) -> None:
    for waiting, result in zip(group, results, strict=True):
        if not waiting.result.done():
            waiting.result.set_result(result)
