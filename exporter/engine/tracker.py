"""The one entry point: every change of state goes through here, in groups, and is shown once it is durable.

`Tracker` owns the store (it calls its verbs one at a time, off the event loop),
the committed state, and each account's poll queue and limiter. While the store
can't be written, events wait here: nothing is dropped, polling is paused, and
`/metrics` continues to show the latest commit.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import NamedTuple, ParamSpec, TypeVar

from exporter.config import Settings
from exporter.domain import lifecycle, schedule
from exporter.domain.aggregates import CommittedState, StateDelta
from exporter.domain.events import Event, Observed, PollFailed, Step, Tick
from exporter.domain.limiter import AccountLimiter, LimiterState
from exporter.domain.model import SECOND_US, Message, NewMessage, Policy, Priority, Source, Via
from exporter.domain.snapshot import CampaignName, Kind, SeriesKey
from exporter.engine.accounts import AccountState
from exporter.engine.campaigns import Campaigns
from exporter.engine.early_webhooks import EarlyWebhooks
from exporter.engine.hourly_totals import HourlyTotals
from exporter.engine.poll_queue import PollQueue, QueueClock
from exporter.engine.request_history import RequestHistory
from exporter.metrics.instruments import Instruments
from exporter.runtime.clock import Clock
from exporter.runtime.errors import StoreFull
from exporter.store import (
    READ_TO_THE_END,
    Applied,
    Arrival,
    Claim,
    FileProgress,
    Store,
    run_in_store_thread,
)

_P = ParamSpec("_P")
_T = TypeVar("_T")
_log = logging.getLogger("smsbat.tracker")

GROUP_EVENTS = 512
"""The most events that one commit contains."""
BACKLOG_EVENTS = 2_048
"""With this many events waiting for their commit, polling is paused."""
RETRY_FULL_US = SECOND_US
QUEUE_ROWS = 10_000
"""How many rows a start changes in one transaction."""


class _Reported(NamedTuple):
    """An event, and what to do once it is committed."""

    event: Event
    on_committed: Callable[[], None]


class Tracked(NamedTuple):
    """The result of tracking a batch of ids."""

    accepted: int = 0
    duplicate: int = 0
    blocked: bool = False
    """Too many messages are pending; the caller should try again later."""


class Tracker:
    """See the module's docstring; all methods run in the event loop, unless they say otherwise."""

    def __init__(
        self, store: Store, executor: Executor, settings: Settings, clock: Clock, instruments: Instruments
    ) -> None:
        """`store` is open; `executor` runs its verbs and must have exactly one thread."""
        self._store = store
        self._executor = executor
        self._clock = clock
        self._instruments = instruments
        self._events: asyncio.Queue[_Reported] = asyncio.Queue()
        self._writable = asyncio.Event()
        self._campaigns = Campaigns(settings)
        self._saved_limiters: dict[str, LimiterState] = {}
        self.settings = settings
        self.queue_clock = QueueClock(clock, None)
        self.queued_rows = 0
        """How many rows of an older version's state this start has looked at."""
        self.accounts: dict[str, AccountState] = {}
        """By name; one that is removed from the settings stays here, but is not polled."""
        self.state = CommittedState(0)
        self.early_webhooks = EarlyWebhooks()
        self.hourly_totals = HourlyTotals()

    async def start(self) -> str:
        """Read the state of earlier runs; returns a warning for the operator, or an empty text."""
        restored = await self.run(self._store.restore)
        self.state = CommittedState(restored.created_at)
        self.state.restore(restored.campaigns, restored.values, restored.cohorts)
        self.hourly_totals.add(restored.cohorts)
        currencies = {account.name: account.currency for account in self.settings.accounts}
        for campaign_id, name in restored.campaigns.items():
            self.register_campaign(campaign_id, name, currencies.get(name.account, ""))
        self._saved_limiters = {name: saved for name, (_, saved) in restored.accounts.items()}
        self.queue_clock = QueueClock(self._clock, restored.queue_time)
        await self._retry_until_room(self._queue_older)
        await self.configure(self.settings)
        self._writable.set()
        return restored.warning

    async def configure(self, settings: Settings) -> None:
        """Apply new settings; waits while the disk has no room for new accounts and campaigns."""
        self.settings = settings
        self._campaigns.configure(settings)
        for configured in settings.accounts:
            name, rate = configured.name, configured.requests_per_second
            if name not in self.accounts:
                account_id = await self._retry_until_room(partial(self.run, self._store.ensure_account, name))
                saved, now = self._saved_limiters.get(name, LimiterState()), self._clock.now()
                limiter = AccountLimiter(rate, self._clock.monotonic(), saved=saved, wall_now=now)
                queue, history = PollQueue(self.queue_clock), RequestHistory(now)
                self.accounts[name] = AccountState(name, account_id, queue, limiter, history)
                await self._retry_until_room(partial(self._pull_forward, self.accounts[name]))
            self.accounts[name].configure(rate, configured.currency)
        for campaign in settings.campaigns:
            if campaign.account is not None:
                named = CampaignName(campaign.account, campaign.name)
                await self._retry_until_room(partial(self._get_campaign_id, named))

    async def _queue_older(self) -> None:
        """Queue the messages that a version without a queue in the store left."""
        priorities = {number: policy.priority for number, policy in self._campaigns.policies.items()}
        while rows := await self.run(self._store.queue_older, priorities, limit=QUEUE_ROWS):
            self.queued_rows += rows

    async def _pull_forward(self, account: AccountState) -> None:
        """Let no message be due later than its profile could plan: the stored time may be a wrong clock's."""
        for priority in Priority:
            policies = self._campaigns.select_policies(account.name, priority).values()
            if policies:
                latest = self.queue_clock.now() + max(map(schedule.find_longest_delay_us, policies))
                pull = partial(
                    self._store.pull_forward, account.id, priority, latest=latest, limit=QUEUE_ROWS
                )
                while await self.run(pull):
                    pass

    async def run(self, verb: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call one of the store's verbs; once it has begun, even a cancelled caller waits for its end."""
        return await run_in_store_thread(self._executor, partial(verb, *args, **kwargs))

    # --- ids in -----------------------------------------------------------------------------------

    async def track(
        self,
        batch: Sequence[NewMessage],
        source: Source,
        *,
        file_key: bytes = b"",
        offset: int = 0,
        last: bool = False,
    ) -> Tracked:
        """Track ids; unless the result is blocked they are durable, and so is how far their file is read.

        Raises StoreFull when the disk is full.
        """
        by_account: dict[str, list[NewMessage]] = {}
        for message in batch:
            by_account.setdefault(message.account, []).append(message)
        # The last part saves the file's progress, so that a crash between the parts repeats them.
        final = list(by_account)[-1] if by_account else self.settings.accounts[0].name
        file = FileProgress(file_key, READ_TO_THE_END if last else offset) if file_key else None
        accepted = 0
        for name in by_account or (final,):
            progress = file if name == final else None
            taken = await self._track_for_account(
                self.accounts[name], by_account.get(name, []), source, progress
            )
            if taken is None:
                return Tracked(blocked=True)
            accepted += taken
        return Tracked(accepted, len(batch) - accepted)

    async def _track_for_account(
        self, account: AccountState, batch: Sequence[NewMessage], source: Source, file: FileProgress | None
    ) -> int | None:
        now = self._clock.now()
        room = self.settings.limits.max_tracked - self.state.pending
        uptime_us = account.limiter.get_uptime_us(self._clock.monotonic())
        try:
            arrivals = await self._build_arrivals(account, batch, now)
            result = await self.run(
                self._store.track,
                account.id,
                arrivals,
                source,
                now=now,
                uptime_us=uptime_us,
                room=room,
                file=file,
            )
        except StoreFull:
            self._instruments.set_store_up(up=False)
            raise
        if result.full:
            return None
        self.apply_committed(result.changes)
        for priority in {arrival.priority for arrival in arrivals}:
            account.queue.note_due(priority, min(a.due_at for a in arrivals if a.priority is priority))
        self.early_webhooks.match(batch)
        return len(result.rows)

    async def _build_arrivals(
        self, account: AccountState, batch: Sequence[NewMessage], now: int
    ) -> list[Arrival]:
        campaigns: dict[str, tuple[int, Policy]] = {}
        for campaign in dict.fromkeys(message.campaign for message in batch):
            campaign_id = await self._get_campaign_id(CampaignName(account.name, campaign))
            campaigns[campaign] = (campaign_id, self._campaigns.policies[campaign_id])
        arrivals = []
        to_queue_us = self.queue_clock.now() - now
        webhooks_reliable = account.webhook_coverage.webhooks_reliable(now)
        for message_id, campaign, _, given_sent_at in batch:
            campaign_id, policy = campaigns[campaign]
            sent_at = now if given_sent_at is None else given_sent_at
            poll_at = schedule.first_poll_at(policy, sent_at, now, webhooks_reliable=webhooks_reliable)
            due_at = poll_at + to_queue_us
            arrivals.append(Arrival(campaign_id, message_id, sent_at, due_at, policy.priority))
        return arrivals

    async def get_file_progress(self, file_key: bytes) -> int:
        """How far a dropped file was read: see `Store.read_file_progress`."""
        return await self.run(self._store.read_file_progress, file_key)

    async def _get_campaign_id(self, wanted: CampaignName) -> int:
        """The id of a campaign, which is created by its first message."""
        known = self._campaigns.find_id(wanted)
        if known is not None:
            return known
        name = self._campaigns.bound_name(wanted)
        if name != wanted:
            self._instruments.count_label_overflow("campaign")
            known = self._campaigns.find_id(name)
            if known is not None:
                return known
        account = self.accounts[name.account]
        campaign_id = await self.run(self._store.ensure_campaign, account.id, name.campaign)
        self.register_campaign(campaign_id, name, account.currency)
        return campaign_id

    def register_campaign(self, campaign_id: int, name: CampaignName, currency: str) -> None:
        """Add a campaign of the store, and show its cost at 0 in the account's currency."""
        self.state.campaigns[campaign_id] = name
        self._campaigns.register(name, campaign_id)
        if currency:
            self.state.initialize_series(SeriesKey(campaign_id, Kind.COST_NANOS, currency))

    # --- what an event does -----------------------------------------------------------------------
    # Both run in the store's thread, within one of its verbs: they only read what the event loop
    # replaces as a whole, or single numbers for which the old and the new value are both right.

    def decide(self, message: Message, event: Event) -> Step:
        """Decide what an event does to a message, and when to poll it next."""
        policy = self._campaigns.policies[message.campaign_id]
        account = self._find_account(message.campaign_id)
        step = lifecycle.advance(message, event, policy, account.currency if account else "")
        if not step.message.unsettled:
            return step
        polled = isinstance(event, PollFailed) or (isinstance(event, Observed) and event.via is Via.POLL)
        poll_at = schedule.plan(
            message,
            step.message,
            policy,
            event.at,
            random.random(),  # noqa: S311 - jitter
            uptime_us=event.uptime_us,
            polled=polled,
            webhooks_reliable=account is not None and account.webhook_coverage.webhooks_reliable(event.at),
        )
        if poll_at is None:
            return step
        due_at = self.queue_clock.from_wall(poll_at, event.at)
        return step._replace(message=step.message._replace(due_at=due_at, priority=policy.priority))

    def decide_tick(self, message: Message) -> Step:
        """Decide what the passing of time alone does to a message."""
        account = self._find_account(message.campaign_id)
        event = Tick(message.row, self._clock.now(), 0)
        policy = self._campaigns.policies[message.campaign_id]
        return lifecycle.advance(message, event, policy, account.currency if account else "")

    # --- events in --------------------------------------------------------------------------------

    async def claim(self, account: AccountState, priority: Priority, limit: int) -> list[Message]:
        """Take messages to poll now from the queue; the caller holds them from now on."""
        queue = account.queue
        queue.begin_claim(priority)
        claim = Claim(
            account_id=account.id,
            priority=priority,
            now=self._clock.now(),
            queue_now=queue.now(),
            limit=limit,
            held=queue.list_held(),
            policies=self._campaigns.select_policies(account.name, priority),
        )
        return queue.take(priority, await self.run(self._store.claim, claim))

    async def judge_lapsed(self, now: int, limit: int) -> None:
        """Judge messages whose deadline can't be observed any more; raises StoreFull."""
        changes = await self.run(
            self._store.judge_lapsed, self._campaigns.policies, now=now, limit=limit, tick=self.decide_tick
        )
        if changes:
            self.apply_committed(changes)

    def report(self, event: Event, on_committed: Callable[[], None]) -> None:
        """Queue an event; it is committed soon, and then `on_committed` is called."""
        self._events.put_nowait(_Reported(event, on_committed))
        if self._events.qsize() >= BACKLOG_EVENTS:
            self._writable.clear()

    async def wait_until_writable(self) -> None:
        """Wait while the store can't keep up, or can't be written."""
        await self._writable.wait()

    async def commit_forever(self) -> None:
        """Commit events as they come, all that wait in one transaction."""
        while True:
            group = [await self._events.get()]
            while len(group) < GROUP_EVENTS and not self._events.empty():
                group.append(self._events.get_nowait())
            await self._commit(group)

    async def drain(self) -> None:
        """Commit the events that still wait, before the process ends."""
        group = [self._events.get_nowait() for _ in range(self._events.qsize())]
        if group:
            await self.run(self._store.apply, [event for event, _ in group], self.decide)

    async def _commit(self, group: list[_Reported]) -> None:
        began_us = self._clock.monotonic()
        events = [event for event, _ in group]
        apply = partial(self.run, self._store.apply, events, self.decide)
        applied = await self._retry_until_room(apply)
        for _, on_committed in group:
            on_committed()
        self.on_events_applied(applied, began_us)

    def on_events_applied(self, applied: Applied, began_us: int) -> None:
        """Publish what a transaction has made durable, and note what is due; `began_us` is monotonic."""
        if applied.committed:
            self._instruments.observe_commit((self._clock.monotonic() - began_us) / SECOND_US)
            self.apply_committed(applied.changes)
        for step in applied.steps:
            message = step.message
            if step.conflict:
                self._instruments.count_status_conflict(self.state.campaigns[message.campaign_id].account)
            account = self._find_account(message.campaign_id)
            if account is not None and message.unsettled:
                account.queue.note_planned(message)
            expected = step.webhook_first is not None and schedule.is_fresh(
                message.sent_at, message.accepted_at
            )
            if account is not None and expected:
                account.webhook_coverage.record_final(
                    self._clock.now(), webhook_first=bool(step.webhook_first)
                )

    async def _retry_until_room(self, write: Callable[[], Awaitable[_T]]) -> _T:
        """Call `write` until the disk has room for it; the first refusal is logged."""
        logged = False
        while True:
            try:
                written = await write()
            except StoreFull as error:
                if not logged:
                    logged = True
                    more = {"event": "store_full", "fields": {"code": error.code}}
                    _log.error("%s; polling is paused until there is room", error.message, extra=more)
                self._writable.clear()
                self._instruments.set_store_up(up=False)
                await self._clock.sleep(RETRY_FULL_US)
            else:
                self._on_written()
                return written

    def apply_committed(self, changes: StateDelta) -> None:
        """Publish changes that are durable."""
        self.state.apply(changes)
        self.hourly_totals.add(changes.cohorts.items())
        self._on_written()

    def _on_written(self) -> None:
        """Let polling continue, unless too many events wait for their commit."""
        self._instruments.set_store_up(up=True)
        if self._events.qsize() < BACKLOG_EVENTS:
            self._writable.set()

    def _find_account(self, campaign_id: int) -> AccountState | None:
        return self.accounts.get(self.state.campaigns[campaign_id].account)
