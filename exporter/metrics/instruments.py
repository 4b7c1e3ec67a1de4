"""What this process counts of itself: direct instruments on one explicit registry, declared in `families`.

Callers speak the domain ("a request to this account ended like that"); names,
labels and children stay in here. Everything whose labels are known beforehand
stands at 0 from the start, while a gauge that nobody has measured yet has no
sample: 0 would be a lie, and for an instant would read as 1970.

All methods belong to the event loop: what people are shown (`state`) changes with what is scraped.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable
from functools import cached_property

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from exporter import __version__
from exporter.config import Settings
from exporter.domain.limiter import CircuitState
from exporter.domain.model import Answer, Outcome, Priority, WebhookResult
from exporter.domain.states import Status
from exporter.metrics import catalogue
from exporter.metrics.catalogue import Family
from exporter.metrics.operational_state import (
    ENTRY_RESULTS,
    FILE_RESULTS,
    WEBHOOK_RESULTS,
    AccountOperation,
    OperationalState,
)

REJECT_REASONS = (
    "bad_campaign",
    "bad_characters",
    "bad_csv",
    "bad_json",
    "bad_sent_at",
    "empty",
    "encoding",
    "looks_like_phone",
    "not_sent",
    "too_long",
    "unknown_account",
)
OVERFLOWING_LABELS = ("campaign",)


class DropInstruments:
    """What the drop directories count; a word from outside the fixed sets begins a series of its own."""

    def __init__(self, registry: CollectorRegistry, state: OperationalState) -> None:
        """Begin at 0."""
        self._state = state
        self._files = _counter(catalogue.DROP_FILES, registry, FILE_RESULTS)
        self._lines = _counter(catalogue.DROP_LINES, registry, ENTRY_RESULTS)
        self._rejected = _counter(catalogue.DROP_LINES_REJECTED, registry, REJECT_REASONS)
        self._up = _gauge(catalogue.DROP_UP, registry)
        self._blocked = _gauge(catalogue.DROP_BLOCKED, registry)

    def file(self, result: str) -> None:
        """A file came to its end."""
        self._files.labels(result).inc()
        self._state.drop_files.add(result)

    def lines(self, result: str, count: int) -> None:
        """Entries were taken or refused."""
        self._lines.labels(result).inc(count)
        self._state.drop_lines.add(result, count)

    def rejected(self, reason: str, count: int) -> None:
        """Entries were refused for this reason."""
        self._rejected.labels(reason).inc(count)

    def up(self, directory: str, up: bool) -> None:  # noqa: FBT001 - two arguments, the second is in the name
        """Whether the configured directory could be read."""
        self._up.labels(directory).set(up)
        self._state.drop_up[directory] = up

    def blocked(self, blocked: bool) -> None:  # noqa: FBT001 - the only argument is in the name
        """Whether files wait because too much is tracked."""
        self._blocked.set(blocked)
        self._state.drop_blocked = blocked


class Instruments:
    """All instruments of the process."""

    def __init__(self) -> None:
        """Register everything; accounts come in with `configure`."""
        self.registry = CollectorRegistry(auto_describe=True)
        """Pass it on to whoever prints it; nothing else registers here."""
        self.state = OperationalState()
        """The same for people: `status` reads it."""
        registry = self.registry
        self._api = _Api(registry)
        self._accounts: dict[str, _Account] = {}
        self.drop = DropInstruments(registry, self.state)
        self._webhook_events = _counter(catalogue.WEBHOOK_EVENTS, registry, WEBHOOK_RESULTS)
        self._intake_messages = _counter(catalogue.INTAKE_MESSAGES, registry, ENTRY_RESULTS)
        self._label_overflow = _counter(catalogue.LABEL_OVERFLOW, registry, OVERFLOWING_LABELS)
        _gauge(catalogue.BUILD_INFO, registry).labels(__version__, platform.python_version()).set(1)
        self._config_last_reload_successful = _gauge(catalogue.CONFIG_LAST_RELOAD_SUCCESSFUL, registry)
        self._config_last_reload_success = _gauge(catalogue.CONFIG_LAST_RELOAD_SUCCESS, registry)
        self._store_up = _gauge(catalogue.STORE_UP, registry)
        self._commit_duration = _histogram(catalogue.STORE_COMMIT_DURATION, registry)
        self._event_loop_lag = _gauge(catalogue.EVENT_LOOP_LAG, registry)
        self._clock_steps = _counter(catalogue.CLOCK_STEPS, registry)
        self._log_dropped = _counter(catalogue.LOG_MESSAGES_DROPPED, registry)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)

    def configure(self, settings: Settings) -> None:
        """Show the accounts of `settings`, new ones at 0, and no longer those that are not in it."""
        names = {account.name for account in settings.accounts}
        for name in self._accounts.keys() - names:
            del self._accounts[name], self.state.accounts[name]
            self._api.forget(name)
        for name in sorted(names):
            self._account(name)

    # --- talking to the provider ------------------------------------------------------------------

    def request(self, account: str, outcome: Outcome, seconds: float) -> None:
        """A request ended."""
        series = self._account(account)
        series.requests[outcome].inc()
        series.request_duration.observe(seconds)
        series.operation.requests.add(outcome.value)

    def answered(self, account: str, answer: Answer) -> None:
        """What was odd about an answer that could be used."""
        if answer.status is Status.OTHER:
            self._account(account).unknown_statuses.inc()
        if answer.cost_invalid:
            self._account(account).invalid_costs.inc()

    def status_conflict(self, account: str) -> None:
        """A status contradicted an earlier final one."""
        self._account(account).status_conflicts.inc()

    def api_up(self, account: str, *, up: bool) -> None:
        """Whether the latest answer was usable."""
        series = self._account(account)
        series.up.set(up)
        series.operation.up = up

    def api_succeeded(self, account: str, at_seconds: float) -> None:
        """When the latest usable answer came."""
        series = self._account(account)
        series.last_success.set(at_seconds)
        series.operation.last_success_seconds = at_seconds

    def limiter(
        self, account: str, *, rate: float, paused_until_seconds: float, circuit: CircuitState
    ) -> None:
        """What the account may do now: requests per second, until when not (0: not paused), its circuit."""
        self._api.rate_limit.labels(account).set(rate)
        self._api.circuit_open.labels(account).set(circuit is CircuitState.OPEN)
        if paused_until_seconds:
            self._api.paused_until.labels(account).set(paused_until_seconds)
        else:
            self._api.paused_until.remove(account)

    def polls_due(self, account: str, priority: Priority, count: int) -> None:
        """How many messages wait for their turn."""
        self._api.polls_due.labels(account, priority.word).set(count)

    def poll_lag(self, account: str, priority: Priority, seconds: float) -> None:
        """How late the latest poll was."""
        series = self._account(account)
        series.poll_lag(priority).set(seconds)
        series.operation.poll_lag_seconds[priority] = seconds

    def lease_held(self, account: str, *, held: bool) -> None:
        """Whether this process owns the account."""
        self._api.lease_held.labels(account).set(held)

    # --- taking in --------------------------------------------------------------------------------

    def webhook(self, result: WebhookResult) -> None:
        """A webhook came."""
        self._webhook_events.labels(result.value).inc()
        self.state.webhook_events.add(result.value)

    def intake(self, result: str, count: int) -> None:
        """Posted entries were taken or refused; the result is one of ENTRY_RESULTS."""
        self._intake_messages.labels(result).inc(count)
        self.state.intake_messages.add(result, count)

    # --- the exporter itself ----------------------------------------------------------------------

    def label_overflow(self, label: str) -> None:
        """A message was counted under the stand-in for values that are too many."""
        self._label_overflow.labels(label).inc()

    def reloaded(self, at_seconds: float) -> None:
        """The configuration was read and taken at that time."""
        self._config_last_reload_successful.set(1)
        self._config_last_reload_success.set(at_seconds)
        self.state.reload_successful, self.state.reloaded_seconds = True, at_seconds

    def reload_failed(self) -> None:
        """The configuration has errors; the old one stays."""
        self._config_last_reload_successful.set(0)
        self.state.reload_successful = False

    def store_up(self, *, up: bool) -> None:
        """Whether durable state can be written."""
        self._store_up.set(up)
        self.state.store_up = up

    def committed(self, seconds: float) -> None:
        """A transaction took that long."""
        self._commit_duration.observe(seconds)

    def event_loop_lag(self, seconds: float) -> None:
        """How late the event loop was."""
        self._event_loop_lag.set(seconds)

    def clock_stepped(self) -> None:
        """The wall clock jumped."""
        self._clock_steps.inc()

    def log_dropped(self, count: int) -> None:
        """Log lines were lost."""
        self._log_dropped.inc(count)

    def _account(self, name: str) -> _Account:
        account = self._accounts.get(name)
        if account is None:
            operation = self.state.accounts[name] = AccountOperation()
            account = self._accounts[name] = _Account(self._api, name, operation)
        return account


class _Api:
    """The families that have a label `account`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.up = _gauge(catalogue.API_UP, registry)
        self.requests = _counter(catalogue.API_REQUESTS, registry)
        self.request_duration = _histogram(catalogue.API_REQUEST_DURATION, registry)
        self.last_success = _gauge(catalogue.API_LAST_SUCCESS, registry)
        self.rate_limit = _gauge(catalogue.API_RATE_LIMIT, registry)
        self.paused_until = _gauge(catalogue.API_PAUSED_UNTIL, registry)
        self.circuit_open = _gauge(catalogue.CIRCUIT_OPEN, registry)
        self.polls_due = _gauge(catalogue.POLLS_DUE, registry)
        self.poll_lag = _gauge(catalogue.POLL_LAG, registry)
        self.unknown_statuses = _counter(catalogue.UNKNOWN_STATUSES, registry)
        self.status_conflicts = _counter(catalogue.STATUS_CONFLICTS, registry)
        self.invalid_costs = _counter(catalogue.INVALID_COSTS, registry)
        self.lease_held = _gauge(catalogue.ACCOUNT_LEASE_HELD, registry)

    def forget(self, account: str) -> None:
        """Take an account's series away: a gauge that nobody sets any more would stand for ever."""
        for family in vars(self).values():
            family.remove_by_labels({"account": account})


