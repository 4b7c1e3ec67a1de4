"""Alerts about the provider's API, the pace of polls, drop directories and the exporter itself."""

from __future__ import annotations

from exporter.domain.model import Outcome
from exporter.metrics import catalogue
from tools.dashboards import constants, recording
from tools.dashboards.alert import ACCOUNT, COUNT, CRITICAL, DURATION, PER_ACCOUNT, SHARE, WARNING, Alert
from tools.dashboards.promql import aggregate_replicas, select


def build_provider() -> tuple[Alert, ...]:
    """Alerts about what the provider answers, and how late polls are."""
    return (_alert_key_revoked(), _alert_provider_failing(), _alert_stale(), _alert_behind())


def build_exporter() -> tuple[Alert, ...]:
    """Alerts about the exporter and what it reads."""
    return (_alert_drop_failing(), _alert_down(), _alert_absent())


def _sum_requests(outcome: Outcome, window: str) -> str:
    selector = select(catalogue.API_REQUESTS, f'outcome="{outcome}"')
    return aggregate_replicas("sum", f"increase({selector}[{window}])", "outcome")


def _alert_key_revoked() -> Alert:
    return Alert(
        "SmsbatKeyRevoked",
        CRITICAL,
        f"{_sum_requests(Outcome.UNAUTHORIZED, '5m')} >= {constants.REVOKED_MIN_REFUSALS}\n"
        f"unless {_sum_requests(Outcome.OK, '2m')} > 0",
        "{{ $labels.account }}: the provider refuses the key",
        f"The provider refused the key of {ACCOUNT} {COUNT} times in the last 5m and answered nothing: "
        "no status of its messages is learned. "
        "First step: put a valid key into the key file; it is read again by itself.",
        constants.EXPORTER,
        PER_ACCOUNT,
    )


def _alert_provider_failing() -> Alert:
    return Alert(
        "SmsbatProviderFailing",
        CRITICAL,
        f"{recording.FAILURES}\n  / ({recording.REQUESTS} > 0) > {constants.FAILING_SHARE}\n"
        f"and {recording.FAILURES} >= {constants.FAILING_MIN}",
        "{{ $labels.account }}: requests to the provider fail",
        f"In the last {constants.FAILING_WINDOW} {SHARE} of the requests for {ACCOUNT} failed. Statuses come "
        "late, and messages that reach their deadline unseen are in no delivery rate. "
        "First step: see on the dashboard how they end (timeout, server error, name, certificate).",
        constants.EXPORTER,
        PER_ACCOUNT,
        keeps_firing=True,
    )


def _alert_stale() -> Alert:
    # Over a window: after a restart the gauge is gone until the first usable answer.
    latest = aggregate_replicas("max", f"max_over_time({select(catalogue.API_LAST_SUCCESS)}[6h])")
    due = aggregate_replicas("sum", f"max_over_time({select(catalogue.POLLS_DUE)}[10m])", "priority")
    asked = aggregate_replicas("sum", f"increase({select(catalogue.API_REQUESTS)}[10m])", "outcome")
    return Alert(
        "SmsbatDataStale",
        CRITICAL,
        # A quiet night has no answers either: silence is bad only when work waits or tries fail.
        f"time() - {latest} > {constants.STALE_AFTER}\nand (\n{due} > 0\nor\n{asked} > 0\n)",
        "{{ $labels.account }}: no usable answer for a long time",
        f"The provider gave no usable answer for {ACCOUNT} for {DURATION} although there are messages "
        "to ask about: all delivery numbers stand still. "
        "First step: see on the dashboard whether requests fail, are paused, or are not made at all.",
        constants.EXPORTER,
        PER_ACCOUNT,
    )


def _alert_behind() -> Alert:
    window = constants.LAG_WINDOW
    late = "\nor\n".join(
        f"min_over_time({select(catalogue.POLL_LAG, by_priority)}[{window}]) > {limit}"
        for by_priority, limit in (
            (f'priority="{priority.word}"', limit) for priority, limit in constants.LAG_SECONDS.items()
        )
    )
    # The lag is that of the latest poll, and stays when nothing is due any more.
    waiting = f"min_over_time({select(catalogue.POLLS_DUE)}[{window}]) >= {constants.LAG_MIN_DUE}"
    return Alert(
        "SmsbatPollingBehind",
        WARNING,
        aggregate_replicas("max", f"\n(\n{late}\n)\nand {waiting}\n"),
        "{{ $labels.account }}: polls of {{ $labels.priority }} priority come late",
        f"Messages of {{{{ $labels.priority }}}} priority of {ACCOUNT} are looked at {DURATION} late, "
        f"for {window} or more. First step: compare the request rate with its limit on the dashboard, "
        "and ask the provider for more, or send campaigns slower.",
        constants.EXPORTER,
        (*PER_ACCOUNT, "priority"),
    )


def _alert_drop_failing() -> Alert:
    return Alert(
        "SmsbatDropDirectoryFailing",
        CRITICAL,
        f"max_over_time({select(catalogue.DROP_UP)}[5m]) == 0",
        "{{ $labels.instance }}: a drop directory can't be read",
        "The exporter {{ $labels.instance }} could not read the drop directory {{ $labels.directory }} "
        "for 5m: ids in it are not followed. "
        "First step: see that it exists, is mounted, and belongs to the exporter's user.",
        constants.EXPORTER,
        ("job", "instance", "directory"),
    )


def _alert_down() -> Alert:
    return Alert(
        "SmsbatExporterDown",
        CRITICAL,
        f'up{{job="{constants.JOB}"}} == 0',
        "{{ $labels.instance }}: the exporter does not answer",
        "Prometheus can't scrape the exporter {{ $labels.instance }}: nothing is known of any message. "
        "What it follows is on disk and is taken up again. "
        "First step: see whether the process runs, and its last log lines.",
        constants.EXPORTER,
        ("job", "instance"),
    )


def _alert_absent() -> Alert:
    return Alert(
        "SmsbatExporterAbsent",
        CRITICAL,
        # Only a plain selector: any other form loses the label `job`, and with it the inhibition.
        f'absent(up{{job="{constants.JOB}"}})',
        "no exporter is scraped",
        "Prometheus has no target with job {{ $labels.job }}: no alert about messages can fire. "
        "First step: look for the job in the configuration and in the service discovery of Prometheus.",
        constants.EXPORTER,
        ("job",),
    )
