"""The checker of state files finds nothing in a good one, and every way for a counter to be wrong."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from exporter.domain.lifecycle import Observed, PollFailed
from exporter.domain.model import SECOND_US, Answer, Outcome, Status
from exporter.store.sqlite import SqliteStore
from tests.domain.example import SENT_AT
from tests.store.engines import decide, make_arrivals, make_tick, track
from tests.torture.check import disagreements, read_state

ENDS = (Status.DELIVERED, Status.UNDELIVERABLE, Status.PROCESSING, Status.PERMANENTERROR)


def filled(folder: Path, *, forgetting: bool = False) -> Path:
    """A state with a bit of everything in it."""
    store = SqliteStore(folder, now=SENT_AT)
    account = store.ensure_account("main")
    campaign = store.ensure_campaign(account, "default")
    track(store, account, make_arrivals(campaign, [f"id-{n}" for n in range(40)]))
    for number in range(30):
        at = SENT_AT + number * 30 * SECOND_US
        answer = Answer(ENDS[number % 4], parts=2, cost_nanos=5)
        store.apply([Observed(number + 1, at, 0, answer)], decide)
    store.apply([PollFailed(35, SENT_AT, 0, Outcome.TIMEOUT)], decide)
    if forgetting:
        now = SENT_AT + 3600 * SECOND_US
        store.collect_garbage(0, limit=1000, now=now, retention_us=0, tick=make_tick(now))
    store.close()
    return folder / "state.sqlite3"


@pytest.mark.parametrize("forgetting", [False, True])
def test_a_good_state_agrees_with_itself(tmp_path: Path, forgetting: bool) -> None:  # noqa: FBT001 - a parameter
    """What the store writes adds up, before and after retention has forgotten messages."""
    path = filled(tmp_path, forgetting=forgetting)
    assert disagreements(path) == []
    assert len(read_state(path).ids) + read_state(path).forgotten == 40


@pytest.mark.parametrize(
    "breakage",
    [
        "UPDATE series SET value = value + 1 WHERE kind = 2",
        "UPDATE series SET value = value - 1 WHERE kind = 1 AND label1 = 'new'",
        "UPDATE series SET value = value + 1 WHERE kind = 3 AND label1 = 'delivered'",
        "DELETE FROM series WHERE kind = 3 AND label1 = 'undeliverable'",
        "UPDATE series SET value = value + 1 WHERE kind = 14",
        "DELETE FROM series WHERE kind = 12",
        "UPDATE cohorts SET sent = sent - 1 WHERE sent > 0",
        "UPDATE cohorts SET met = met + 1 WHERE met > 0",
        "UPDATE cohorts SET missed = 0",
        "UPDATE cohorts SET finished = finished + 1 WHERE finished > 0",
        "UPDATE cohorts SET delivered = delivered - 1 WHERE delivered > 0",
        "DELETE FROM messages WHERE id = 40",
        "UPDATE messages SET outcome = 3, status = 3 WHERE id = 40",
        "UPDATE messages SET verdict = 3 WHERE id = 40",
        "UPDATE messages SET campaign_id = 9 WHERE id = 40",
    ],
)
def test_every_wrong_counter_is_found(tmp_path: Path, breakage: str) -> None:
    """Whatever is changed in one table alone no longer agrees with the others."""
    path = filled(tmp_path)
    with closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute(breakage).rowcount > 0
    assert disagreements(path) != []


def test_a_damaged_page_is_found(tmp_path: Path) -> None:
    """SQLite's own check of its pages is part of it."""
    path = filled(tmp_path)
    content = bytearray(path.read_bytes())
    content[4096 * 2 : 4096 * 3] = bytes(4096)
    path.write_bytes(content)
    assert disagreements(path) != []


def test_a_state_without_tables_is_empty(tmp_path: Path) -> None:
    """A run that was killed before it made the tables leaves nothing to disagree about."""
    path = tmp_path / "state.sqlite3"
    path.touch()
    assert disagreements(path) == []
    assert read_state(path).ids == frozenset()
