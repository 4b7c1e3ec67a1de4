"""The state in words: what the exporter does, what is wrong, and what to do about it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from exporter.domain.limiter import CircuitState
from exporter.domain.model import Outcome
from exporter.status.health import HealthInputs, evaluate
from exporter.status.message import RequestView
from exporter.status.model import DropView, Severity, Share, State
from tests.status.example import ACCOUNT, CAMPAIGN, NOW

FAILING = replace(CAMPAIGN, misses_objective=True, in_time=(Share("30m", 0.62, 50),))
DROP = DropView({"/drop": True}, blocked=False, files={}, lines={})
FINE = HealthInputs(
    now_seconds=NOW,
    unready="",
    stalled=False,
    store_up=True,
    reload_refused=False,
    configuration_taken_seconds=NOW - 600,
    accounts=(ACCOUNT,),
    campaigns=(CAMPAIGN,),
    failures=(),
    drop=DROP,
    intake=False,
    patience=1.0,
    tracked=10,
    pending=4,
)
FAILURE = RequestView(NOW - 1, "main", "otp", "abc", Outcome.TIMEOUT, None, 10.0, "")
UNSENT = replace(FAILURE, outcome=Outcome.UNAUTHORIZED, detail="not sent: key file unreadable")
UNASKED = replace(ACCOUNT, up=None, last_success_timestamp_seconds=None)
REVOKED = replace(ACCOUNT, up=False, flow=CircuitState.UNAUTHORIZED, next_probe_seconds=42.0)
OUTAGE = replace(ACCOUNT, up=False, flow=CircuitState.OPEN, next_probe_seconds=0.0)
PAUSED = replace(ACCOUNT, paused_until_timestamp_seconds=NOW + 90)
SHAKY = replace(ACCOUNT, up=False)
LATE = replace(ACCOUNT, due={"normal": 10, "low": 4_993}, lag_seconds={"normal": 61.0, "low": 1_000.0})


SITUATIONS = [
    (FINE, State.RECEIVING, "Receiving. The last usable answer came 3 s ago."),
    (
        replace(FINE, pending=0),
        State.QUIET,
        "Quiet: every message is finished. The last usable answer came 3 s ago.",
    ),
    (replace(FINE, tracked=0, pending=0), State.NO_IDS, "Waiting for ids: none received yet."),
    (
        replace(FINE, accounts=(UNASKED,)),
        State.WAITING,
        "Waiting for the first answer: 4 messages are tracked.",
    ),
    (replace(FINE, unready="starting"), State.STARTING, "Starting. The state is being loaded."),
    (replace(FINE, unready="stopping"), State.STOPPING, "Stopping. All results so far are saved."),
    (
        replace(FINE, stalled=True),
        State.STALLED,
        "The exporter is stuck: its internal loops made no progress for half a minute.",
    ),
    (
        replace(FINE, store_up=False),
        State.STORE_FULL,
        "Paused: disk full. No polls are sent and no ids are accepted; nothing is lost.",
    ),
    (
        replace(FINE, accounts=(REVOKED,)),
        State.KEY_REFUSED,
        (
            "The provider refuses the key of account main. The last usable answer came 3 s ago. "
            "The next try is in 42 s."
        ),
    ),
    (
        replace(FINE, accounts=(REVOKED,), failures=(UNSENT,)),
        State.KEY_REFUSED,
        (
            "The key of account main can't be used, so nothing is sent to the provider. "
            "The last usable answer came 3 s ago. The next try is in 42 s."
        ),
    ),
    (
        replace(FINE, accounts=(OUTAGE,), failures=(FAILURE,)),
        State.PROVIDER_FAILING,
        (
            "The provider fails for account main (timeout). The last usable answer came 3 s ago. "
            "The next try is now."
        ),
    ),
    (
        replace(FINE, accounts=(replace(OUTAGE, last_success_timestamp_seconds=None),)),
        State.PROVIDER_FAILING,
        "The provider fails for account main. No usable answer has come yet. The next try is now.",
    ),
    (
        replace(FINE, accounts=(PAUSED,)),
        State.RATE_LIMITED,
        (
            "The provider asked account main to slow down: no polls for 1 min 30 s. "
            "The last usable answer came 3 s ago."
        ),
    ),
    (
        replace(FINE, accounts=(SHAKY,), failures=(FAILURE,)),
        State.ANSWER_UNUSABLE,
        (
            "The latest answer for account main could not be used (timeout). "
            "The last usable answer came 3 s ago."
        ),
    ),
    (
        replace(FINE, reload_refused=True),
        State.CONFIGURATION_REFUSED,
        "The new configuration has errors. The one of 07:50 UTC stays in force.",
    ),
    (
        replace(FINE, drop=replace(DROP, directories={"/drop": False})),
        State.DROP_UNREADABLE,
        "The drop directory /drop can't be read.",
    ),
    (
        replace(FINE, drop=replace(DROP, blocked=True)),
        State.DROP_BLOCKED,
        "Dropped files wait: limits.max_tracked is reached.",
    ),
    (
        replace(FINE, accounts=(LATE,)),
        State.BEHIND,
        (
            "Account main is behind: 5,003 messages of normal and low priority are due, and the latest poll "
            "was 16 min late."
        ),
    ),
    (
        replace(FINE, campaigns=(FAILING, CAMPAIGN)),
        State.OBJECTIVE_MISSED,
        "Delivery is slow or failing. In time in the last 30m: otp 62 %.",
    ),
]


@pytest.mark.parametrize(("inputs", "state", "summary"), SITUATIONS)
def test_each_situation_has_its_summary(inputs: HealthInputs, state: State, summary: str) -> None:
    """A state, its summary, and advice where there is something to do."""
    health = evaluate(inputs)
    assert (health.state, health.summary) == (state, summary)
    assert bool(health.advice) == (state not in {State.RECEIVING, State.QUIET, State.WAITING})
    assert bool(health.problems) == (state not in {State.RECEIVING, State.QUIET, State.WAITING, State.NO_IDS})


def test_every_state_occurs() -> None:
    """No state of the API is unused."""
    assert {state for _, state, _ in SITUATIONS} == set(State)


def test_the_worst_comes_first_and_nothing_is_hidden() -> None:
    """Several accounts and the disk at the same time."""
    inputs = replace(
        FINE,
        accounts=(replace(PAUSED, account="a"), replace(REVOKED, account="b"), ACCOUNT),
        store_up=False,
        reload_refused=True,
    )
    health = evaluate(inputs)
    assert health.state is State.STORE_FULL
    assert [(problem.code, problem.account) for problem in health.problems] == [
        (State.STORE_FULL, None),
        (State.KEY_REFUSED, "b"),
        (State.RATE_LIMITED, "a"),
        (State.CONFIGURATION_REFUSED, None),
    ]
    assert [problem.severity for problem in health.problems] == [
        Severity.ERROR,
        Severity.ERROR,
        Severity.WARNING,
        Severity.WARNING,
    ]


def test_an_account_in_an_outage_or_a_pause_is_not_behind() -> None:
    """The outage is the problem; late messages are its consequence."""
    held = (replace(OUTAGE, lag_seconds={"low": 9_000.0}), replace(PAUSED, lag_seconds={"low": 9_000.0}))
    assert State.BEHIND not in {problem.code for problem in evaluate(replace(FINE, accounts=held)).problems}


def test_the_demo_tolerates_more_lag() -> None:
    """Its time passes faster than work can be done."""
    late = replace(FINE, accounts=(LATE,))
    assert evaluate(replace(late, patience=60.0)).state is State.RECEIVING


@pytest.mark.parametrize(
    ("used", "advice"), [(9.0, "10 requests a second are too few"), (1.0, "not used up")]
)
def test_the_advice_says_whether_a_higher_rate_would_help(used: float, advice: str) -> None:
    """It would not where the present rate is not used."""
    assert advice in evaluate(replace(FINE, accounts=(replace(LATE, requests_per_second=used),))).advice


@pytest.mark.parametrize(
    ("directories", "intake", "advice"),
    [
        ({"/drop": True}, False, "Rename a file of ids into /drop."),
        ({"/drop": True}, True, "Rename a file of ids into /drop, or post them to /api/v1/messages."),
        ({}, True, "Post them to /api/v1/messages."),
        ({}, False, "Add a drop directory, messages or intake to the configuration."),
    ],
)
def test_without_ids_the_advice_says_how_to_send_some(
    directories: dict[str, bool | None], advice: str, *, intake: bool
) -> None:
    """By the ways that are configured."""
    drop = replace(DROP, directories=directories)
    assert evaluate(replace(FINE, tracked=0, pending=0, drop=drop, intake=intake)).advice == advice
