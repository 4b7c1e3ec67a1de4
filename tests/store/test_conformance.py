"""What every engine must do: each verb is one whole, durable transaction, and each message counts once."""

from __future__ import annotations

import pytest

from exporter.domain import lifecycle
from exporter.domain.aggregates import Cohort, CommittedState, get_cohort_key
from exporter.domain.events import Event, Observed, PollFailed, StatusClaimed, Step
from exporter.domain.model import SECOND_US, Answer, Message, Outcome, Priority, Source, Verdict
from exporter.domain.snapshot import CampaignName, Kind, SeriesKey
from exporter.domain.states import ClaimState, Status
from exporter.store import READ_TO_THE_END, FileProgress, Store
from tests.domain.example import DEFAULT, HOUR_US, SENT_AT
from tests.store.engines import (
    MANY,
    Engine,
    decide,
    list_queue,
    list_shown_values,
    make_arrivals,
    read_values,
    sum_series,
    track,
)

IDS = [f"id-{n:04d}" for n in range(100)]


@pytest.fixture
def store(engine: Engine) -> Store:
    """A new store."""
    return engine.open()


@pytest.fixture
def account(store: Store) -> int:
    """An account."""
    return store.ensure_account("main")


@pytest.fixture
def campaign(store: Store, account: int) -> int:
    """A campaign of the account."""
    return store.ensure_campaign(account, "default")


def saw(row: int, status: Status, after_us: int = 5 * SECOND_US) -> Observed:
    """A poll of a message."""
    return Observed(row, SENT_AT + after_us, after_us, Answer(status, cost_nanos=5))


# --- names and creation -----------------------------------------------------------------------------


def test_a_new_store_is_empty(store: Store) -> None:
    """It has nothing but the time when the counters were created."""
    restored = store.restore()
    assert restored.created_at == SENT_AT
    assert (restored.accounts, restored.campaigns) == ({}, {})
    assert (list(restored.values), list(restored.cohorts), restored.warning) == ([], [], "")
    assert list_queue(store) == []


def test_names_keep_their_ids(engine: Engine) -> None:
    """Accounts and campaigns get an id when they are new and keep it, apart from one another."""
    store = engine.open()
    accounts = [store.ensure_account(name) for name in ("main", "other", "main")]
    campaigns = [store.ensure_campaign(accounts[n], "sale") for n in (0, 1, 0)]
    assert accounts[0] == accounts[2] != accounts[1]
    assert campaigns[0] == campaigns[2] != campaigns[1]
    engine.crash()
    restored = engine.open(now=SENT_AT + HOUR_US).restore()
    assert restored.created_at == SENT_AT
    assert {name: known for name, (known, _) in restored.accounts.items()} == {
        "main": accounts[0],
        "other": accounts[1],
    }
    assert restored.campaigns == {
        campaigns[0]: CampaignName("main", "sale"),
        campaigns[1]: CampaignName("other", "sale"),
    }


# --- track ------------------------------------------------------------------------------------------


def test_tracked_ids_are_durable_and_counted(engine: Engine) -> None:
    """Accepted ids survive a crash: as messages, in the schedule and in the counters."""
    store = engine.open()
    account = store.ensure_account("main")
    campaign = store.ensure_campaign(account, "default")
    accepted = store.track(
        account,
        make_arrivals(campaign, IDS[:2]),
        Source.INTAKE,
        now=SENT_AT + 1,
        uptime_us=77,
        room=MANY,
        file=None,
    )
    engine.crash()
    store = engine.open()
    messages = store.read(accepted.rows)
    assert list_queue(store) == messages
    assert [message.message_id for message in messages] == IDS[:2]
    for message in messages:
        assert (message.status, message.outcome, message.verdict) == (Status.NEW, Status.NEW, Verdict.NONE)
        assert (message.account_id, message.campaign_id) == (account, campaign)
        assert (message.sent_at, message.accepted_at, message.due_at) == (SENT_AT, SENT_AT + 1, SENT_AT)
        assert (message.uptime_at_accept_us, message.polls, message.priority) == (77, 0, Priority.NORMAL)
    assert read_values(store) == {
        SeriesKey(campaign, Kind.TRACKED, "intake"): 2,
        SeriesKey(campaign, Kind.MESSAGES, "new"): 2,
    }
    assert dict(store.restore().cohorts) == {get_cohort_key(campaign, SENT_AT): Cohort(sent=2)}