class _Account:
    """One account's children, bound once: finding a child by its labels costs more than counting."""

    def __init__(self, api: _Api, name: str, operation: AccountOperation) -> None:
        self.operation = operation
        self._api = api
        self._name = name
        self.requests = {outcome: api.requests.labels(name, outcome) for outcome in Outcome}
        self.request_duration = api.request_duration.labels(name)
        self.unknown_statuses = api.unknown_statuses.labels(name)
        self.status_conflicts = api.status_conflicts.labels(name)
        self.invalid_costs = api.invalid_costs.labels(name)
        self._poll_lag: dict[Priority, Gauge] = {}

    # Binding a child begins its series at 0: these begin when there is something to say.

    @cached_property
    def up(self) -> Gauge:
        return self._api.up.labels(self._name)

    @cached_property
    def last_success(self) -> Gauge:
        return self._api.last_success.labels(self._name)

    def poll_lag(self, priority: Priority) -> Gauge:
        gauge = self._poll_lag.get(priority)
        if gauge is None:
            gauge = self._poll_lag[priority] = self._api.poll_lag.labels(self._name, priority.word)
        return gauge


def _counter(family: Family, registry: CollectorRegistry, words: Iterable[str] = ()) -> Counter:
    """A counter of the catalogue; with `words`, values of its only label that stand at 0 from the start."""
    counter = Counter(family.name, family.help, family.labels, unit=family.unit, registry=registry)
    for word in words:
        counter.labels(word)
    return counter


def _gauge(family: Family, registry: CollectorRegistry) -> Gauge:
    return Gauge(family.name, family.help, family.labels, unit=family.unit, registry=registry)


def _histogram(family: Family, registry: CollectorRegistry) -> Histogram:
    return Histogram(
        family.name,
        family.help,
        family.labels,
        unit=family.unit,
        registry=registry,
        buckets=family.buckets,
    )
