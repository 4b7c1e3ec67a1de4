"""Builds the overview, at most once a second, and outside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from exporter import __version__
from exporter.config import Problem, Settings
from exporter.config.units import parse_duration_us
from exporter.domain.limiter import CircuitState
from exporter.domain.model import SECOND_US
from exporter.domain.snapshot import HOUR_US, Kind, Snapshot
from exporter.engine.accounts import AccountState
from exporter.engine.hourly_totals import HOURS
from exporter.engine.tracker import Tracker
from exporter.metrics.instruments import Instruments
from exporter.metrics.operational_state import AccountOperation, OperationalState
from exporter.metrics.thresholds import DELIVERY_WINDOW
from exporter.runtime.clock import Clock
from exporter.status.campaigns import view_campaigns
from exporter.status.counter_history import CounterHistory
from exporter.status.health import HealthInputs, evaluate
from exporter.status.message import RequestView, view_request
from exporter.status.model import (
    AccountView,
    ConfigurationWarning,
    DropView,
    IntakeView,
    Overview,
    WebhookView,
)

MAX_AGE_SECONDS = 1.0
"""A younger overview is served again, so that any number of clients costs one per second."""
SHOWN_FAILURES = 20
RECENT_US = parse_duration_us(DELIVERY_WINDOW) or 0


@dataclass(frozen=True, slots=True)
class ProcessState:
    """What the process knows about itself."""

    unready: Callable[[], str]
    unhealthy: Callable[[], str]
    webhook_addresses: Callable[[], tuple[str, ...]]
    demo_speed: float | None = None
    warnings: Callable[[], Iterable[tuple[Path, Problem]]] = tuple
    """What should be fixed in the configuration files in force, when they were read."""


class _Operation(NamedTuple):
    """What only the event loop may read, as of one moment."""

    settings: Settings
    store_up: bool
    reload_successful: bool
    reloaded_seconds: float | None
    accounts: tuple[AccountView, ...]
    failures: tuple[RequestView, ...]
    failures_since: int
    """The time since when the failures of all accounts are complete."""
    drop: DropView
    intake: IntakeView
    webhook: WebhookView


@dataclass(eq=False)
class StatusBuilder:
    """All methods except `_build_overview` belong to the event loop."""

    tracker: Tracker
    clock: Clock
    instruments: Instruments
    process: ProcessState
    thread: Executor
    """Runs `_build_overview`; nothing else may use it."""

    def __post_init__(self) -> None:
        self._started_at = self.clock.now()
        self._snapshot = Snapshot(0, self._started_at, taken_at=self._started_at)
        self._day = CounterHistory(HOURS * HOUR_US, HOUR_US)
        self._recent = CounterHistory(RECENT_US, RECENT_US // 6)
        self._lock = asyncio.Lock()
        self._latest: tuple[float, Overview] | None = None

    def update(self, snapshot: Snapshot) -> None:
        """Use this snapshot from now on."""
        self._snapshot = snapshot
        self._day.record(snapshot)
        self._recent.record(snapshot)

    async def get_overview(self) -> Overview:
        """The overview, less than a second old."""
        loop = asyncio.get_running_loop()
        async with self._lock:
            if self._latest is None or loop.time() - self._latest[0] >= MAX_AGE_SECONDS:
                overview = await loop.run_in_executor(
                    self.thread,
                    self._build_overview,
                    self._snapshot,
                    self._read_operation(),
                    self.clock.now(),
                )
                self._latest = loop.time(), overview
            return self._latest[1]

    def _read_operation(self) -> _Operation:
        settings, state = self.tracker.settings, self.instruments.state
        known = self.tracker.accounts
        rates = {
            name: configured.requests_per_second
            for configured in settings.accounts
            if (name := configured.name) in known
        }
        accounts = [known[name] for name in rates]
        return _Operation(
            settings,
            state.store_up,
            state.reload_successful,
            state.reloaded_seconds,
            tuple(self._view_account(account, rates[account.name]) for account in accounts),
            self._list_failures(accounts),
            max((account.history.failures_since for account in accounts), default=self._started_at),
            _view_drop(settings, state),
            IntakeView(settings.intake is not None, dict(state.intake_messages)),
            self._view_webhook(settings, state),
        )

    def _list_failures(self, accounts: list[AccountState]) -> tuple[RequestView, ...]:
        names = self.tracker.state.campaigns
        failures = [
            view_request(account.name, request, names)
            for account in accounts
            for request in account.history.list_failures(SHOWN_FAILURES)
        ]
        latest = sorted(failures, key=lambda failure: failure.timestamp_seconds, reverse=True)
        return tuple(latest[:SHOWN_FAILURES])

    def _view_account(self, account: AccountState, configured_rate: float) -> AccountView:
        now, wall_now = self.clock.monotonic(), self.clock.now()
        limiter = account.limiter
        # A reload shows a new account to the tracker first.
        operation = self.instruments.state.accounts.get(account.name, AccountOperation())
        paused_us, flow = limiter.paused_until - now, limiter.circuit
        return AccountView(
            account=account.name,
            up=operation.up,
            flow=flow,
            last_success_timestamp_seconds=operation.last_success_seconds,
            requests_per_second=account.history.compute_rate_per_second(wall_now),
            allowed_requests_per_second=limiter.rate,
            configured_requests_per_second=configured_rate,
            paused_until_timestamp_seconds=(wall_now + paused_us) / SECOND_US if paused_us > 0 else None,
            next_probe_seconds=(
                None if flow is CircuitState.CLOSED else limiter.get_wait_us(now) / SECOND_US
            ),
            due={priority.word: count for priority, count in operation.polls_due.items()},
            lag_seconds={priority.word: lag for priority, lag in sorted(operation.poll_lag_seconds.items())},
            requests=dict(operation.requests),
        )

    def _build_overview(self, snapshot: Snapshot, operation: _Operation, now: int) -> Overview:
        """Runs in `thread`; everything that it reads is frozen, or only looked up."""
        day = self._day.compute_increase(snapshot)
        recent = self._recent.compute_increase(snapshot)
        windows = [window.label for window in operation.settings.windows]
        shown = tuple(view_campaigns(snapshot, day, recent, windows, self.tracker.hourly_totals))
        pending = sum(campaign.pending for campaign in shown)
        inputs = HealthInputs(
            now_seconds=now / SECOND_US,
            unready=self.process.unready(),
            stalled=bool(self.process.unhealthy()),
            store_up=operation.store_up,
            reload_refused=not operation.reload_successful,
            configuration_taken_seconds=operation.reloaded_seconds,
            accounts=operation.accounts,
            campaigns=shown,
            failures=operation.failures,
            drop=operation.drop,
            intake=operation.intake.enabled,
            patience=max(1.0, self.process.demo_speed or 1.0),
            tracked=sum(value for key, value in snapshot.values.items() if key.kind is Kind.TRACKED),
            pending=pending,
        )
        health = evaluate(inputs)
        return Overview(
            state=health.state,
            summary=health.summary,
            advice=health.advice,
            problems=health.problems,
            configuration_warnings=tuple(
                ConfigurationWarning(str(path), one.line, one.key, one.message, one.hint, one.code)
                for path, one in self.process.warnings()
            ),
            version=__version__,
            demo_speed=self.process.demo_speed,
            timestamp_seconds=now / SECOND_US,
            started_timestamp_seconds=self._started_at / SECOND_US,
            uptime_seconds=(now - self._started_at) / SECOND_US,
            counters_created_timestamp_seconds=snapshot.created_at / SECOND_US,
            counted_since_timestamp_seconds=day.since / SECOND_US,
            configuration_taken_timestamp_seconds=inputs.configuration_taken_seconds,
            pending=pending,
            max_tracked=operation.settings.limits.max_tracked,
            accounts=operation.accounts,
            campaigns=shown,
            failures=operation.failures,
            failures_since_timestamp_seconds=operation.failures_since / SECOND_US,
            drop=operation.drop,
            intake=operation.intake,
            webhook=operation.webhook,
        )

    def _view_webhook(self, settings: Settings, state: OperationalState) -> WebhookView:
        return WebhookView(
            enabled=settings.webhook is not None,
            mode=settings.webhook.mode if settings.webhook is not None else None,
            addresses=self.process.webhook_addresses(),
            events=dict(state.webhook_events),
        )


def _view_drop(settings: Settings, state: OperationalState) -> DropView:
    directories = [str(drop.directory) for drop in settings.drop]
    return DropView(
        directories={name: state.drop_up.get(name) for name in directories},
        blocked=state.drop_blocked,
        files=dict(state.drop_files),
        lines=dict(state.drop_lines),
    )
