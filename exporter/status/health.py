"""What goes on, and what is wrong and what to do about it, in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from exporter.dashboards.constants import LAG_MIN_DUE, LAG_SECONDS
from exporter.domain.limiter import CircuitState
from exporter.runtime.errors import Code, code_of
from exporter.status.formatting import ago, counted, listed, number, share, span, time_of_day
from exporter.status.message import RequestView
from exporter.status.model import AccountView, CampaignView, DropView, Problem, Severity, State

RATE_USED_UP = 0.8
"""With this share of the rate used, more requests would need more of it."""


@dataclass(frozen=True, slots=True)
class HealthInputs:
    """What the state follows from."""

    now_seconds: float
    unready: str
    """Why nobody should rely on the process now (starting, stopping), or ""."""
    stalled: bool
    """Whether the loops stand still."""
    store_up: bool
    reload_refused: bool
    configuration_taken_seconds: float | None
    accounts: tuple[AccountView, ...]
    campaigns: tuple[CampaignView, ...]
    failures: tuple[RequestView, ...]
    """The latest, newest first."""
    drop: DropView
    intake: bool
    """Whether ids can be posted."""
    patience: float
    """How many times as late as usual is still in time: in the demo, time passes faster than work is done."""
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


def evaluate(facts: HealthInputs) -> HealthSummary:
    """The worst problem, or what goes on."""
    problems = tuple(
        sorted(_problems(facts), key=lambda problem: list(State).index(problem.code)),
    )
    if problems:
        worst = problems[0]
        return HealthSummary(worst.code, worst.summary, worst.advice, problems)
    state, summary, advice = _goes_on(facts)
    return HealthSummary(state, summary, advice, ())


def _goes_on(facts: HealthInputs) -> tuple[State, str, str]:
    """What a process does that has no problem."""
    successes = [a.last_success_timestamp_seconds for a in facts.accounts]
    latest = max((at for at in successes if at is not None), default=None)
    answered = "" if latest is None else f"The last usable answer came {ago(facts.now_seconds - latest)}."
    if not facts.tracked:
        return State.NO_IDS, "Waiting for ids: none has come in yet.", _how_ids_come(facts)
    if not facts.pending:
        return State.QUIET, f"Quiet: every message has ended. {answered}".strip(), ""
    if latest is None:
        few = f"{counted(facts.pending, 'message is', 'messages are')} tracked"
        return State.WAITING, f"Waiting for the first answer: {few}.", ""
    return State.RECEIVING, f"Receiving. {answered}", ""


def _how_ids_come(facts: HealthInputs) -> str:
    ways = [f"rename a file of ids into {directory}" for directory in list(facts.drop.directories)[:1]]
    if facts.intake:
        ways.append("post them to /api/v1/messages")
    ways = ways or ["name a drop directory, ids or intake in the configuration"]
    sentence = ", or ".join(ways)
    return f"{sentence[0].upper()}{sentence[1:]}."


def _problems(facts: HealthInputs) -> Iterator[Problem]:
    yield from _of_process(facts)
    for account in facts.accounts:
        yield from _of_account(account, facts)
    yield from _of_drop(facts.drop)
    yield from _behind(facts)
    yield from _objectives(facts)


def _error(code: State, summary: str, advice: str, account: str | None = None) -> Problem:
    return Problem(code, Severity.ERROR, summary, advice, account)


def _warning(code: State, summary: str, advice: str, account: str | None = None) -> Problem:
    return Problem(code, Severity.WARNING, summary, advice, account)


def _of_process(facts: HealthInputs) -> Iterator[Problem]:
    if facts.unready == "stopping":
        yield _warning(State.STOPPING, "Stopping. What was learned is saved.", "Nothing: it ends by itself.")
    elif facts.unready:
        yield _warning(State.STARTING, "Starting. The state is being loaded.", "Wait, then look again.")
    if facts.stalled:
        advice = "Restart the process; a supervisor that watches /-/healthy does. What was learned is saved."
        yield _error(State.STALLED, "The loops stand still: nothing has moved for half a minute.", advice)
    if not facts.store_up:
        summary = "Holding still: the disk has no room. Nothing is asked or taken in, and nothing is lost."
        yield _error(State.STORE_FULL, summary, "Free space where storage.path is. It goes on by itself.")
    if facts.reload_refused:
        taken = facts.configuration_taken_seconds
        since = "" if taken is None else f" of {time_of_day(taken)} UTC"
        summary = f"The new configuration has errors. The one{since} stays in force."
        advice = "Run smsbat-exporter check-config on the file: it names every problem. Then reload again."
        yield _warning(State.CONFIGURATION_REFUSED, summary, advice)


def _of_account(account: AccountView, facts: HealthInputs) -> Iterator[Problem]:
    name = account.account
    success = account.last_success_timestamp_seconds
    last = "No usable answer has come yet."
    if success is not None:
        last = f"The last usable answer came {ago(facts.now_seconds - success)}."
    probe = ""
    if account.next_probe_seconds is not None:
        probe = f" The next try is {_in(account.next_probe_seconds)}."
    paused_until = account.paused_until_timestamp_seconds
    latest = next((failure for failure in facts.failures if failure.account == name), None)
    outcome = f" ({latest.outcome})" if latest is not None else ""
    if account.flow is CircuitState.UNAUTHORIZED:
        what = f"The provider refuses the key of account {name}."
        if latest is not None and code_of(latest.outcome, latest.detail) is Code.CONFIG_KEY_FILE:
            what = f"The key of account {name} can't be used, so nothing is sent to the provider."
        summary = f"{what} {last}{probe}"
        advice = (
            "Put a key that works into the key file: it is tried at once. No message is given up meanwhile."
        )
        yield _error(State.KEY_REFUSED, summary, advice, name)
    elif account.flow is CircuitState.OPEN:
        summary = f"The provider fails for account {name}{outcome}. {last}{probe}"
        advice = (
            "Look at the last failures below, and ask the provider. It is tried every 30 seconds; "
            "no message is given up meanwhile."
        )
        yield _error(State.PROVIDER_FAILING, summary, advice, name)
    elif paused_until is not None:
        left = span(round(paused_until - facts.now_seconds))
        summary = f"The provider asks account {name} to slow down: nothing is asked for {left}. {last}"
        advice = (
            "Nothing, if it is rare. Else other programs use the same account's rate, or "
            "requests_per_second is more than was agreed."
        )
        yield _warning(State.RATE_LIMITED, summary, advice, name)
    elif account.up is False:
        summary = f"The latest answer for account {name} could not be used{outcome}. {last}"
        advice = "Nothing yet: it is tried again. Look at the last failures below if it stays like this."
        yield _warning(State.ANSWER_UNUSABLE, summary, advice, name)


def _in(seconds: float) -> str:
    return f"in {span(round(seconds))}" if round(seconds) > 0 else "now"


def _of_drop(drop: DropView) -> Iterator[Problem]:
    for directory, up in drop.directories.items():
        if up is False:
            advice = (
                "Make it there, readable and writable for this process. It is looked at every second or two."
            )
            yield _error(State.DROP_UNREADABLE, f"The drop directory {directory} can't be read.", advice)
    if drop.blocked:
        summary = "Dropped files wait: as many messages are tracked as limits.max_tracked allows."
        advice = "Wait until some have ended, or raise the limit. The files stay where they are."
        yield _warning(State.DROP_BLOCKED, summary, advice)


def _behind(facts: HealthInputs) -> Iterator[Problem]:
    for account in facts.accounts:
        if account.flow is not CircuitState.CLOSED or account.paused_until_timestamp_seconds is not None:
            continue
        late = [
            priority.word
            for priority, limit in LAG_SECONDS.items()
            if account.due.get(priority.word, 0) >= LAG_MIN_DUE.value
            and account.lag_seconds.get(priority.word, 0.0) > limit.value * facts.patience
        ]
        if late:
            yield _late(account, late)


def _late(account: AccountView, priorities: list[str]) -> Problem:
    most = max(account.lag_seconds[priority] for priority in priorities)
    due = sum(account.due[priority] for priority in priorities)
    summary = (
        f"Account {account.account} is behind: {number(due)} messages of {listed(priorities)} priority are "
        f"due, and the latest was asked about {span(round(most))} late."
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
            "look at smsbat_event_loop_lag_seconds and smsbat_store_commit_duration_seconds."
        )
    return _warning(State.BEHIND, summary, advice, account.account)


def _objectives(facts: HealthInputs) -> Iterator[Problem]:
    missing = [campaign for campaign in facts.campaigns if campaign.misses_objective]
    if missing:
        # The first share of those that miss their objective is that of the alert's window.
        shares = [f"{campaign.campaign} {share(campaign.in_time[0].ratio)}" for campaign in missing]
        window = missing[0].in_time[0].window
        summary = f"Delivery is slow or failing. In time in the last {window}: {listed(shares, most=3)}."
        advice = (
            "The exporter works. See on the dashboard Delivery which channel fails, and ask the provider. "
            "The runbook of SmsbatDeliveryRateLow has the steps."
        )
        yield _warning(State.OBJECTIVE_MISSED, summary, advice)
