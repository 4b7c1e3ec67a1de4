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
from exporter.domain.model import SECOND_US, Priority
from exporter.domain.snapshot import HOUR_US, HOURS, Kind, Snapshot
from exporter.engine.accounts import AccountState
from exporter.engine.tracker import Tracker
from exporter.metrics import catalogue
from exporter.metrics.catalogue import Family
from exporter.metrics.instruments import Instruments, RegistryValues
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
_FAMILIES = (
    catalogue.API_UP,
    catalogue.API_REQUESTS,
    catalogue.API_LAST_SUCCESS,
    catalogue.API_RATE_LIMIT,
    catalogue.API_PAUSED_UNTIL,
    catalogue.POLLS_DUE,
    catalogue.POLL_LAG,
    catalogue.DROP_FILES,
    catalogue.DROP_LINES,
    catalogue.DROP_UP,
    catalogue.DROP_BLOCKED,
    catalogue.WEBHOOK_EVENTS,
    catalogue.INTAKE_MESSAGES,
    catalogue.CONFIG_LAST_RELOAD_SUCCESSFUL,
    catalogue.CONFIG_LAST_RELOAD_SUCCESS,
    catalogue.STORE_UP,
)
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


class _AccountNow(NamedTuple):
    """The state of an account that only the event loop may read."""

    name: str
    configured_rate: float
    flow: CircuitState
    held_us: int
    per_second: float
    failures: list[RequestView]
    failures_since: int


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
                accounts = self._read_accounts()
                overview = await loop.run_in_executor(
                    self.thread, self._build_overview, self._snapshot, accounts, self.clock.now()
                )
                self._latest = loop.time(), overview
            return self._latest[1]

    def _read_accounts(self) -> list[_AccountNow]:
        now, wall_now = self.clock.monotonic(), self.clock.now()
        found = []
        for configured in self.tracker.settings.accounts:
            account = self.tracker.accounts.get(configured.name)
            if account is not None:
                rate = configured.requests_per_second
                found.append(self._read_account(account, rate, now, wall_now))
        return found

    def _read_account(self, account: AccountState, rate: float, now: int, wall_now: int) -> _AccountNow:
        history, names = account.history, self.tracker.state.campaigns
        return _AccountNow(
            account.name,
            rate,
            account.limiter.circuit,
            account.limiter.get_wait_us(now),
            history.compute_rate_per_second(wall_now),
            [view_request(account.name, request, names) for request in history.list_failures(SHOWN_FAILURES)],
            history.failures_since,
        )

    def _build_overview(self, snapshot: Snapshot, accounts_now: list[_AccountNow], now: int) -> Overview:
        """Runs in `thread`; everything that it reads is frozen or locked."""
        settings = self.tracker.settings
        values = self.instruments.read_values(*_FAMILIES)
        day = self._day.compute_increase(snapshot)
        windows = [window.label for window in settings.windows]
        shown = tuple(view_campaigns(snapshot, day, self._recent.compute_increase(snapshot), windows))
        accounts = tuple(_view_account(account, values) for account in accounts_now)
        failures = [failure for account in accounts_now for failure in account.failures]
        latest = tuple(sorted(failures, key=lambda f: f.timestamp_seconds, reverse=True)[:SHOWN_FAILURES])
        drop = _view_drop(settings, values)
        taken_at = values.value(catalogue.CONFIG_LAST_RELOAD_SUCCESS)
        pending = sum(campaign.pending for campaign in shown)
        inputs = HealthInputs(
            now_seconds=now / SECOND_US,
            unready=self.process.unready(),
            stalled=bool(self.process.unhealthy()),
            store_up=values.value(catalogue.STORE_UP) != 0,
            reload_refused=values.value(catalogue.CONFIG_LAST_RELOAD_SUCCESSFUL) == 0,
            configuration_taken_seconds=taken_at or None,
            accounts=accounts,
            campaigns=shown,
            failures=latest,
            drop=drop,
            intake=settings.intake is not None,
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
            max_tracked=settings.limits.max_tracked,
            accounts=accounts,
            campaigns=shown,
            failures=latest,
            failures_since_timestamp_seconds=_find_failures_since(accounts_now, self._started_at) / SECOND_US,
            drop=drop,
            intake=IntakeView(inputs.intake, values.by_last_label(catalogue.INTAKE_MESSAGES)),
            webhook=self._view_webhook(settings, values),
        )

    def _view_webhook(self, settings: Settings, values: RegistryValues) -> WebhookView:
        return WebhookView(
            enabled=settings.webhook is not None,
            mode=settings.webhook.mode if settings.webhook is not None else None,
            addresses=self.process.webhook_addresses(),
            events=values.by_last_label(catalogue.WEBHOOK_EVENTS),
        )


def _find_failures_since(accounts: list[_AccountNow], started_at: int) -> int:
    """The time since when the failures of all accounts are complete."""
    return max((account.failures_since for account in accounts), default=started_at)


def _view_account(account: _AccountNow, values: RegistryValues) -> AccountView:
    name = account.name

    def value(family: Family) -> float | None:
        return values.value(family, name)

    up, allowed = value(catalogue.API_UP), value(catalogue.API_RATE_LIMIT)
    lags = {p.word: values.value(catalogue.POLL_LAG, name, p.word) for p in Priority}
    return AccountView(
        account=name,
        up=None if up is None else bool(up),
        flow=account.flow,
        last_success_timestamp_seconds=value(catalogue.API_LAST_SUCCESS),
        requests_per_second=account.per_second,
        allowed_requests_per_second=account.configured_rate if allowed is None else allowed,
        configured_requests_per_second=account.configured_rate,
        paused_until_timestamp_seconds=value(catalogue.API_PAUSED_UNTIL),
        next_probe_seconds=None if account.flow is CircuitState.CLOSED else account.held_us / SECOND_US,
        due=values.by_last_label(catalogue.POLLS_DUE, name),
        lag_seconds={priority: lag for priority, lag in lags.items() if lag is not None},
        requests=values.by_last_label(catalogue.API_REQUESTS, name),
    )


def _view_drop(settings: Settings, values: RegistryValues) -> DropView:
    states = {
        str(drop.directory): values.value(catalogue.DROP_UP, str(drop.directory)) for drop in settings.drop
    }
    return DropView(
        directories={name: None if up is None else bool(up) for name, up in states.items()},
        blocked=bool(values.value(catalogue.DROP_BLOCKED)),
        files=values.by_last_label(catalogue.DROP_FILES),
        lines=values.by_last_label(catalogue.DROP_LINES),
    )
