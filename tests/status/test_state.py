"""The state in words: what goes on, what is wrong, and what to do about it."""

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
        "Quiet: every message has ended. The last usable answer came 3 s ago.",
    ),
    (replace(FINE, tracked=0, pending=0), State.NO_IDS, "Waiting for ids: none has come in yet."),
    (
        replace(FINE, accounts=(UNASKED,)),
        State.WAITING,
        "Waiting for the first answer: 4 messages are tracked.",
    ),
    (replace(FINE, unready="starting"), State.STARTING, "Starting. The state is being loaded."),
    (replace(FINE, unready="stopping"), State.STOPPING, "Stopping. What was learned is saved."),
    (
        replace(FINE, stalled=True),
        State.STALLED,
        "The loops stand still: nothing has moved for half a minute.",
    ),
    (
        replace(FINE, store_up=False),
        State.STORE_FULL,
        "Holding still: the disk has no room. Nothing is asked or taken in, and nothing is lost.",
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
            "The provider asks account main to slow down: nothing is asked for 1 min 30 s. "
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
        "Dropped files wait: as many messages are tracked as limits.max_tracked allows.",
    ),
    (
        replace(FINE, accounts=(LATE,)),
        State.BEHIND,
        (
            "Account main is behind: 5,003 messages of normal and low priority are due, and the latest was "
            "asked about 16 min late."
        ),
    ),
    (
        replace(FINE, campaigns=(FAILING, CAMPAIGN)),
        State.OBJECTIVE_MISSED,
        "Delivery is slow or failing. In time in the last 30m: otp 62 %.",
    ),
]


@pytest.mark.parametrize(("facts", "state", "words"), SITUATIONS)
def test_each_situation_has_its_words(facts: HealthInputs, state: State, words: str) -> None:
    """A state, what it means, and what to do where there is something to do."""
    told = evaluate(facts)
    assert (told.state, told.summary) == (state, words)
    assert bool(told.advice) == (state not in {State.RECEIVING, State.QUIET, State.WAITING})
    assert bool(told.problems) == (state not in {State.RECEIVING, State.QUIET, State.WAITING, State.NO_IDS})


def test_every_state_is_told_of_somewhere() -> None:
    """No word of the contract that nothing ever says."""
    assert {state for _, state, _ in SITUATIONS} == set(State)


def test_the_worst_comes_first_and_nothing_is_hidden() -> None:
    """Several accounts and the disk at once."""
    facts = replace(
        FINE,
        accounts=(replace(PAUSED, account="a"), replace(REVOKED, account="b"), ACCOUNT),
        store_up=False,
        reload_refused=True,
    )
    told = evaluate(facts)
    assert told.state is State.STORE_FULL
    assert [(problem.code, problem.account) for problem in told.problems] == [
        (State.STORE_FULL, None),
        (State.KEY_REFUSED, "b"),
        (State.RATE_LIMITED, "a"),
        (State.CONFIGURATION_REFUSED, None),
    ]
    assert [problem.severity for problem in told.problems] == [
        Severity.ERROR,
        Severity.ERROR,
        Severity.WARNING,
        Severity.WARNING,
    ]


def test_who_is_held_back_is_not_called_behind() -> None:
    """The outage is what is wrong; messages are late because of it."""
    held = (replace(OUTAGE, lag_seconds={"low": 9_000.0}), replace(PAUSED, lag_seconds={"low": 9_000.0}))
    assert State.BEHIND not in {problem.code for problem in evaluate(replace(FINE, accounts=held)).problems}


def test_the_demo_has_patience() -> None:
    """Its time passes faster than anybody can work."""
    late = replace(FINE, accounts=(LATE,))
    assert evaluate(replace(late, patience=60.0)).state is State.RECEIVING


@pytest.mark.parametrize(
    ("used", "advice"), [(9.0, "10 requests a second are too few"), (1.0, "not used up")]
)
def test_who_is_behind_hears_whether_the_rate_is_to_blame(used: float, advice: str) -> None:
    """More rate helps nobody who does not use what there is."""
    assert advice in evaluate(replace(FINE, accounts=(replace(LATE, requests_per_second=used),))).advice


@pytest.mark.parametrize(
    ("directories", "intake", "advice"),
    [
        ({"/drop": True}, False, "Rename a file of ids into /drop."),
        ({"/drop": True}, True, "Rename a file of ids into /drop, or post them to /api/v1/messages."),
        ({}, True, "Post them to /api/v1/messages."),
        ({}, False, "Name a drop directory, ids or intake in the configuration."),
    ],
)
def test_who_has_no_ids_yet_hears_how_they_come_in(
    directories: dict[str, bool | None], advice: str, *, intake: bool
) -> None:
    """By the ways that are configured."""
    drop = replace(DROP, directories=directories)
    assert evaluate(replace(FINE, tracked=0, pending=0, drop=drop, intake=intake)).advice == advice
