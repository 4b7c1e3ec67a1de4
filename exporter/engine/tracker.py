"""The one entry point: every change of state goes through here, in groups, and is shown once it is durable.

`Tracker` owns the store (it calls its verbs one at a time, off the event loop),
the committed state, and each account's agenda and limiter. While the store
can't be written, events wait here: nothing is dropped, polling is paused, and
`/metrics` continues to show the latest commit.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Executor
from functools import partial
from typing import NamedTuple, ParamSpec, TypeVar

from exporter.config import Settings
from exporter.domain import lifecycle, schedule
from exporter.domain.aggregates import CommittedState, StateDelta
from exporter.domain.events import Event, Observed, PollFailed, Step, Tick
from exporter.domain.limiter import LimiterState
from exporter.domain.model import SECOND_US, Message, NewMessage, Policy, Source, Via
from exporter.domain.snapshot import CampaignName, Kind, SeriesKey
from exporter.engine.accounts import Accounts, AccountState
from exporter.engine.agenda import next_revision
from exporter.engine.campaigns import Campaigns
from exporter.metrics.instruments import Instruments
from exporter.runtime.clock import Clock
from exporter.runtime.errors import StoreFull
from exporter.store import READ_TO_THE_END, Arrival, FileProgress, Planned, Store, run_in_store_thread

_P = ParamSpec("_P")
_T = TypeVar("_T")
_log = logging.getLogger("smsbat.tracker")

GROUP_EVENTS = 512
"""The most events that one commit contains."""
BACKLOG_EVENTS = 2_048
"""With this many events waiting for their commit, polling is paused."""
RETRY_FULL_US = SECOND_US


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
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._writable = asyncio.Event()
        self._campaigns = Campaigns(settings)
        self._saved_limiters: dict[str, LimiterState] = {}
        self.settings = settings
        self.accounts = Accounts()
        self.state = CommittedState(0)
        self.on_tracked: Callable[[Sequence[NewMessage]], None] = lambda _: None
        """Called with each batch of ids after it was tracked."""

    async def start(self) -> str:
        """Read the state of earlier runs; returns a warning for the operator, or an empty text."""
        restored = await self.run(self._store.restore)
        self.state = CommittedState(restored.created_at)
        self.state.restore(restored.campaigns, restored.values, restored.cohorts)
        currencies = {account.name: account.currency for account in self.settings.accounts}
        for campaign_id, name in restored.campaigns.items():
            self.register_campaign(campaign_id, name, currencies.get(name.account, ""))
        self._saved_limiters = {name: saved for name, (_, saved) in restored.accounts.items()}
        await self.configure(self.settings)
        self._writable.set()
        return restored.warning

    async def configure(self, settings: Settings) -> None:
        """Apply new settings; waits while the disk has no room for new accounts and campaigns."""
        self.settings = settings
        self._campaigns.configure(settings)
        new = set()
        for configured in settings.accounts:
            name, rate = configured.name, configured.requests_per_second
            if name not in self.accounts:
                account_id = await self._retry_until_room(partial(self.run, self._store.ensure_account, name))
                self.accounts.open_account(
                    name, account_id, rate, self._saved_limiters.get(name, LimiterState()), self._clock
                )
                new.add(name)
            self.accounts[name].configure(rate, configured.currency)
        for campaign in settings.campaigns:
            if campaign.account is not None:
                named = CampaignName(campaign.account, campaign.name)
                await self._retry_until_room(partial(self._get_campaign_id, named))
        await self._schedule_pending(new)

    async def _schedule_pending(self, accounts: AbstractSet[str]) -> None:
        """Schedule the pending messages of earlier runs, for accounts that are new in this run."""
        campaigns = {number for number, name in self.state.campaigns.items() if name.account in accounts}
        if not campaigns:
            return
        pieces = self._store.read_schedule()
        while planned := await self.run(next, pieces, None):
            theirs = [place for place in planned if place.campaign_id in campaigns]
            # The previous run may have sent its last request just before it ended.
            self._schedule(theirs, not_before_us=schedule.CLOSEST_US)

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
        self._schedule(result.planned)
        self.on_tracked(batch)
        return len(result.planned)

    async def _build_arrivals(
        self, account: AccountState, batch: Sequence[NewMessage], now: int
    ) -> list[Arrival]:
        campaigns: dict[str, tuple[int, Policy]] = {}
        for campaign in dict.fromkeys(message.campaign for message in batch):
            campaign_id = await self._get_campaign_id(CampaignName(account.name, campaign))
            campaigns[campaign] = (campaign_id, self._campaigns.policies[campaign_id])
        arrivals = []
        webhooks_reliable = account.webhook_coverage.webhooks_reliable(now)
        for message_id, campaign, _, given_sent_at in batch:
            campaign_id, policy = campaigns[campaign]
            sent_at = now if given_sent_at is None else given_sent_at
            due_at = schedule.first_poll_at(policy, sent_at, now, webhooks_reliable=webhooks_reliable)
            arrivals.append(Arrival(campaign_id, message_id, sent_at, due_at))
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
    # Both run in the store's thread, inside its transaction: they only read what the event loop
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
        return step._replace(
            message=step.message._replace(due_at=poll_at, revision=next_revision(message.revision)),
            planned=True,
        )

    def decide_tick(self, message: Message) -> Step:
        """Decide what the passing of time alone does to a message."""
        account = self._find_account(message.campaign_id)
        event = Tick(message.row, self._clock.now(), 0)
        policy = self._campaigns.policies[message.campaign_id]
        return lifecycle.advance(message, event, policy, account.currency if account else "")

    # --- events in --------------------------------------------------------------------------------

    async def claim(self, rows: Sequence[int]) -> list[Message]:
        """Read the messages that are about to be polled."""
        return await self.run(self._store.claim, rows)

    def report(self, event: Event) -> None:
        """Queue an event; it is committed soon."""
        self._events.put_nowait(event)
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
            await self.run(self._store.apply, group, self.decide)

    async def _commit(self, group: list[Event]) -> None:
        began_us = self._clock.monotonic()
        apply = partial(self.run, self._store.apply, group, self.decide)
        steps, changes = await self._retry_until_room(apply)
        self.on_events_applied(steps, changes, began_us)

    def on_events_applied(self, steps: Sequence[Step], changes: StateDelta, began_us: int) -> None:
        """Publish and schedule what a transaction has made durable; `began_us` is monotonic."""
        self._instruments.observe_commit((self._clock.monotonic() - began_us) / SECOND_US)
        self.apply_committed(changes)
        planned = []
        for step in steps:
            message = step.message
            if step.conflict:
                self._instruments.count_status_conflict(self.state.campaigns[message.campaign_id].account)
            if step.planned:
                planned.append(Planned(message.row, message.campaign_id, message.revision, message.due_at))
            account = self._find_account(message.campaign_id)
            expected = step.webhook_first is not None and schedule.is_fresh(
                message.sent_at, message.accepted_at
            )
            if account is not None and expected:
                account.webhook_coverage.record_final(
                    self._clock.now(), webhook_first=bool(step.webhook_first)
                )
        self._schedule(planned)

    async def _retry_until_room(self, write: Callable[[], Awaitable[_T]]) -> _T:
        """Call `write` until the disk has room for it."""
        while True:
            try:
                written = await write()
            except StoreFull as error:
                if self._writable.is_set():
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
        self._on_written()

    def _on_written(self) -> None:
        """Let polling continue, unless too many events wait for their commit."""
        self._instruments.set_store_up(up=True)
        if self._events.qsize() < BACKLOG_EVENTS:
            self._writable.set()

    def _find_account(self, campaign_id: int) -> AccountState | None:
        return self.accounts.get(self.state.campaigns[campaign_id].account)

    def _schedule(self, planned: Iterable[Planned], *, not_before_us: int = 0) -> None:
        campaigns, policies = self.state.campaigns, self._campaigns.policies
        self.accounts.schedule(planned, campaigns, policies, self._clock, not_before_us)
