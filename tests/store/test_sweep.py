"""What every engine keeps of the regular work: folding, forgetting, and the passing of time."""

from __future__ import annotations

from itertools import chain

import pytest

from exporter.domain.aggregates import Cohort, StateDelta, cohort_of
from exporter.domain.lifecycle import Observed
from exporter.domain.limiter import LimiterState
from exporter.domain.model import SECOND_US, Answer, Status
from exporter.domain.snapshot import Kind, SeriesKey
from exporter.store import FileProgress, Planned, Store
from tests.domain.example import HOUR_US, SENT_AT
from tests.store.engines import (
    Engine,
    arrivals,
    decide,
    tick_at,
    told,
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
    return store.account_id("main")


@pytest.fixture
def campaign(store: Store, account: int) -> int:
    """A campaign of the account."""
    return store.campaign_id(account, "default")


def saw(row: int, status: Status, after_us: int = 5 * SECOND_US) -> Observed:
    """A look at a message."""
    return Observed(row, SENT_AT + after_us, after_us, Answer(status, cost_nanos=5))


def schedule(store: Store) -> list[Planned]:
    """All pending messages' places."""
    return list(chain.from_iterable(store.schedule()))


# --- keep, sweep, forget ----------------------------------------------------------------------------


def test_keep_is_durable(engine: Engine) -> None:
    """Folded verdicts and what the gates know survive a crash."""
    store = engine.open()
    account = store.account_id("main")
    campaign = store.campaign_id(account, "default")
    changes = StateDelta(
        {SeriesKey(campaign, Kind.SLO_MESSAGES): 3}, {cohort_of(campaign, 0): Cohort(met=-3)}
    )
    store.persist(StateDelta({}, {cohort_of(campaign, 0): Cohort(met=3)}), {})
    store.persist(changes, {account: LimiterState(123, 456, 2.5)})
    engine.crash()
    restored = engine.open().restore()
    assert restored.accounts == {"main": (account, LimiterState(123, 456, 2.5))}
    assert dict(restored.values) == {SeriesKey(campaign, Kind.SLO_MESSAGES): 3}
    assert dict(restored.cohorts) == {cohort_of(campaign, 0): Cohort()}


def sweep_all(store: Store, now: int, limit: int = 7) -> tuple[StateDelta, int]:
    """One whole round, in pieces; all changes in one, and the number of pieces."""
    state: dict[SeriesKey, int] = {}
    cursor, pieces = 0, 0
    while cursor or not pieces:
        swept = store.collect_garbage(
            cursor, limit=limit, now=now, retention_us=RETENTION_US, tick=tick_at(now)
        )
        cursor, pieces = swept.cursor, pieces + 1
        for key, amount in swept.changes.counts.items():
            state[key] = state.get(key, 0) + amount
    return StateDelta(state), pieces


def test_a_sweep_forgets_what_finished_long_ago(store: Store, account: int, campaign: int) -> None:
    """A finished message leaves the gauge after its retention, not before; its counters stay."""
    rows = [planned.row for planned in track(store, account, arrivals(campaign, IDS[:20])).planned]
    store.apply([saw(row, Status.DELIVERED) for row in rows[:10]], decide)
    finished_at = SENT_AT + 5 * SECOND_US
    changes, pieces = sweep_all(store, finished_at + RETENTION_US - 1)
    assert len(store.claim(rows)) == 20
    assert pieces == 3
    assert SeriesKey(campaign, Kind.MESSAGES, "delivered") not in changes.counts
    changes, _ = sweep_all(store, finished_at + RETENTION_US)
    assert [message.row for message in store.claim(rows)] == rows[10:]
    assert changes.counts[SeriesKey(campaign, Kind.MESSAGES, "delivered")] == -10
    assert told(store)[Kind.FINISHED, "delivered"] == 10
    assert (Kind.MESSAGES, "delivered") not in told(store)


def test_a_sweep_lets_time_pass(store: Store, account: int, campaign: int) -> None:
    """Pending messages that nobody looked at in time are judged, and given up after the cap, once."""
    track(store, account, arrivals(campaign, IDS[:20]))
    first, _ = sweep_all(store, SENT_AT + HOUR_US)
    again, _ = sweep_all(store, SENT_AT + 2 * HOUR_US)
    assert first.counts == {SeriesKey(campaign, Kind.SLO_UNOBSERVED): 20}
    assert again.counts == {}
    sweep_all(store, SENT_AT + 5 * DAY_US)
    assert told(store)[Kind.FINISHED, "expired"] == 20
    assert schedule(store) == []


def test_a_forgotten_id_is_known_for_a_while(engine: Engine) -> None:
    """An id that is dropped again after its message was forgotten counts only when its tombstone is gone."""
    store = engine.open()
    account, other = store.account_id("main"), store.account_id("other")
    campaign = store.campaign_id(account, "default")
    (planned,) = track(store, account, arrivals(campaign, ["a"])).planned
    store.apply([saw(planned.row, Status.DELIVERED)], decide)
    now = SENT_AT + RETENTION_US + HOUR_US
    sweep_all(store, now)
    engine.crash()
    store = engine.open()
    assert len(track(store, account, arrivals(campaign, ["a", "b"]), now=now).planned) == 1
    assert len(track(store, other, arrivals(store.campaign_id(other, "c"), ["a"]), now=now).planned) == 1
    store.prune(now=now + 6 * DAY_US, cohorts_before=0, files_before=0)
    assert track(store, account, arrivals(campaign, ["a"]), now=now).planned == []
    store.prune(now=now + 8 * DAY_US, cohorts_before=0, files_before=0)
    (again,) = track(store, account, arrivals(campaign, ["a"]), now=now).planned
    assert again.row > planned.row, "a row number is never given twice: the schedule may still hold it"


def test_forgetting_keeps_what_is_needed(store: Store, account: int, campaign: int) -> None:
    """Old cohorts and file records go, but no verdict that was never folded."""
    track(store, account, arrivals(campaign, ["a"]), file=FileProgress(b"old", 1))
    folded, unfolded = cohort_of(campaign, SENT_AT), cohort_of(campaign, SENT_AT - HOUR_US)
    store.persist(StateDelta({}, {unfolded: Cohort(met=1)}), {})
    store.prune(now=SENT_AT, cohorts_before=folded.began_at, files_before=SENT_AT)
    assert dict(store.restore().cohorts) == {folded: Cohort(sent=1), unfolded: Cohort(met=1)}
    assert store.file_progress(b"old") == 1
    store.prune(now=SENT_AT, cohorts_before=folded.began_at + 1, files_before=SENT_AT + 1)
    assert dict(store.restore().cohorts) == {unfolded: Cohort(met=1)}
    assert store.file_progress(b"old") == 0


def test_the_oldest_pending(store: Store, account: int, campaign: int) -> None:
    """By campaign, the earliest sending among what is pending; nothing where nothing is."""
    other = store.campaign_id(account, "other")
    batch = [*arrivals(campaign, ["a"], SENT_AT - 5), *arrivals(campaign, ["b"], SENT_AT)]
    rows = [planned.row for planned in track(store, account, batch).planned]
    assert store.oldest_pending([campaign, other]) == {campaign: SENT_AT - 5}
    store.apply([saw(rows[0], Status.DELIVERED)], decide)
    assert store.oldest_pending([campaign, other]) == {campaign: SENT_AT}
    store.apply([saw(rows[1], Status.DELIVERED)], decide)
    assert store.oldest_pending([campaign, other]) == {}


def test_a_large_schedule_comes_in_pieces(store: Store, account: int, campaign: int) -> None:
    """All pending messages are read, however many, and no piece is large."""
    for start in range(0, 25_000, 5_000):
        track(store, account, arrivals(campaign, [f"x{n}" for n in range(start, start + 5_000)]))
    pieces = list(store.schedule())
    assert sum(map(len, pieces)) == 25_000
    assert max(map(len, pieces)) <= 10_000