def test_a_known_id_changes_nothing(store: Store, account: int, campaign: int) -> None:
    """A duplicate, in the same batch or later, under any campaign, is neither stored nor counted."""
    other = store.ensure_campaign(account, "other")
    first = track(store, account, make_arrivals(campaign, ["a", "b", "a"]))
    again = track(store, account, make_arrivals(other, ["b", "c"]))
    assert len(first.rows) == 2
    assert [message.campaign_id for message in store.read(again.rows)] == [other]
    assert sum_series(store) == {(Kind.TRACKED, "drop"): 3, (Kind.MESSAGES, "new"): 3}


def test_accounts_have_ids_of_their_own(store: Store, account: int, campaign: int) -> None:
    """The same id of another account is another message."""
    other = store.ensure_account("other")
    track(store, account, make_arrivals(campaign, ["a"]))
    assert len(track(store, other, make_arrivals(store.ensure_campaign(other, "default"), ["a"])).rows) == 1


def test_a_batch_without_room_is_not_tracked_at_all(store: Store, account: int, campaign: int) -> None:
    """A batch with more new ids than there is room for leaves no trace, nor does its file's progress."""
    track(store, account, make_arrivals(campaign, IDS[:5]))
    before = read_values(store)
    full = track(store, account, make_arrivals(campaign, IDS[:8]), room=2, file=FileProgress(b"f", 7))
    assert full.full
    assert (full.rows, bool(full.changes)) == ([], False)
    assert read_values(store) == before
    assert store.read_file_progress(b"f") == 0
    assert not track(store, account, make_arrivals(campaign, IDS[:8]), room=3).full


@pytest.mark.parametrize("room", [0, -5])
def test_known_ids_need_no_room(store: Store, account: int, campaign: int, room: int) -> None:
    """A batch of duplicates is accepted when there is no room at all, so that its file can be finished."""
    track(store, account, make_arrivals(campaign, IDS[:5]))
    again = track(store, account, make_arrivals(campaign, IDS[:5]), room=room, file=FileProgress(b"f", 9))
    assert not again.full
    assert store.read_file_progress(b"f") == 9


def test_progress_of_a_file_is_durable_with_its_ids(engine: Engine) -> None:
    """Progress and ids are durable together; each file has its own."""
    store = engine.open()
    account = store.ensure_account("main")
    campaign = store.ensure_campaign(account, "default")
    track(store, account, make_arrivals(campaign, ["a"]), file=FileProgress(b"one", 100))
    track(store, account, make_arrivals(campaign, ["b"]), file=FileProgress(b"one", READ_TO_THE_END))
    track(store, account, [], file=FileProgress(b"two", 5))
    engine.crash()
    store = engine.open()
    assert [store.read_file_progress(key) for key in (b"one", b"two", b"three")] == [READ_TO_THE_END, 5, 0]
    assert len(list_queue(store)) == 2


def test_a_message_counts_in_the_cohort_of_its_sending(store: Store, account: int, campaign: int) -> None:
    """Ids that were sent at different times are counted in different cohorts."""
    batch = [*make_arrivals(campaign, ["a", "b"]), *make_arrivals(campaign, ["c"], SENT_AT - HOUR_US)]
    track(store, account, batch)
    assert dict(store.restore().cohorts) == {
        get_cohort_key(campaign, SENT_AT): Cohort(sent=2),
        get_cohort_key(campaign, SENT_AT - HOUR_US): Cohort(sent=1),
    }


# --- claim and apply --------------------------------------------------------------------------------


def test_reading_leaves_out_what_is_gone(store: Store, account: int, campaign: int) -> None:
    """Messages come in the requested order; unknown rows are no error."""
    rows = track(store, account, make_arrivals(campaign, ["a", "b"])).rows
    read = store.read([rows[1], 999, rows[0]])
    assert [message.message_id for message in read] == ["b", "a"]


