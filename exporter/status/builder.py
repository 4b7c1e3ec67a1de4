"""Looks at everything at once, at most once a second, and off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import NamedTuple

from exporter import __version__
from exporter.config import Settings
from exporter.config.units import parse_duration_us
from exporter.dashboards.constants import DELIVERY_WINDOW
from exporter.domain.limiter import CircuitState
from exporter.domain.model import SECOND_US, Priority
from exporter.domain.snapshot import HOUR_US, HOURS, Kind, Snapshot
from exporter.engine.accounts import AccountState
from exporter.engine.tracker import Tracker
from exporter.metrics import catalogue
from exporter.metrics.catalogue import Family
from exporter.metrics.instruments import Instruments, RegistryValues
from exporter.runtime.clock import Clock
from exporter.status.campaigns import campaigns
from exporter.status.counter_history import Marks
from exporter.status.health import HealthInputs, evaluate
from exporter.status.message import RequestView
from exporter.status.model import AccountView, DropView, IntakeView, Overview, WebhookView
from exporter.status.requests import request_view

FRESH_SECONDS = 1.0
"""Whoever looks again sooner is shown the same: any number of them costs one view a second."""
SHOWN_FAILURES = 20
_READ = (
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
LATELY_US = parse_duration_us(DELIVERY_WINDOW) or 0


@dataclass(frozen=True, slots=True)
class ProcessState:
    """What the process knows of itself."""

    unready: Callable[[], str]
    unhealthy: Callable[[], str]
    webhook_addresses: Callable[[], tuple[str, ...]]
    demo_speed: float | None = None


class _AccountNow(NamedTuple):
    """What only the event loop may read of an account."""

    name: str
    configured_rate: float
    flow: CircuitState
    held_us: int
    per_second: float
    failures: list[RequestView]
    failures_since: int


@dataclass(eq=False)
class StatusBuilder:
    """All methods but `_overview` belong to the event loop."""

    tracker: Tracker
    clock: Clock
    instruments: Instruments
    surroundings: ProcessState
    thread: Executor
    """Makes the views; nothing else may use it."""

    def __post_init__(self) -> None:
        """Nothing has been shown."""
        self._started_at = self.clock.now()
        self._snapshot = Snapshot(0, self._started_at, taken_at=self._started_at)
        self._day = Marks(HOURS * HOUR_US, HOUR_US)
        self._lately = Marks(LATELY_US, LATELY_US // 6)
        self._turn = asyncio.Lock()
        self._made: tuple[float, Overview] | None = None

    def show(self, snapshot: Snapshot) -> None:
        """Look at this from now on."""
        self._snapshot = snapshot
        self._day.note(snapshot)
        self._lately.note(snapshot)

    async def overview(self) -> Overview:
        """How things are, or were less than a second ago."""
        loop = asyncio.get_running_loop()
        async with self._turn:
            if self._made is None or loop.time() - self._made[0] >= FRESH_SECONDS:
                accounts = self._accounts_now()
                made = await loop.run_in_executor(
                    self.thread, self._overview, self._snapshot, accounts, self.clock.now()
                )
                self._made = loop.time(), made
            return self._made[1]

    def _accounts_now(self) -> list[_AccountNow]:
        now, wall_now = self.clock.monotonic(), self.clock.now()
        found = []
        for configured in self.tracker.settings.accounts:
            account = self.tracker.accounts.get(configured.name)
            if account is not None:
                rate = configured.requests_per_second
                found.append(self._account_now(account, rate, now, wall_now))
        return found

    def _account_now(self, account: AccountState, rate: float, now: int, wall_now: int) -> _AccountNow:
        recent, names = account.history, self.tracker.state.campaigns
        return _AccountNow(
            account.name,
            rate,
            account.limiter.flow,
            account.limiter.wait_us(now),
            recent.per_second(wall_now),
            [request_view(account.name, request, names) for request in recent.failures(SHOWN_FAILURES)],
            recent.failures_since,
        )

    def _overview(self, snapshot: Snapshot, accounts_now: list[_AccountNow], now: int) -> Overview:
        """Runs in `thread`; everything that it reads is frozen, or locks."""
        settings = self.tracker.settings
        readings = self.instruments.read_values(*_READ)
        day = self._day.growth(snapshot)
        windows = [window.label for window in settings.windows]
        shown = tuple(campaigns(snapshot, day, self._lately.growth(snapshot), windows))
        accounts = tuple(_account(account, readings) for account in accounts_now)
        failures = [failure for account in accounts_now for failure in account.failures]
        latest = tuple(sorted(failures, key=lambda f: f.timestamp_seconds, reverse=True)[:SHOWN_FAILURES])
        drop = _drop(settings, readings)
        taken_at = readings.value(catalogue.CONFIG_LAST_RELOAD_SUCCESS)
        pending = sum(campaign.pending for campaign in shown)
        facts = HealthInputs(
            now_seconds=now / SECOND_US,
            unready=self.surroundings.unready(),
            stalled=bool(self.surroundings.unhealthy()),
            store_up=readings.value(catalogue.STORE_UP) != 0,
            reload_refused=readings.value(catalogue.CONFIG_LAST_RELOAD_SUCCESSFUL) == 0,
            configuration_taken_seconds=taken_at or None,
            accounts=accounts,
            campaigns=shown,
            failures=latest,
            drop=drop,
            intake=settings.intake is not None,
            patience=max(1.0, self.surroundings.demo_speed or 1.0),
            tracked=sum(value for key, value in snapshot.values.items() if key.kind is Kind.TRACKED),
            pending=pending,
        )
        words = evaluate(facts)
        return Overview(
            state=words.state,
            summary=words.summary,
            advice=words.advice,
            problems=words.problems,
            version=__version__,
            demo_speed=self.surroundings.demo_speed,
            timestamp_seconds=now / SECOND_US,
            started_timestamp_seconds=self._started_at / SECOND_US,
            uptime_seconds=(now - self._started_at) / SECOND_US,
            counters_created_timestamp_seconds=snapshot.created_at / SECOND_US,
            counted_since_timestamp_seconds=day.since / SECOND_US,
            configuration_taken_timestamp_seconds=facts.configuration_taken_seconds,
            pending=pending,
            max_tracked=settings.limits.max_tracked,
            accounts=accounts,
            campaigns=shown,
            failures=latest,
            failures_since_timestamp_seconds=_since(accounts_now, self._started_at) / SECOND_US,
            drop=drop,
            intake=IntakeView(facts.intake, readings.by_last_label(catalogue.INTAKE_MESSAGES)),
            webhook=self._webhook(settings, readings),
        )

    def _webhook(self, settings: Settings, readings: RegistryValues) -> WebhookView:
        return WebhookView(
            enabled=settings.webhook is not None,
            mode=settings.webhook.mode if settings.webhook is not None else None,
            addresses=self.surroundings.webhook_addresses(),
            events=readings.by_last_label(catalogue.WEBHOOK_EVENTS),
        )


def _since(accounts: list[_AccountNow], started_at: int) -> int:
    """From when on no failure of any account is forgotten."""
    return max((account.failures_since for account in accounts), default=started_at)


def _account(account: _AccountNow, readings: RegistryValues) -> AccountView:
    name = account.name

    def value(family: Family) -> float | None:
        return readings.value(family, name)

    up, allowed = value(catalogue.API_UP), value(catalogue.API_RATE_LIMIT)
    lags = {p.word: readings.value(catalogue.POLL_LAG, name, p.word) for p in Priority}
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
        due=readings.by_last_label(catalogue.POLLS_DUE, name),
        lag_seconds={priority: lag for priority, lag in lags.items() if lag is not None},
        requests=readings.by_last_label(catalogue.API_REQUESTS, name),
    )


def _drop(settings: Settings, readings: RegistryValues) -> DropView:
    states = {
        str(drop.directory): readings.value(catalogue.DROP_UP, str(drop.directory)) for drop in settings.drop
    }
    return DropView(
        directories={name: None if up is None else bool(up) for name, up in states.items()},
        blocked=bool(readings.value(catalogue.DROP_BLOCKED)),
        files=readings.by_last_label(catalogue.DROP_FILES),
        lines=readings.by_last_label(catalogue.DROP_LINES),
    )
