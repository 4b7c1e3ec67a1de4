"""The process's own metrics: all of the catalogue, at 0 where 0 is true, and absent where it is unknown."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import Metric

from exporter import __version__
from exporter.config import Settings
from exporter.domain.limiter import CircuitState
from exporter.domain.model import Answer, Outcome, Priority, WebhookResult
from exporter.domain.states import Status
from exporter.ingest.drop.reporting import RESULTS, DropInstruments
from exporter.ingest.formats.fields import REASONS
from exporter.metrics import catalogue
from exporter.metrics.catalogue import Family, Type
from exporter.metrics.instruments import REJECT_REASONS, Instruments
from exporter.metrics.operational_state import FILE_RESULTS
from tests.config.files import check_text

FROM_THE_LIBRARY = ("process_", "python_")
UNKNOWN_AT_FIRST = [
    catalogue.API_UP,
    catalogue.API_LAST_SUCCESS,
    catalogue.API_RATE_LIMIT,
    catalogue.API_PAUSED_UNTIL,
    catalogue.CIRCUIT_OPEN,
    catalogue.POLLS_DUE,
    catalogue.POLL_LAG,
    catalogue.DROP_UP,
    catalogue.ACCOUNT_LEASE_HELD,
]


def make_settings(directory: Path, *names: str) -> Settings:
    """Settings of these accounts."""
    accounts = [
        f"  - {{name: {name}, base_url: 'https://{name}.example', auth: {{api_key_file: key}}}}\n"
        for name in names
    ]
    found = check_text(directory, "accounts:\n" + "".join(accounts)).settings
    assert found is not None
    return found


@pytest.fixture
def instruments(tmp_path: Path) -> Instruments:
    """Instruments of one account, `main`."""
    instruments = Instruments()
    instruments.configure(make_settings(tmp_path, "main"))
    return instruments


def collect_metrics(instruments: Instruments) -> dict[str, Metric]:
    """What the registry holds, by the names of the catalogue."""
    return {
        f"{metric.name}_total" if metric.type == "counter" else metric.name: metric
        for metric in instruments.registry.collect()
    }


def read_value(instruments: Instruments, family: Family, suffix: str = "", **labels: str) -> float | None:
    """One sample's value; None where there is no such sample."""
    return instruments.registry.get_sample_value(family.name + suffix, labels)


def list_samples(instruments: Instruments, account: str) -> set[str]:
    """Names of all samples that are labelled with this account."""
    return {
        sample.name
        for metric in instruments.registry.collect()
        for sample in metric.samples
        if sample.labels.get("account") == account
    }


def test_the_registry_holds_the_catalogue_and_nothing_else(instruments: Instruments) -> None:
    """Each own family once, with the catalogue's type, help and unit; the rest is the library's."""
    found = {
        name: m for name, m in collect_metrics(instruments).items() if not name.startswith(FROM_THE_LIBRARY)
    }
    assert sorted(found) == sorted(family.name for family in catalogue.SELF)
    for family in catalogue.SELF:
        metric = found[family.name]
        assert (metric.type, metric.documentation, metric.unit) == (family.type, family.help, family.unit)


def test_samples_carry_the_labels_of_the_catalogue(instruments: Instruments) -> None:
    """Counters that could be seen beforehand are seen; every label has its name from the catalogue."""
    for family in catalogue.SELF:
        labels = {frozenset(s.labels) - {"le"} for s in collect_metrics(instruments)[family.name].samples}
        assert labels <= {frozenset(family.labels)}
        assert labels or family in UNKNOWN_AT_FIRST


def test_process_and_python_metrics_are_there(instruments: Instruments) -> None:
    """On the same registry, since it is the only one."""
    names = collect_metrics(instruments).keys()
    assert {"process_resident_memory_bytes", "process_open_fds", "python_info"} <= names
    assert "python_gc_collections_total" in names