def test_an_event_is_durable_with_its_counters(engine: Engine) -> None:
    """All that a step changes in message and counters survives a crash, and is returned as changes."""
    store = engine.open()
    account = store.ensure_account("main")
    campaign = store.ensure_campaign(account, "default")
    (row,) = track(store, account, make_arrivals(campaign, ["a"])).rows
    state = CommittedState(0)
    before = store.restore()
    state.restore(before.campaigns, before.values, before.cohorts)
    applied = store.apply([saw(row, Status.DELIVERED)], decide)
    (step,) = applied.steps
    state.apply(applied.changes)
    engine.crash()
    store = engine.open()
    assert store.read([row]) == [step.message]
    assert step.message.outcome is Status.DELIVERED
    assert list_queue(store) == []
    assert read_values(store)[SeriesKey(campaign, Kind.COST_NANOS, "UAH")] == 5
    assert read_values(store) == list_shown_values(state)
    assert dict(store.restore().cohorts)[get_cohort_key(campaign, SENT_AT)] == Cohort(
        sent=1, delivered=1, met=1, finished=1
    )


def test_events_in_a_group_see_one_another(store: Store, account: int, campaign: int) -> None:
    """The second event about a message is decided on what the first one left; steps come in order."""
    (row,) = track(store, account, make_arrivals(campaign, ["a"])).rows
    events = [saw(row, status) for status in (Status.PROCESSING, Status.DELIVERED, Status.DELIVERED)]
    steps = store.apply(events, decide).steps
    assert [step.message.polls for step in steps] == [1, 2, 3]
    assert [step.newly_finished for step in steps] == [False, True, False]
    assert read_values(store)[SeriesKey(campaign, Kind.FINISHED, "delivered")] == 1


def test_events_that_change_nothing_cost_no_commit(store: Store, account: int, campaign: int) -> None:
    """Each is decided once, its step comes back, and nothing is written; one that changes is committed."""
    (row,) = track(store, account, make_arrivals(campaign, ["a"])).rows
    decided: list[Event] = []

    def decide_and_note(message: Message, event: Event) -> Step:
        decided.append(event)
        return lifecycle.advance(message, event, DEFAULT, "UAH")

    claim = StatusClaimed(row, SENT_AT, 0, Status.DELIVERED)
    first = store.apply([claim, claim], decide_and_note)
    again = store.apply([claim], decide_and_note)
    assert (first.committed, again.committed, len(decided)) == (True, False, 3)
    assert [step.message.claim_state for step in [*first.steps, *again.steps]] == [ClaimState.OPEN] * 3
    assert not again.changes


def test_a_plan_is_durable(engine: Engine) -> None:
    """When a message is polled next survives a crash."""
    store = engine.open()
    account = store.ensure_account("main")
    (row,) = track(store, account, make_arrivals(store.ensure_campaign(account, "c"), ["a"])).rows
    (step,) = store.apply([PollFailed(row, SENT_AT, 0, Outcome.TIMEOUT)], decide).steps
    engine.crash()
    store = engine.open()
    (message,) = list_queue(store)
    assert (message.row, message.due_at, message.failures) == (row, step.message.due_at, 1)


def test_events_about_unknown_rows_are_left_out(store: Store, account: int, campaign: int) -> None:
    """An event about a row that is gone changes nothing for the others."""
    (row,) = track(store, account, make_arrivals(campaign, ["a"])).rows
    steps = store.apply([saw(999, Status.DELIVERED), saw(row, Status.DELIVERED)], decide).steps
    assert [step.message.row for step in steps] == [row]


def test_a_decision_that_fails_rolls_its_group_back(store: Store, account: int, campaign: int) -> None:
    """An error while deciding leaves no part of its group behind, and the store works on."""
    rows = track(store, account, make_arrivals(campaign, ["a", "b"])).rows
    before = read_values(store)

    def fail_at_the_second(message: Message, event: Event) -> Step:
        if message.row == rows[1]:
            raise LookupError("no such policy")
        return decide(message, event)

    events = [saw(row, Status.DELIVERED) for row in rows]
    with pytest.raises(LookupError):
        store.apply(events, fail_at_the_second)
    assert read_values(store) == before
    assert all(message.pending for message in store.read(rows))
    assert len(store.apply(events, decide).steps) == 2
