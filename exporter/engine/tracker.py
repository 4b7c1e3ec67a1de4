"""The one door: every change of state goes through here, in groups, and is shown only once durable.

`Tracker` owns the store (whose verbs it calls one at a time, off the event
loop), the state of what is committed, and each account's agenda and gate.
Whatever happens to the store, messages wait here: nothing is dropped, polling
holds still, and `/metrics` goes on showing the latest commit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Executor
from functools import partial
from typing import NamedTuple, ParamSpec, TypeVar

from exporter.config import Settings
from exporter.domain import schedule
from exporter.domain.aggregates import CommittedState, StateDelta
from exporter.domain.events import Event, Step
from exporter.domain.limiter import LimiterState
from exporter.domain.model import SECOND_US, Message, NewMessage, Policy, Source
from exporter.domain.snapshot import CampaignName, Kind, SeriesKey
from exporter.engine.accounts import Accounts, AccountState
from exporter.engine.campaigns import Campaigns
from exporter.engine.decisions import Decisions
from exporter.metrics.instruments import Instruments
from exporter.runtime.clock import Clock
from exporter.runtime.errors import StoreFull
from exporter.store import READ_TO_THE_END, Arrival, FileProgress, Planned, Store
from exporter.store.thread import run_in_store_thread

_P = ParamSpec("_P")
_T = TypeVar("_T")
_log = logging.getLogger("smsbat.tracker")

GROUP_EVENTS = 512
"""How many events share a commit at most."""
BACKLOG_EVENTS = 2_048
"""With this many events waiting for their commit, polling holds still."""
RETRY_FULL_US = SECOND_US


class Tracked(NamedTuple):
    """What became of a batch of ids."""

    accepted: int = 0
    duplicate: int = 0
    blocked: bool = False
    """No room to take it now; nothing of it was taken."""


class Tracker:
    """See the module's docstring; all methods belong to the event loop."""

    def __init__(
        self, store: Store, executor: Executor, settings: Settings, clock: Clock, instruments: Instruments
    ) -> None:
        """Take over an open `store`; `executor` runs its verbs and must have exactly one thread."""
        self._store = store
        self._executor = executor
        self._clock = clock
        self._instruments = instruments
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._open = asyncio.Event()
        self._campaigns = Campaigns(settings)
        self._kept: dict[str, LimiterState] = {}
        self.settings = settings
        self.accounts = Accounts()
        self.state = CommittedState(0)
        self.on_tracked: Callable[[Sequence[NewMessage]], None] = lambda _: None
        """Told of each batch of ids that is tracked now."""
        self.decisions = Decisions(self._campaigns, self._account_of, clock)

    async def start(self) -> str:
        """Read the state of earlier runs; returns a warning for the operator, or nothing."""
        restored = await self.run(self._store.restore)
        self.state = CommittedState(restored.created_at)
        self.state.restore(restored.campaigns, restored.values, restored.cohorts)
        currencies = {account.name: account.currency for account in self.settings.accounts}
        for campaign_id, name in restored.campaigns.items():
            self.register_campaign(campaign_id, name, currencies.get(name.account, ""))
        self._kept = {name: kept for name, (_, kept) in restored.accounts.items()}
        await self.configure(self.settings)
        self._open.set()
        return restored.warning

    async def configure(self, settings: Settings) -> None:
        """Follow new settings; waits while the disk has no room for new accounts and campaigns."""
        self.settings = settings
        self._campaigns.configure(settings)
        new = set()
        for configured in settings.accounts:
            name, rate = configured.name, configured.requests_per_second
            if name not in self.accounts:
                account_id = await self._until_room(partial(self.run, self._store.account_id, name))
                self.accounts.open(name, account_id, rate, self._kept.get(name, LimiterState()), self._clock)
                new.add(name)
            self.accounts[name].follow(rate, configured.currency)
        for campaign in settings.campaigns:
            if campaign.account is not None:
                named = CampaignName(campaign.account, campaign.name)
                await self._until_room(partial(self._campaign_id, named))
        await self._schedule_pending(new)

    async def _schedule_pending(self, accounts: AbstractSet[str]) -> None:
        """Put what earlier runs left pending on the agendas of accounts that this run has not had yet."""
        campaigns = {number for number, name in self.state.campaigns.items() if name.account in accounts}
        if not campaigns:
            return
        pieces = self._store.schedule()
        while planned := await self.run(next, pieces, None):
            theirs = [place for place in planned if place.campaign_id in campaigns]
            # The last request of the run before may have gone out just before its end.
            self._schedule(theirs, not_before_us=schedule.CLOSEST_US)

    async def run(self, verb: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call one of the store's verbs; once begun it is waited for, also when the caller is cancelled."""
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
        """Take in ids; when it returns unblocked they are durable, and so is how far their file is read.

        Raises StoreFull when there is no room on the disk; then nothing was taken.
        """
        by_account: dict[str, list[NewMessage]] = {}
        for message in batch:
            by_account.setdefault(message.account, []).append(message)
        # The file's progress goes with the last part, so that a crash between the parts repeats them.
        final = list(by_account)[-1] if by_account else self.settings.accounts[0].name
        file = FileProgress(file_key, READ_TO_THE_END if last else offset) if file_key else None
        accepted = 0
        for name in by_account or (final,):
            progress = file if name == final else None
            taken = await self._track(self.accounts[name], by_account.get(name, []), source, progress)
            if taken is None:
                return Tracked(blocked=True)
            accepted += taken
        return Tracked(accepted, len(batch) - accepted)

    async def _track(
        self, account: AccountState, batch: Sequence[NewMessage], source: Source, file: FileProgress | None
    ) -> int | None:
        now = self._clock.now()
        room = self.settings.limits.max_tracked - self.state.pending
        uptime_us = account.limiter.uptime_us(self._clock.monotonic())
        try:
            arrivals = await self._arrivals(account, batch, now)
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

    async def _arrivals(self, account: AccountState, batch: Sequence[NewMessage], now: int) -> list[Arrival]:
        campaigns: dict[str, tuple[int, Policy]] = {}
        for campaign in dict.fromkeys(message.campaign for message in batch):
            campaign_id = await self._campaign_id(CampaignName(account.name, campaign))
            campaigns[campaign] = (campaign_id, self._campaigns.policies[campaign_id])
        arrivals = []
        webhooks_reliable = account.webhook_coverage.webhooks_reliable(now)
        for message_id, campaign, _, told_sent_at in batch:
            campaign_id, policy = campaigns[campaign]
            sent_at = now if told_sent_at is None else told_sent_at
            due_at = schedule.first_look_at(policy, sent_at, now, webhooks_reliable=webhooks_reliable)
            arrivals.append(Arrival(campaign_id, message_id, sent_at, due_at))
        return arrivals

    async def progress(self, file_key: bytes) -> int:
        """How far a dropped file was read: see `Store.file_progress`."""
        return await self.run(self._store.file_progress, file_key)

    async def _campaign_id(self, wanted: CampaignName) -> int:
        """The id of a campaign, which begins with its first message."""
        known = self._campaigns.find(wanted)
        if known is not None:
            return known
        name = self._campaigns.bounded(wanted)
        if name != wanted:
            self._instruments.count_label_overflow("campaign")
            known = self._campaigns.find(name)
            if known is not None:
                return known
        account = self.accounts[name.account]
        campaign_id = await self.run(self._store.campaign_id, account.id, name.campaign)
        self.register_campaign(campaign_id, name, account.currency)
        return campaign_id

    def register_campaign(self, campaign_id: int, name: CampaignName, currency: str) -> None:
        """Know a campaign that the store has, and show its cost at 0 in the account's currency."""
        self.state.campaigns[campaign_id] = name
        self._campaigns.add(name, campaign_id)
        if currency:
            self.state.expect(SeriesKey(campaign_id, Kind.COST_NANOS, currency))

    # --- what became of them ----------------------------------------------------------------------

    async def claim(self, rows: Sequence[int]) -> list[Message]:
        """Read the messages that are about to be asked about."""
        return await self.run(self._store.claim, rows)

    def report(self, event: Event) -> None:
        """Hand over what a request brought; it is committed soon."""
        self._events.put_nowait(event)
        if self._events.qsize() >= BACKLOG_EVENTS:
            self._open.clear()

    async def wait_until_writable(self) -> None:
        """Wait while the store can't keep up, or can't be written at all."""
        await self._open.wait()

    async def commit_forever(self) -> None:
        """Commit what is reported, all that waits together."""
        while True:
            group = [await self._events.get()]
            while len(group) < GROUP_EVENTS and not self._events.empty():
                group.append(self._events.get_nowait())
            await self._commit(group)

    async def drain(self) -> None:
        """Commit what is still waiting, at the end."""
        group = [self._events.get_nowait() for _ in range(self._events.qsize())]
        if group:
            await self.run(self._store.apply, group, self.decisions.decide)

    async def _commit(self, group: list[Event]) -> None:
        began_us = self._clock.monotonic()
        apply = partial(self.run, self._store.apply, group, self.decisions.decide)
        steps, changes = await self._until_room(apply)
        self.on_events_applied(steps, changes, began_us)

    def on_events_applied(self, steps: Sequence[Step], changes: StateDelta, began_us: int) -> None:
        """Show and plan what a transaction, begun at that monotonic instant, has made durable."""
        self._instruments.observe_commit((self._clock.monotonic() - began_us) / SECOND_US)
        self.apply_committed(changes)
        planned = []
        for step in steps:
            message = step.message
            if step.conflict:
                self._instruments.count_status_conflict(self.state.campaigns[message.campaign_id].account)
            if step.planned:
                planned.append(Planned(message.row, message.campaign_id, message.revision, message.due_at))
            account = self._account_of(message.campaign_id)
            expected = step.webhook_first is not None and schedule.is_fresh(
                message.sent_at, message.accepted_at
            )
            if account is not None and expected:
                account.webhook_coverage.end(self._clock.now(), webhook_first=bool(step.webhook_first))
        self._schedule(planned)

    async def _until_room(self, write: Callable[[], Awaitable[_T]]) -> _T:
        """Write, however long the disk has no room for it."""
        while True:
            try:
                written = await write()
            except StoreFull as error:
                if self._open.is_set():
                    more = {"event": "store_full", "fields": {"code": error.code}}
                    _log.error("%s; polling holds still", error.message, extra=more)
                self._open.clear()
                self._instruments.set_store_up(up=False)
                await self._clock.sleep(RETRY_FULL_US)
            else:
                self._written()
                return written

    def apply_committed(self, changes: StateDelta) -> None:
        """Show what is durable now."""
        self.state.apply(changes)
        self._written()

    def _written(self) -> None:
        """Let polling go on, unless too much waits to be written."""
        self._instruments.set_store_up(up=True)
        if self._events.qsize() < BACKLOG_EVENTS:
            self._open.set()

    def _account_of(self, campaign_id: int) -> AccountState | None:
        return self.accounts.get(self.state.campaigns[campaign_id].account)

    def _schedule(self, planned: Iterable[Planned], *, not_before_us: int = 0) -> None:
        campaigns, policies = self.state.campaigns, self._campaigns.policies
        self.accounts.schedule(planned, campaigns, policies, self._clock, not_before_us)