def test_every_outcome_of_a_configured_account_stands_at_zero(instruments: Instruments) -> None:
    """A series that is born at 1 is invisible to `increase()`."""
    for outcome in Outcome:
        assert read_value(instruments, catalogue.API_REQUESTS, account="main", outcome=outcome) == 0
    assert read_value(instruments, catalogue.API_REQUEST_DURATION, "_count", account="main") == 0
    for family in (catalogue.UNKNOWN_STATUSES, catalogue.STATUS_CONFLICTS, catalogue.INVALID_COSTS):
        assert read_value(instruments, family, account="main") == 0


def test_every_known_result_and_reason_stands_at_zero(instruments: Instruments) -> None:
    """The words that the callers use are those that start at 0."""
    assert FILE_RESULTS == RESULTS
    assert tuple(REASONS) == REJECT_REASONS
    for result in RESULTS:
        assert read_value(instruments, catalogue.DROP_FILES, result=result) == 0
    for reason in REASONS:
        assert read_value(instruments, catalogue.DROP_LINES_REJECTED, reason=reason) == 0
    for family in (catalogue.DROP_LINES, catalogue.INTAKE_MESSAGES):
        for result in ("accepted", "duplicate", "rejected"):
            assert read_value(instruments, family, result=result) == 0
    for result in ("accepted", "duplicate", "stale", "unknown"):
        assert read_value(instruments, catalogue.WEBHOOK_EVENTS, result=result) == 0
    assert read_value(instruments, catalogue.LABEL_OVERFLOW, label="campaign") == 0


@pytest.mark.parametrize("family", UNKNOWN_AT_FIRST, ids=lambda family: family.name)
def test_a_gauge_without_a_measurement_has_no_sample(instruments: Instruments, family: Family) -> None:
    """0 would be wrong, and as a timestamp would mean 1970."""
    assert collect_metrics(instruments)[family.name].samples == []


def test_a_request_is_counted_by_its_outcome_and_timed(instruments: Instruments) -> None:
    """In the account's own series."""
    instruments.count_request("main", Outcome.OK, 0.2)
    instruments.count_request("main", Outcome.TIMEOUT, 10.5)
    instruments.count_request("main", Outcome.OK, 0.3)
    assert read_value(instruments, catalogue.API_REQUESTS, account="main", outcome="ok") == 2
    assert read_value(instruments, catalogue.API_REQUESTS, account="main", outcome="timeout") == 1
    duration = catalogue.API_REQUEST_DURATION
    assert read_value(instruments, duration, "_bucket", account="main", le="0.25") == 1
    assert read_value(instruments, duration, "_bucket", account="main", le="10.0") == 2
    assert read_value(instruments, duration, "_sum", account="main") == pytest.approx(11.0)


def test_odd_answers_are_counted_by_what_is_odd(instruments: Instruments) -> None:
    """An answer that is fine counts nowhere here."""
    instruments.count_answer_faults("main", Answer(Status.DELIVERED))
    instruments.count_answer_faults("main", Answer(Status.OTHER, unknown_word="parked"))
    instruments.count_answer_faults("main", Answer(Status.OTHER, cost_invalid=True))
    instruments.count_status_conflict("main")
    assert read_value(instruments, catalogue.UNKNOWN_STATUSES, account="main") == 2
    assert read_value(instruments, catalogue.INVALID_COSTS, account="main") == 1
    assert read_value(instruments, catalogue.STATUS_CONFLICTS, account="main") == 1


def test_the_provider_is_up_as_of_its_last_answer(instruments: Instruments) -> None:
    """And when it last was stays."""
    instruments.set_api_up("main", up=True)
    instruments.set_api_last_success("main", 1_790_000_000.5)
    instruments.set_api_up("main", up=False)
    assert read_value(instruments, catalogue.API_UP, account="main") == 0
    assert read_value(instruments, catalogue.API_LAST_SUCCESS, account="main") == 1_790_000_000.5


