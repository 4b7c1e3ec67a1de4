"""What every engine must do for maintenance: persist, collect garbage, prune."""

from __future__ import annotations

import pytest

from exporter.domain.aggregates import Cohort, StateDelta, get_cohort_key
from exporter.domain.lifecycle import Observed
from exporter.domain.limiter import LimiterState
from exporter.domain.model import SECOND_US, Answer
from exporter.domain.snapshot import Kind, SeriesKey
from exporter.domain.states import Status
from exporter.store import FileProgress, Store
from tests.domain.example import HOUR_US, SENT_AT
from tests.store.engines import (
    Engine,
    decide,
    list_queue,
    make_arrivals,
    make_tick,
    sum_series,
    track,
)

DAY_US = 24 * HOUR_US
RETENTION_US = 7 * DAY_US
IDS = [f"id-{n:04d}" for n in range(20)]


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


# --- persist, collect garbage, prune ----------------------------------------------------------------


def test_persisted_state_is_durable(engine: Engine) -> None:
    """Verdicts of mature cohorts and the state of the limiters survive a crash."""
    store = engine.open()
    account = store.ensure_account("main")
    campaign = store.ensure_campaign(account, "default")
    changes = StateDelta(
        {SeriesKey(campaign, Kind.SLO_MESSAGES): 3}, {get_cohort_key(campaign, 0): Cohort(met=-3)}
    )
    store.persist(StateDelta({}, {get_cohort_key(campaign, 0): Cohort(met=3)}), {})
    store.persist(changes, {account: LimiterState(123, 456, 2.5)})
    engine.crash()
    restored = engine.open().restore()
    assert restored.accounts == {"main": (account, LimiterState(123, 456, 2.5))}
    assert dict(restored.values) == {SeriesKey(campaign, Kind.SLO_MESSAGES): 3}
    assert dict(restored.cohorts) == {get_cohort_key(campaign, 0): Cohort()}


def collect_all_garbage(store: Store, now: int, limit: int = 7) -> tuple[StateDelta, int]:
    """All messages, in pieces; all changes in one, and the number of pieces."""
    state: dict[SeriesKey, int] = {}
    cursor, pieces = 0, 0
    while cursor or not pieces:
        collected = store.collect_garbage(
            cursor, limit=limit, now=now, retention_us=RETENTION_US, tick=make_tick(now)
        )
        cursor, pieces = collected.cursor, pieces + 1
        for key, amount in collected.changes.counts.items():
            state[key] = state.get(key, 0) + amount
    return StateDelta(state), pieces


def test_garbage_collection_deletes_what_finished_long_ago(store: Store, account: int, campaign: int) -> None:
    """A finished message leaves the gauge after its retention, not before; its counters stay."""
    rows = track(store, account, make_arrivals(campaign, IDS[:20])).rows
    store.apply([saw(row, Status.DELIVERED) for row in rows[:10]], decide)
    finished_at = SENT_AT + 5 * SECOND_US
    changes, pieces = collect_all_garbage(store, finished_at + RETENTION_US - 1)
    assert len(store.read(rows)) == 20
    assert pieces == 3
    assert SeriesKey(campaign, Kind.MESSAGES, "delivered") not in changes.counts
    changes, _ = collect_all_garbage(store, finished_at + RETENTION_US)
    assert [message.row for message in store.read(rows)] == rows[10:]
    assert changes.counts[SeriesKey(campaign, Kind.MESSAGES, "delivered")] == -10
    assert sum_series(store)[Kind.FINISHED, "delivered"] == 10
    assert (Kind.MESSAGES, "delivered") not in sum_series(store)


def test_garbage_collection_lets_time_pass(store: Store, account: int, campaign: int) -> None:
    """Pending messages that were not polled in time are judged, and given up after the cap, once."""
    track(store, account, make_arrivals(campaign, IDS[:20]))
    first, _ = collect_all_garbage(store, SENT_AT + HOUR_US)
    again, _ = collect_all_garbage(store, SENT_AT + 2 * HOUR_US)
    assert first.counts == {SeriesKey(campaign, Kind.SLO_UNOBSERVED): 20}
    assert again.counts == {}
    collect_all_garbage(store, SENT_AT + 5 * DAY_US)
    assert sum_series(store)[Kind.FINISHED, "expired"] == 20
    assert list_queue(store) == []


def test_a_deleted_id_is_known_for_a_while(engine: Engine) -> None:
    """An id that is dropped again after its message was deleted counts only when its tombstone is gone."""
    store = engine.open()
    account, other = store.ensure_account("main"), store.ensure_account("other")
    campaign = store.ensure_campaign(account, "default")
    (row,) = track(store, account, make_arrivals(campaign, ["a"])).rows
    store.apply([saw(row, Status.DELIVERED)], decide)
    now = SENT_AT + RETENTION_US + HOUR_US
    collect_all_garbage(store, now)
    engine.crash()
    store = engine.open()
    assert len(track(store, account, make_arrivals(campaign, ["a", "b"]), now=now).rows) == 1
    assert (
        len(track(store, other, make_arrivals(store.ensure_campaign(other, "c"), ["a"]), now=now).rows) == 1
    )
    store.prune(now=now + 6 * DAY_US, cohorts_before=0, files_before=0)
    assert track(store, account, make_arrivals(campaign, ["a"]), now=now).rows == []
    store.prune(now=now + 8 * DAY_US, cohorts_before=0, files_before=0)
    (again,) = track(store, account, make_arrivals(campaign, ["a"]), now=now).rows
    assert again > row, "a row number is never used twice: the schedule may still have it"


def test_pruning_keeps_what_is_needed(store: Store, account: int, campaign: int) -> None:
    """Old cohorts and file records are deleted, but no verdict that is not in a series yet."""
    track(store, account, make_arrivals(campaign, ["a"]), file=FileProgress(b"old", 1))
    mature, immature = get_cohort_key(campaign, SENT_AT), get_cohort_key(campaign, SENT_AT - HOUR_US)
    store.persist(StateDelta({}, {immature: Cohort(met=1)}), {})
    store.prune(now=SENT_AT, cohorts_before=mature.began_at, files_before=SENT_AT)
    assert dict(store.restore().cohorts) == {mature: Cohort(sent=1), immature: Cohort(met=1)}
    assert store.read_file_progress(b"old") == 1
    store.prune(now=SENT_AT, cohorts_before=mature.began_at + 1, files_before=SENT_AT + 1)
    assert dict(store.restore().cohorts) == {immature: Cohort(met=1)}
    assert store.read_file_progress(b"old") == 0


def test_the_oldest_pending_message_of_each_campaign_is_found(
    store: Store, account: int, campaign: int
) -> None:
    """The earliest time of sending among the pending ones; nothing for a campaign without any."""
    other = store.ensure_campaign(account, "other")
    batch = [*make_arrivals(campaign, ["a"], SENT_AT - 5), *make_arrivals(campaign, ["b"], SENT_AT)]
    rows = track(store, account, batch).rows
    assert store.find_oldest_pending([campaign, other]) == {campaign: SENT_AT - 5}
    store.apply([saw(rows[0], Status.DELIVERED)], decide)
    assert store.find_oldest_pending([campaign, other]) == {campaign: SENT_AT}
    store.apply([saw(rows[1], Status.DELIVERED)], decide)
    assert store.find_oldest_pending([campaign, other]) == {}
