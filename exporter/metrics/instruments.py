"""What this process counts of itself: direct instruments on one explicit registry, declared in `catalogue`.

Callers speak of the domain ("a request to this account had this outcome");
names, labels and children stay in here. Everything whose labels are known
beforehand stands at 0 from the start, while a gauge without a measurement has
no sample: 0 would be wrong, and as a timestamp would mean 1970.

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
    """The counters of the drop directories; a word outside the fixed sets starts a new series."""

    def __init__(self, registry: CollectorRegistry, state: OperationalState) -> None:
        self._state = state
        self._files = _make_counter(catalogue.DROP_FILES, registry, FILE_RESULTS)
        self._lines = _make_counter(catalogue.DROP_LINES, registry, ENTRY_RESULTS)
        self._rejected = _make_counter(catalogue.DROP_LINES_REJECTED, registry, REJECT_REASONS)
        self._up = _make_gauge(catalogue.DROP_UP, registry)
        self._blocked = _make_gauge(catalogue.DROP_BLOCKED, registry)

    def count_file(self, result: str) -> None:
        """Count a file that was read or passed over."""
        self._files.labels(result).inc()
        self._state.drop_files.add(result)

    def count_lines(self, result: str, count: int) -> None:
        """Count entries; the result is one of ENTRY_RESULTS."""
        self._lines.labels(result).inc(count)
        self._state.drop_lines.add(result, count)

    def count_rejected(self, reason: str, count: int) -> None:
        """Count entries that were refused for this reason."""
        self._rejected.labels(reason).inc(count)

    def set_up(self, directory: str, up: bool) -> None:  # noqa: FBT001 - two arguments, the second is in the name
        """Show whether the configured directory could be read."""
        self._up.labels(directory).set(up)
        self._state.drop_up[directory] = up

    def set_blocked(self, blocked: bool) -> None:  # noqa: FBT001 - the only argument is in the name
        """Show whether files wait because too many messages are tracked."""
        self._blocked.set(blocked)
        self._state.drop_blocked = blocked


class Instruments:
    """All instruments of the process."""

    def __init__(self) -> None:
        """Register everything; accounts come in with `configure`."""
        self.registry = CollectorRegistry(auto_describe=True)
        """For the collector; nothing else registers here."""
        self.state = OperationalState()
        """The same for people: `status` reads it."""
        registry = self.registry
        self._api = _Api(registry)
        self._accounts: dict[str, _Account] = {}
        self.drop = DropInstruments(registry, self.state)
        self._webhook_events = _make_counter(catalogue.WEBHOOK_EVENTS, registry, WEBHOOK_RESULTS)
        self._intake_messages = _make_counter(catalogue.INTAKE_MESSAGES, registry, ENTRY_RESULTS)
        self._label_overflow = _make_counter(catalogue.LABEL_OVERFLOW, registry, OVERFLOWING_LABELS)
        _make_gauge(catalogue.BUILD_INFO, registry).labels(__version__, platform.python_version()).set(1)
        self._config_last_reload_successful = _make_gauge(catalogue.CONFIG_LAST_RELOAD_SUCCESSFUL, registry)
        self._config_last_reload_success = _make_gauge(catalogue.CONFIG_LAST_RELOAD_SUCCESS, registry)
        self._store_up = _make_gauge(catalogue.STORE_UP, registry)
        self._commit_duration = _make_histogram(catalogue.STORE_COMMIT_DURATION, registry)
        self._event_loop_lag = _make_gauge(catalogue.EVENT_LOOP_LAG, registry)
        self._clock_steps = _make_counter(catalogue.CLOCK_STEPS, registry)
        self._log_dropped = _make_counter(catalogue.LOG_MESSAGES_DROPPED, registry)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)

    def configure(self, settings: Settings) -> None:
        """Show the accounts of `settings`, new ones at 0, and remove the others."""
        names = {account.name for account in settings.accounts}
        for name in self._accounts.keys() - names:
            del self._accounts[name], self.state.accounts[name]
            self._api.remove_account(name)
        for name in sorted(names):
            self._find_account(name)

    # --- requests to the provider -----------------------------------------------------------------

    def count_request(self, account: str, outcome: Outcome, seconds: float) -> None:
        """Count a finished request."""
        series = self._find_account(account)
        series.requests[outcome].inc()
        series.request_duration.observe(seconds)
        series.operation.requests.add(outcome.value)

    def count_answer_faults(self, account: str, answer: Answer) -> None:
        """Count what was wrong with a usable answer."""
        if answer.status is Status.OTHER:
            self._find_account(account).unknown_statuses.inc()
        if answer.cost_invalid:
            self._find_account(account).invalid_costs.inc()

    def count_status_conflict(self, account: str) -> None:
        """Count a status that contradicts an earlier final one."""
        self._find_account(account).status_conflicts.inc()

    def set_api_up(self, account: str, *, up: bool) -> None:
        """Show whether the latest answer was usable."""
        series = self._find_account(account)
        series.up.set(up)
        series.operation.up = up

    def set_api_last_success(self, account: str, at_seconds: float) -> None:
        """Show when the latest usable answer came."""
        series = self._find_account(account)
        series.last_success.set(at_seconds)
        series.operation.last_success_seconds = at_seconds

    def set_limiter_state(
        self, account: str, *, rate: float, paused_until_seconds: float, circuit: CircuitState
    ) -> None:
        """Show what the account may do now: its rate, the end of its pause (0: not paused), its circuit."""
        self._api.rate_limit.labels(account).set(rate)
        self._api.circuit_open.labels(account).set(circuit is CircuitState.OPEN)
        if paused_until_seconds:
            self._api.paused_until.labels(account).set(paused_until_seconds)
        else:
            self._api.paused_until.remove(account)

    def set_polls_due(self, account: str, priority: Priority, count: int) -> None:
        """Show how many messages are due."""
        self._api.polls_due.labels(account, priority.word).set(count)
        self._find_account(account).operation.polls_due[priority] = count

    def set_poll_lag(self, account: str, priority: Priority, seconds: float) -> None:
        """Show how late the latest poll was."""
        series = self._find_account(account)
        series.poll_lag(priority).set(seconds)
        series.operation.poll_lag_seconds[priority] = seconds

    def set_lease_held(self, account: str, *, held: bool) -> None:
        """Show whether this process owns the account."""
        self._api.lease_held.labels(account).set(held)

    # --- ingestion --------------------------------------------------------------------------------

    def count_webhook(self, result: WebhookResult) -> None:
        """Count a webhook."""
        self._webhook_events.labels(result.value).inc()
        self.state.webhook_events.add(result.value)

    def count_intake(self, result: str, count: int) -> None:
        """Count posted entries; the result is one of ENTRY_RESULTS."""
        self._intake_messages.labels(result).inc(count)
        self.state.intake_messages.add(result, count)

    # --- the exporter itself ----------------------------------------------------------------------

    def count_label_overflow(self, label: str) -> None:
        """Count a message that is counted under the substitute for too many values of this label."""
        self._label_overflow.labels(label).inc()

    def set_reload_succeeded(self, at_seconds: float) -> None:
        """Show that the configuration was read at that time, without an error."""
        self._config_last_reload_successful.set(1)
        self._config_last_reload_success.set(at_seconds)
        self.state.reload_successful, self.state.reloaded_seconds = True, at_seconds

    def set_reload_failed(self) -> None:
        """Show that the configuration has errors and the old one stays."""
        self._config_last_reload_successful.set(0)
        self.state.reload_successful = False

    def set_store_up(self, *, up: bool) -> None:
        """Show whether durable state can be written."""
        self._store_up.set(up)
        self.state.store_up = up

    def observe_commit(self, seconds: float) -> None:
        """Count a transaction and its duration."""
        self._commit_duration.observe(seconds)

    def set_event_loop_lag(self, seconds: float) -> None:
        """Show how late the event loop was."""
        self._event_loop_lag.set(seconds)

    def count_clock_step(self) -> None:
        """Count a jump of the wall clock."""
        self._clock_steps.inc()

    def count_log_dropped(self, count: int) -> None:
        """Count lost log lines."""
        self._log_dropped.inc(count)

    def _find_account(self, name: str) -> _Account:
        account = self._accounts.get(name)
        if account is None:
            operation = self.state.accounts[name] = AccountOperation()
            account = self._accounts[name] = _Account(self._api, name, operation)
        return account


class _Api:
    """The families that have a label `account`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.up = _make_gauge(catalogue.API_UP, registry)
        self.requests = _make_counter(catalogue.API_REQUESTS, registry)
        self.request_duration = _make_histogram(catalogue.API_REQUEST_DURATION, registry)
        self.last_success = _make_gauge(catalogue.API_LAST_SUCCESS, registry)
        self.rate_limit = _make_gauge(catalogue.API_RATE_LIMIT, registry)
        self.paused_until = _make_gauge(catalogue.API_PAUSED_UNTIL, registry)
        self.circuit_open = _make_gauge(catalogue.CIRCUIT_OPEN, registry)
        self.polls_due = _make_gauge(catalogue.POLLS_DUE, registry)
        self.poll_lag = _make_gauge(catalogue.POLL_LAG, registry)
        self.unknown_statuses = _make_counter(catalogue.UNKNOWN_STATUSES, registry)
        self.status_conflicts = _make_counter(catalogue.STATUS_CONFLICTS, registry)
        self.invalid_costs = _make_counter(catalogue.INVALID_COSTS, registry)
        self.lease_held = _make_gauge(catalogue.ACCOUNT_LEASE_HELD, registry)

    def remove_account(self, account: str) -> None:
        """Remove an account's series: a gauge that is no longer set would keep its value for ever."""
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

    # Binding a child starts its series at 0: these start with their first measurement.

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


def _make_counter(family: Family, registry: CollectorRegistry, words: Iterable[str] = ()) -> Counter:
    """A counter of the catalogue; with `words`, those values of its only label start at 0."""
    counter = Counter(family.name, family.help, family.labels, unit=family.unit, registry=registry)
    for word in words:
        counter.labels(word)
    return counter


def _make_gauge(family: Family, registry: CollectorRegistry) -> Gauge:
    return Gauge(family.name, family.help, family.labels, unit=family.unit, registry=registry)


def _make_histogram(family: Family, registry: CollectorRegistry) -> Histogram:
    return Histogram(
        family.name,
        family.help,
        family.labels,
        unit=family.unit,
        registry=registry,
        buckets=family.buckets,
    )