def test_the_gate_shows_a_pause_only_while_there_is_one(instruments: Instruments) -> None:
    """The rate and the circuit are always shown."""
    instruments.set_limiter_state(
        "main", rate=2.5, paused_until_seconds=1_790_000_060.0, circuit=CircuitState.CLOSED
    )
    assert read_value(instruments, catalogue.API_RATE_LIMIT, account="main") == 2.5
    assert read_value(instruments, catalogue.API_PAUSED_UNTIL, account="main") == 1_790_000_060.0
    assert read_value(instruments, catalogue.CIRCUIT_OPEN, account="main") == 0
    instruments.set_limiter_state("main", rate=1.0, paused_until_seconds=0.0, circuit=CircuitState.OPEN)
    assert read_value(instruments, catalogue.API_PAUSED_UNTIL, account="main") is None
    assert read_value(instruments, catalogue.CIRCUIT_OPEN, account="main") == 1


def test_polls_are_shown_by_priority(instruments: Instruments) -> None:
    """How many wait, and how late the latest was."""
    instruments.set_polls_due("main", Priority.LOW, 12)
    instruments.set_poll_lag("main", Priority.HIGH, 0.25)
    assert read_value(instruments, catalogue.POLLS_DUE, account="main", priority="low") == 12
    assert read_value(instruments, catalogue.POLL_LAG, account="main", priority="high") == 0.25


def test_a_reload_brings_new_accounts_and_takes_old_ones_away(
    instruments: Instruments, tmp_path: Path
) -> None:
    """A gauge that is no longer set would keep its alert firing for ever; other accounts keep counting."""
    instruments.count_request("main", Outcome.OK, 0.1)
    instruments.configure(make_settings(tmp_path, "main", "other"))
    instruments.set_api_up("other", up=False)
    instruments.set_limiter_state("other", rate=1.0, paused_until_seconds=5.0, circuit=CircuitState.OPEN)
    instruments.set_poll_lag("other", Priority.LOW, 1)
    instruments.set_lease_held("other", held=True)
    assert list_samples(instruments, "other") > list_samples(instruments, "main")
    instruments.configure(make_settings(tmp_path, "main"))
    assert list_samples(instruments, "other") == set()
    assert read_value(instruments, catalogue.API_REQUESTS, account="main", outcome="ok") == 1


def test_the_drop_directory_counts_here(instruments: Instruments) -> None:
    """What it hands out is what the directory asks for."""
    drop: DropInstruments = instruments.drop
    drop.count_file("done")
    drop.count_lines("accepted", 100)
    drop.count_rejected("too_long", 3)
    drop.set_up("/drop", True)  # noqa: FBT003 - as the directory calls it
    drop.set_blocked(True)
    assert read_value(instruments, catalogue.DROP_FILES, result="done") == 1
    assert read_value(instruments, catalogue.DROP_LINES, result="accepted") == 100
    assert read_value(instruments, catalogue.DROP_LINES_REJECTED, reason="too_long") == 3
    assert read_value(instruments, catalogue.DROP_UP, directory="/drop") == 1
    assert read_value(instruments, catalogue.DROP_BLOCKED) == 1


def test_a_failed_reload_keeps_the_time_of_the_last_good_one(instruments: Instruments) -> None:
    """One gauge says that it failed, the other since when."""
    instruments.set_reload_succeeded(100.0)
    assert read_value(instruments, catalogue.CONFIG_LAST_RELOAD_SUCCESSFUL) == 1
    instruments.set_reload_failed()
    assert read_value(instruments, catalogue.CONFIG_LAST_RELOAD_SUCCESSFUL) == 0
    assert read_value(instruments, catalogue.CONFIG_LAST_RELOAD_SUCCESS) == 100.0


