"""The state in words: what the exporter does, what is wrong, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from exporter.domain.limiter import CircuitState
from exporter.metrics.thresholds import LAG_MIN_DUE, LAG_SECONDS
from exporter.runtime.errors import Code, find_error_code
from exporter.status.formatting import (
    format_age,
    format_count,
    format_duration,
    format_list,
    format_number,
    format_share,
    format_time_of_day,
)
from exporter.status.message import RequestView
from exporter.status.model import AccountView, CampaignView, DropView, Problem, Severity, State

RATE_USED_UP = 0.8
"""Above this share of the rate, more requests need a higher rate."""


@dataclass(frozen=True, slots=True)
class HealthInputs:
    """Everything that determines the state."""

    now_seconds: float
    unready: str
    """Why clients should not rely on the process now (starting, stopping); empty while they may."""
    stalled: bool
    """Whether the internal loops make no progress."""
    store_up: bool
    reload_refused: bool
    configuration_taken_seconds: float | None
    accounts: tuple[AccountView, ...]
    campaigns: tuple[CampaignView, ...]
    failures: tuple[RequestView, ...]
    """The latest failed requests, newest first."""
    drop: DropView
    intake: bool
    """Whether ids can be posted."""
    patience: float
    """A factor for the limits of lag: in the demo, time passes faster than work can be done."""
    tracked: int
    """Ids accepted since the counters began."""
    pending: int


@dataclass(frozen=True, slots=True)
class HealthSummary:
    """The state, in a word and in sentences."""

    state: State
    summary: str
    advice: str
    problems: tuple[Problem, ...]


def evaluate(inputs: HealthInputs) -> HealthSummary:
    """The worst problem, or the work in progress."""
    problems = tuple(
        sorted(_find_problems(inputs), key=lambda problem: list(State).index(problem.code)),
    )
    if problems:
        worst = problems[0]
        return HealthSummary(worst.code, worst.summary, worst.advice, problems)
    state, summary, advice = _describe_work(inputs)
    return HealthSummary(state, summary, advice, ())


def _describe_work(inputs: HealthInputs) -> tuple[State, str, str]:
    """The state of a process without problems: code, summary and advice."""
    successes = [a.last_success_timestamp_seconds for a in inputs.accounts]
    latest = max((at for at in successes if at is not None), default=None)
    answered = (
        "" if latest is None else f"The last usable answer came {format_age(inputs.now_seconds - latest)}."
    )
    if not inputs.tracked:
        return State.NO_IDS, "Waiting for ids: none received yet.", _explain_input(inputs)
    if not inputs.pending:
        return State.QUIET, f"Quiet: every message is finished. {answered}".strip(), ""
    if latest is None:
        few = f"{format_count(inputs.pending, 'message is', 'messages are')} tracked"
        return State.WAITING, f"Waiting for the first answer: {few}.", ""
    return State.RECEIVING, f"Receiving. {answered}", ""


def _explain_input(inputs: HealthInputs) -> str:
    ways = [f"rename a file of ids into {directory}" for directory in list(inputs.drop.directories)[:1]]
    if inputs.intake:
        ways.append("post them to /api/v1/messages")
    ways = ways or ["add a drop directory, messages or intake to the configuration"]
    sentence = ", or ".join(ways)
    return f"{sentence[0].upper()}{sentence[1:]}."


def _find_problems(inputs: HealthInputs) -> Iterator[Problem]:
    yield from _check_process(inputs)
    for account in inputs.accounts:
        yield from _check_account(account, inputs)
    yield from _check_drop(inputs.drop)
    yield from _check_lag(inputs)
    yield from _check_objectives(inputs)


def _make_error(code: State, summary: str, advice: str, account: str | None = None) -> Problem:
    return Problem(code, Severity.ERROR, summary, advice, account)


def _make_warning(code: State, summary: str, advice: str, account: str | None = None) -> Problem:
    return Problem(code, Severity.WARNING, summary, advice, account)


def _check_process(inputs: HealthInputs) -> Iterator[Problem]:
    if inputs.unready == "stopping":
        yield _make_warning(
            State.STOPPING, "Stopping. All results so far are saved.", "Nothing to do: it stops by itself."
        )
    elif inputs.unready:
        yield _make_warning(State.STARTING, "Starting. The state is being loaded.", "Wait, then check again.")
    if inputs.stalled:
        advice = (
            "Restart the process; a supervisor that checks /-/healthy does so. All results so far are saved."
        )
        yield _make_error(
            State.STALLED,
            "The exporter is stuck: its internal loops made no progress for half a minute.",
            advice,
        )
    if not inputs.store_up:
        summary = "Paused: disk full. No polls are sent and no ids are accepted; nothing is lost."
        yield _make_error(
            State.STORE_FULL,
            summary,
            "Free space on the disk of storage.path. The exporter then continues by itself.",
        )
    if inputs.reload_refused:
        taken = inputs.configuration_taken_seconds
        since = "" if taken is None else f" of {format_time_of_day(taken)} UTC"
        summary = f"The new configuration has errors. The one{since} stays in force."
        advice = (
            "Run smsbat-exporter check-config on the file to see every problem. Fix them, then reload again."
        )
        yield _make_warning(State.CONFIGURATION_REFUSED, summary, advice)


def _check_account(account: AccountView, inputs: HealthInputs) -> Iterator[Problem]:
    name = account.account
    success = account.last_success_timestamp_seconds
    last = "No usable answer has come yet."
    if success is not None:
        last = f"The last usable answer came {format_age(inputs.now_seconds - success)}."
    probe = ""
    if account.next_probe_seconds is not None:
        probe = f" The next try is {_format_wait(account.next_probe_seconds)}."
    paused_until = account.paused_until_timestamp_seconds
    latest = next((failure for failure in inputs.failures if failure.account == name), None)
    outcome = f" ({latest.outcome})" if latest is not None else ""
    if account.flow is CircuitState.UNAUTHORIZED:
        what = f"The provider refuses the key of account {name}."
        if latest is not None and find_error_code(latest.outcome, latest.detail) is Code.CONFIG_KEY_FILE:
            what = f"The key of account {name} can't be used, so nothing is sent to the provider."
        summary = f"{what} {last}{probe}"
        advice = (
            "Write a valid key to the key file; it is used within seconds. No message is given up meanwhile."
        )
        yield _make_error(State.KEY_REFUSED, summary, advice, name)
    elif account.flow is CircuitState.OPEN:
        summary = f"The provider fails for account {name}{outcome}. {last}{probe}"
        advice = (
            "See the last failures below, and contact the provider. It is retried every 30 seconds; "
            "no message is given up meanwhile."
        )
        yield _make_error(State.PROVIDER_FAILING, summary, advice, name)
    elif paused_until is not None:
        left = format_duration(round(paused_until - inputs.now_seconds))
        summary = f"The provider asked account {name} to slow down: no polls for {left}. {last}"
        advice = (
            "Nothing, if it is rare. Else other programs use the same account's rate, or "
            "requests_per_second is more than was agreed."
        )
        yield _make_warning(State.RATE_LIMITED, summary, advice, name)
    elif account.up is False:
        summary = f"The latest answer for account {name} could not be used{outcome}. {last}"
        advice = "Nothing yet: it is retried. See the last failures below if this persists."
        yield _make_warning(State.ANSWER_UNUSABLE, summary, advice, name)


def _format_wait(seconds: float) -> str:
    return f"in {format_duration(round(seconds))}" if round(seconds) > 0 else "now"


def _check_drop(drop: DropView) -> Iterator[Problem]:
    for directory, up in drop.directories.items():
        if up is False:
            advice = (
                "Create it, and let the user of the exporter read and write it. "
                "It is checked every second or two."
            )
            yield _make_error(State.DROP_UNREADABLE, f"The drop directory {directory} can't be read.", advice)
    if drop.blocked:
        summary = "Dropped files wait: limits.max_tracked is reached."
        advice = "Wait until some messages are finished, or raise the limit. The files stay where they are."
        yield _make_warning(State.DROP_BLOCKED, summary, advice)


def _check_lag(inputs: HealthInputs) -> Iterator[Problem]:
    for account in inputs.accounts:
        if account.flow is not CircuitState.CLOSED or account.paused_until_timestamp_seconds is not None:
            continue
        late = [
            priority.word
            for priority, limit in LAG_SECONDS.items()
            if account.due.get(priority.word, 0) >= LAG_MIN_DUE.value
            and account.lag_seconds.get(priority.word, 0.0) > limit.value * inputs.patience
        ]
        if late:
            yield _describe_lag(account, late)


def _describe_lag(account: AccountView, priorities: list[str]) -> Problem:
    most = max(account.lag_seconds[priority] for priority in priorities)
    due = sum(account.due[priority] for priority in priorities)
    summary = (
        f"Account {account.account} is behind: {format_number(due)} messages of {format_list(priorities)} "
        f"priority are due, and the latest poll was {format_duration(round(most))} late."
    )
    allowed = account.allowed_requests_per_second
    if account.requests_per_second >= RATE_USED_UP * allowed:
        advice = (
            f"{allowed:.3g} requests a second are too few for this traffic: agree on more with the provider "
            "and raise requests_per_second, use webhooks, or longer intervals."
        )
    else:
        advice = (
            "The rate is not used up: answers are slow, so raise max_in_flight, or this machine is too busy: "
            "see smsbat_event_loop_lag_seconds and smsbat_store_commit_duration_seconds."
        )
    return _make_warning(State.BEHIND, summary, advice, account.account)


def _check_objectives(inputs: HealthInputs) -> Iterator[Problem]:
    missing = [campaign for campaign in inputs.campaigns if campaign.misses_objective]
    if missing:
        # A campaign that misses its objective has the share of the alert's window first.
        shares = [f"{campaign.campaign} {format_share(campaign.in_time[0].ratio)}" for campaign in missing]
        window = missing[0].in_time[0].window
        summary = f"Delivery is slow or failing. In time in the last {window}: {format_list(shares, most=3)}."
        advice = (
            "The exporter works. See on the dashboard Delivery which channel fails, and contact "
            "the provider. The runbook of SmsbatDeliveryRateLow has the steps."
        )
        yield _make_warning(State.OBJECTIVE_MISSED, summary, advice)
