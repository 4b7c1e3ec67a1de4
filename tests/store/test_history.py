"""Any history of verbs and crashes, on every engine: what is stored, shown and recount is the same."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.domain.aggregates import CommittedState
from exporter.domain.lifecycle import Event, Observed, PollFailed, Tick
from exporter.domain.model import Answer, Outcome, Via
from exporter.domain.snapshot import CampaignName, Kind, SeriesKey
from exporter.domain.states import Status
from tests.domain.example import HOUR_US, SENT_AT
from tests.store.engines import (
    ENGINES,
    MANY,
    Engine,
    claim_all,
    decide,
    list_queue,
    list_shown_values,
    make_arrivals,
    make_tick,
    persist_nothing,
    read_values,
    recount,
    sum_series,
    track,
)

DAY_US = 24 * HOUR_US


# --- any history ------------------------------------------------------------------------------------

ids = st.lists(st.integers(0, 30).map("id-{}".format), max_size=8)
at = st.integers(0, 20 * DAY_US).map(SENT_AT.__add__)
rows = st.integers(1, 40)
final_or_not = st.sampled_from([s for s in Status if s not in {Status.NEW, 7, 8, 9}])
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(
        Observed,
        row=rows,
        at=at,
        uptime_us=st.integers(0, 2 * DAY_US),
        answer=st.builds(Answer, final_or_not, cost_nanos=st.integers(0, 9), parts=st.integers(0, 2)),
        via=st.sampled_from(Via),
        occurred_at=st.just(0) | at,
    ),
    st.builds(
        PollFailed,
        row=rows,
        at=at,
        uptime_us=st.integers(0, 2 * DAY_US),
        outcome=st.sampled_from(list(Outcome)[1:]),
    ),
    st.builds(Tick, row=rows, at=at, uptime_us=st.just(0)),
)


class Drop(NamedTuple):
    """Ids are dropped, and there is so much room."""

    ids: list[str]
    room: int


class Group(NamedTuple):
    """Events that share a commit."""

    events: list[Event]


operations: st.SearchStrategy[Drop | Group | str] = st.one_of(
    st.builds(Drop, ids, st.sampled_from([2, MANY])),
    st.builds(Group, st.lists(events, min_size=1, max_size=10)),
    st.sampled_from(["crash", "close", "collect_garbage", "persist"]),
)


class Run:
    """A store that is used, the state that follows it, and what must be in both."""

    def __init__(self, engine: Engine) -> None:
        """Begin with nothing but a campaign."""
        self.engine = engine
        self.store = engine.open()
        self.account = self.store.ensure_account("main")
        self.campaign = self.store.ensure_campaign(self.account, "default")
        self.state = CommittedState(0)
        self.state.campaigns[self.campaign] = CampaignName("main", "default")
        self.known: set[str] = set()
        self.counters: dict[SeriesKey, int] = {}

    def do(self, operation: Drop | Group | str) -> None:
        """Do one thing, and apply it to the state."""
        match operation:
            case Drop(batch, room):
                taken = track(self.store, self.account, make_arrivals(self.campaign, batch), room=room)
                new = set(batch) - self.known
                assert taken.full == (len(new) > room)
                self.known |= set() if taken.full else new
                self.state.apply(taken.changes)
            case Group(group):
                self.state.apply(self.store.apply(group, decide).changes)
            case "collect_garbage":
                # Nothing is old enough to be deleted: the recount needs every message.
                now, kept_us = SENT_AT + 3 * DAY_US, 90 * DAY_US
                collected = self.store.collect_garbage(
                    0, limit=100, now=now, retention_us=kept_us, tick=make_tick(now)
                )
                self.state.apply(collected.changes)
            case "persist":
                persist_nothing(self.store)
            case _:
                end = self.engine.crash if operation == "crash" else self.engine.close
                end()
                self.store = self.engine.open()

    def check(self) -> None:
        """Messages, series, schedule and state agree."""
        stored = read_values(self.store)
        assert stored == list_shown_values(self.state)
        messages = claim_all(self.store, 1000)
        assert sum_series(self.store) == recount(messages)
        assert {message.message_id for message in messages} == self.known
        assert list_queue(self.store) == [message for message in messages if message.unsettled]
        fallen = [key for key, n in self.counters.items() if stored.get(key, 0) < n]
        assert all(key.kind is Kind.MESSAGES for key in fallen)
        self.counters = stored


@pytest.mark.parametrize("name", sorted(ENGINES))
@given(script=st.lists(operations, max_size=15))
@settings(max_examples=25)
def test_any_history(name: str, script: list[Drop | Group | str]) -> None:
    """Whatever comes, with crashes in between: series equal a recount, and nothing is counted twice."""
    with tempfile.TemporaryDirectory() as folder:
        engine = ENGINES[name](Path(folder))
        try:
            run = Run(engine)
            for operation in script:
                run.do(operation)
                run.check()
        finally:
            engine.close()
