"""The regular work between events: count mature cohorts, delete old messages, publish, check the clock."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from exporter.domain.aggregates import COHORT_US
from exporter.domain.model import SECOND_US, Priority
from exporter.domain.snapshot import Objective, Snapshot
from exporter.engine.tracker import Tracker
from exporter.metrics.instruments import Instruments
from exporter.runtime.clock import SteadyClock
from exporter.runtime.errors import StoreFull
from exporter.store import Store

_log = logging.getLogger("smsbat.maintenance")

HEARTBEAT_US = SECOND_US
PERSIST_EVERY_HEARTBEATS = 5
PRUNE_EVERY_HEARTBEATS = 3_600
GARBAGE_ROWS = 5_000
LAPSED_ROWS = 5_000
"""How many messages a heartbeat looks at, at most, for ones that were not polled at their deadline."""
LAPSE_GRACE_US = SECOND_US
"""For how long an answer that came in time may still wait for its commit."""
LONG_PAUSE_US = 60 * SECOND_US
"""Pauses from this length on are logged; shorter ones are normal."""
FILE_RECORD_LIFE_US = 30 * 86_400 * SECOND_US
_DAY_US = 86_400 * SECOND_US


@dataclass(eq=False)
class Maintenance:
    """Works on the tracker, its store and its state about once a second."""

    tracker: Tracker
    store: Store
    clock: SteadyClock
    instruments: Instruments
    show: Callable[[Snapshot], None]
    """Receives what `/metrics` shows from now on."""
    lines_dropped: Callable[[], int] = lambda: 0
    """How many log lines are lost so far."""
    notify_alive: Callable[[], None] = lambda: None
    """Called after each heartbeat, for a supervisor."""

    def __post_init__(self) -> None:
        self._published: tuple[int, int] | None = None
        self._cursor = 0
        self._lines_dropped = 0
        self._paused: dict[str, int] = {}
        """The end of each account's pause, as saved last."""
        self.heartbeat_at = self.clock.monotonic()
        """When the latest heartbeat ended."""

    async def run(self) -> None:
        """Run a heartbeat each second until cancelled."""
        heartbeats = 0
        while True:
            heartbeats += 1
            due_at = self.clock.monotonic() + HEARTBEAT_US
            await self.clock.sleep(HEARTBEAT_US)
            self.instruments.set_event_loop_lag(max(0, self.clock.monotonic() - due_at) / SECOND_US)
            await self.heartbeat(heartbeats)

    async def heartbeat(self, heartbeats: int) -> None:
        """Do the work of one second; a full disk only postpones it."""
        if self.clock.discipline():
            self.instruments.count_clock_step()
            message = "The wall clock jumped; it is ignored until it is stable again"
            _log.warning(message, extra={"event": "clock_step"})
        lines_dropped = self.lines_dropped()
        self.instruments.count_log_dropped(lines_dropped - self._lines_dropped)
        self._lines_dropped = lines_dropped
        try:
            paused = {name: account.limiter.paused_until for name, account in self.tracker.accounts.items()}
            if heartbeats % PERSIST_EVERY_HEARTBEATS == 0 or paused != self._paused:
                # A new pause is saved at once: after a crash, requests would go out during the pause.
                await self._persist()
                self._log_pauses(paused)
                self._paused = paused
            if heartbeats % PERSIST_EVERY_HEARTBEATS == 0:
                await self._collect_garbage()
            if heartbeats % PRUNE_EVERY_HEARTBEATS == 0:
                await self._prune()
            await self.tracker.judge_lapsed(self.clock.now() - LAPSE_GRACE_US, LAPSED_ROWS)
        except StoreFull:
            self.instruments.set_store_up(up=False)
        await self._update_account_gauges()
        await self.publish()
        self.heartbeat_at = self.clock.monotonic()
        self.notify_alive()

    async def publish(self) -> None:
        """Publish what has been committed since the last time."""
        now = self.clock.now()
        state = self.tracker.state
        current = (state.commit, now // COHORT_US)
        if current == self._published:
            return
        oldest = await self.tracker.run(self.store.find_oldest_pending, list(state.campaigns))
        windows = {window.label: window.duration_us for window in self.tracker.settings.windows}
        for _ in state.refresh_ratios(now, windows, self._objective):
            await self.clock.sleep(0)
        self.show(state.take_snapshot(now, windows, self._objective, oldest))
        self._published = current

    def _objective(self, campaign: str) -> Objective:
        policy = self.tracker.settings.policy_for(campaign)
        return Objective(policy.deadline_us, policy.objective_ratio)

    async def _persist(self) -> None:
        """Commit the verdicts of mature cohorts, and the state of the limiters."""
        now, wall_now = self.clock.monotonic(), self.clock.now()
        changes = self.tracker.state.mature_cohorts(
            wall_now, lambda campaign: self._objective(campaign).deadline_us
        )
        if not changes and not self.tracker.state.pending:
            return
        limiters = {a.id: a.limiter.export_state(now, wall_now) for a in self.tracker.accounts.values()}
        queue_time = self.tracker.queue_clock.export()
        await self.tracker.run(self.store.persist, changes, limiters, queue_time)
        if changes:
            self.tracker.apply_committed(changes)

    def _log_pauses(self, paused: Mapping[str, int]) -> None:
        """Log one line for each new long pause."""
        now = self.clock.monotonic()
        for name, until in paused.items():
            if until > self._paused.get(name, 0) and until - now >= LONG_PAUSE_US:
                fields = {"account": name, "seconds": (until - now) // SECOND_US}
                message = "The provider asked for a pause; nothing is sent until it is over"
                _log.warning(message, extra={"event": "account_paused", "fields": fields})

    async def _collect_garbage(self) -> None:
        collected = await self.tracker.run(
            self.store.collect_garbage,
            self._cursor,
            limit=GARBAGE_ROWS,
            now=self.clock.now(),
            retention_us=self.tracker.settings.storage.retention,
            tick=self.tracker.decide_tick,
        )
        self._cursor = collected.cursor
        if collected.changes:
            self.tracker.apply_committed(collected.changes)

    async def _prune(self) -> None:
        """Delete cohorts, file records and ids that are too old to be needed again."""
        now = self.clock.now()
        campaigns = self.tracker.state.campaigns.values()
        longest_us = max((self._objective(name.campaign).deadline_us for name in campaigns), default=0)
        window_us = max(window.duration_us for window in self.tracker.settings.windows)
        before = now - longest_us - window_us - _DAY_US
        await self.tracker.run(
            self.store.prune, now=now, cohorts_before=before, files_before=now - FILE_RECORD_LIFE_US
        )
        self.tracker.state.prune_cohorts(before)
        self.tracker.hourly_totals.prune(before)

    async def _update_account_gauges(self) -> None:
        account_ids = [account.id for account in self.tracker.accounts.values()]
        due = await self.tracker.run(self.store.count_due, account_ids, self.tracker.queue_clock.now())
        # Not the accounts that a reload removed: their series are gone.
        names = [configured.name for configured in self.tracker.settings.accounts]
        accounts = [account for name in names if (account := self.tracker.accounts.get(name))]
        now, wall_now = self.clock.monotonic(), self.clock.now()
        for account in accounts:
            for priority in Priority:
                # Those that are claimed are due in the store until the outcome of their poll is committed.
                waiting = due.get((account.id, priority), 0) - account.queue.count_claimed(priority)
                self.instruments.set_polls_due(account.name, priority, max(0, waiting))
            paused_us = max(0, account.limiter.paused_until - now)
            self.instruments.set_limiter_state(
                account.name,
                rate=account.limiter.rate,
                paused_until_seconds=(wall_now + paused_us) / SECOND_US if paused_us else 0.0,
                circuit=account.limiter.circuit,
            )
            # SQLite's lock keeps the state for this process alone, and so every account.
            self.instruments.set_lease_held(account.name, held=True)