def test_the_rest_of_the_process_is_shown(instruments: Instruments) -> None:
    """Store, event loop, clock, log and labels."""
    instruments.set_store_up(up=True)
    instruments.observe_commit(0.02)
    instruments.set_event_loop_lag(0.5)
    instruments.count_clock_step()
    instruments.count_log_dropped(4)
    instruments.count_label_overflow("campaign")
    assert read_value(instruments, catalogue.STORE_UP) == 1
    assert read_value(instruments, catalogue.STORE_COMMIT_DURATION, "_bucket", le="0.025") == 1
    assert read_value(instruments, catalogue.STORE_COMMIT_DURATION, "_bucket", le="0.01") == 0
    assert read_value(instruments, catalogue.EVENT_LOOP_LAG) == 0.5
    assert read_value(instruments, catalogue.CLOCK_STEPS) == 1
    assert read_value(instruments, catalogue.LOG_MESSAGES_DROPPED) == 4
    assert read_value(instruments, catalogue.LABEL_OVERFLOW, label="campaign") == 1
    (build,) = collect_metrics(instruments)[catalogue.BUILD_INFO.name].samples
    assert (build.value, build.labels["version"]) == (1, __version__)


def test_histograms_have_the_buckets_of_the_catalogue(instruments: Instruments) -> None:
    """And +Inf."""
    for family in catalogue.SELF:
        if family.type is Type.HISTOGRAM:
            samples = collect_metrics(instruments)[family.name].samples
            bounds = [float(s.labels["le"]) for s in samples if s.name.endswith("_bucket")]
            assert bounds == [*family.buckets, float("inf")]


def test_people_are_shown_what_a_scrape_shows(instruments: Instruments) -> None:
    """The plain state and the registry change together; what was never measured is in neither."""
    state, account = instruments.state, instruments.state.accounts["main"]
    assert (account.up, account.last_success_seconds, account.poll_lag_seconds) == (None, None, {})
    assert (state.reloaded_seconds, state.drop_up) == (None, {})
    instruments.count_request("main", Outcome.TIMEOUT, 1.0)
    instruments.set_api_up("main", up=True)
    instruments.set_api_last_success("main", 7.0)
    instruments.set_polls_due("main", Priority.LOW, 12)
    instruments.set_poll_lag("main", Priority.HIGH, 3.0)
    instruments.count_webhook(WebhookResult.STALE)
    instruments.count_intake("rejected", 2)
    instruments.drop.count_file("a new word")
    instruments.drop.count_lines("accepted", 4)
    instruments.drop.set_up("/drop", False)  # noqa: FBT003 - as the directory calls it
    instruments.drop.set_blocked(True)
    instruments.set_store_up(up=True)
    instruments.set_reload_succeeded(100.0)
    for family, label, totals in (
        (catalogue.API_REQUESTS, "outcome", account.requests),
        (catalogue.WEBHOOK_EVENTS, "result", state.webhook_events),
        (catalogue.INTAKE_MESSAGES, "result", state.intake_messages),
        (catalogue.DROP_FILES, "result", state.drop_files),
        (catalogue.DROP_LINES, "result", state.drop_lines),
    ):
        shown = {
            sample.labels[label]: sample.value
            for sample in collect_metrics(instruments)[family.name].samples
            if sample.name == family.name
        }
        assert shown == totals
        assert any(totals.values())
    assert read_value(instruments, catalogue.API_UP, account="main") == account.up
    assert read_value(instruments, catalogue.API_LAST_SUCCESS, account="main") == account.last_success_seconds
    due = account.polls_due[Priority.LOW]
    assert read_value(instruments, catalogue.POLLS_DUE, account="main", priority="low") == due == 12
    lag_seconds = account.poll_lag_seconds[Priority.HIGH]
    assert read_value(instruments, catalogue.POLL_LAG, account="main", priority="high") == lag_seconds
    assert read_value(instruments, catalogue.DROP_UP, directory="/drop") == state.drop_up["/drop"]
    assert read_value(instruments, catalogue.DROP_BLOCKED) == state.drop_blocked
    assert read_value(instruments, catalogue.STORE_UP) == state.store_up
    assert read_value(instruments, catalogue.CONFIG_LAST_RELOAD_SUCCESS) == state.reloaded_seconds
    assert read_value(instruments, catalogue.CONFIG_LAST_RELOAD_SUCCESSFUL) == state.reload_successful
    instruments.set_reload_failed()
    assert (state.reload_successful, state.reloaded_seconds) == (False, 100.0)
