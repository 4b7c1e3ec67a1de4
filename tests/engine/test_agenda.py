"""Which entry is taken when: never early, none lost, and no class starves another."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.domain.model import SECOND_US, Priority
from exporter.engine.agenda import TICK_US, Agenda, Entry, Turns, next_revision
from tests.domain.example import HOUR_US, MINUTE_US

HIGH, NORMAL, LOW = Priority


def taken(agenda: Agenda, priority: Priority = NORMAL) -> list[Entry]:
    """All of a priority that is due, in the order in which it is taken."""
    entries = []
    while (entry := agenda.pop(priority)) is not None:
        entries.append(entry)
    return entries


def test_an_empty_agenda() -> None:
    """Where nothing is, nothing is due, ever."""
    agenda = Agenda(0)
    agenda.advance(10 * HOUR_US)
    assert (taken(agenda), agenda.next_due_at(), len(agenda)) == ([], None, 0)


@pytest.mark.parametrize("due_at", [1, TICK_US, 59 * SECOND_US, MINUTE_US, 90 * MINUTE_US, 48 * HOUR_US])
@pytest.mark.parametrize("start", [0, 7 * SECOND_US + 1])
def test_never_early(start: int, due_at: int) -> None:
    """An entry is not taken before its time, and within a tenth of a second after it."""
    agenda = Agenda(start)
    agenda.add(NORMAL, 5, 3, start + due_at)
    agenda.advance(start + due_at - 1)
    assert agenda.pop(NORMAL) is None
    agenda.advance(start + due_at + TICK_US)
    entry = agenda.pop(NORMAL)
    assert entry is not None
    assert (entry.row, entry.revision, entry.priority) == (5, 3, NORMAL)
    assert 0 <= entry.due_at - start - due_at < TICK_US


def test_an_entry_of_the_past_is_due_at_the_next_tick() -> None:
    """What should have been due long ago is taken a tick later, not lost."""
    agenda = Agenda(HOUR_US)
    agenda.add(NORMAL, 1, 1, 0)
    agenda.advance(HOUR_US + TICK_US)
    assert [entry.row for entry in taken(agenda)] == [1]


def test_a_clock_that_stands_still() -> None:
    """Advancing to the same instant, or to one before, changes nothing."""
    agenda = Agenda(HOUR_US)
    agenda.add(NORMAL, 1, 1, HOUR_US + SECOND_US)
    for now in (HOUR_US, HOUR_US - MINUTE_US, HOUR_US):
        agenda.advance(now)
        assert agenda.pop(NORMAL) is None
    agenda.advance(HOUR_US + SECOND_US)
    assert len(taken(agenda)) == 1


def test_jumps_of_hours() -> None:
    """However far one advance reaches, all that is due by then is taken in order, and nothing else."""
    agenda = Agenda(0)
    for row in range(2000):
        agenda.add(NORMAL, row, 1, (row * 7919 % 2000) * 50 * SECOND_US)
    rows: list[int] = []
    for now in (SECOND_US, 10 * HOUR_US, 10 * HOUR_US + TICK_US, 30 * HOUR_US):
        agenda.advance(now)
        due = taken(agenda)
        assert [entry.due_at for entry in due] == sorted(entry.due_at for entry in due)
        assert all(entry.due_at <= now for entry in due)
        rows += [entry.row for entry in due]
    assert sorted(rows) == list(range(2000))


adds = st.tuples(st.sampled_from(Priority), st.integers(0, 255), st.integers(-MINUTE_US, 3 * HOUR_US))
steps = st.one_of(adds, st.integers(0, 2 * HOUR_US), st.integers(0, 3 * TICK_US), st.sampled_from(Priority))


@given(st.integers(0, HOUR_US), st.lists(steps, max_size=60))
@settings(max_examples=200)
def test_like_a_sorted_list(start: int, script: list[tuple[Priority, int, int] | int | Priority]) -> None:
    """In any order of calls the agenda holds, gives and announces what a sorted list would."""
    agenda, now = Agenda(start), start
    waiting: dict[int, Entry] = {}
    for row, step in enumerate(script):
        if isinstance(step, tuple):
            priority, revision, delay_us = step
            # In whole ticks; what is due already waits for the next one.
            tick = max(-(-(now + delay_us) // TICK_US), now // TICK_US + 1)
            waiting[row] = Entry(row, revision, tick * TICK_US, priority)
            agenda.add(priority, row, revision, now + delay_us)
        elif isinstance(step, Priority):
            due = [entry for entry in waiting.values() if entry.due_at <= now and entry.priority is step]
            taken_now = agenda.pop(step)
            assert (taken_now is None) == (not due)
            if taken_now is not None:
                assert waiting.pop(taken_now.row) == taken_now
                fresh = taken_now.revision == 0
                assert taken_now.due_at == min(e.due_at for e in due if (e.revision == 0) == fresh)
        else:
            now += step
            agenda.advance(now)
        _compare(agenda, waiting, now)


def _compare(agenda: Agenda, waiting: dict[int, Entry], now: int) -> None:
    """Nothing is lost, what is due is known, and what is announced comes no later."""
    assert len(agenda) == len(waiting)
    due = Counter(entry.priority for entry in waiting.values() if entry.due_at <= now)
    assert {priority: agenda.ready(priority) for priority in Priority} == {p: due[p] for p in Priority}
    announced = agenda.next_due_at()
    assert (announced is None) == (not waiting)
    assert announced is None or announced <= max(now, min(entry.due_at for entry in waiting.values()))


def test_following_the_announcements() -> None:
    """Whoever advances just when the agenda says takes each entry within a tick of its time."""
    agenda, now = Agenda(0), 0
    due = {row: (row * 104_729) % (5 * HOUR_US) + TICK_US for row in range(500)}
    for row, due_at in due.items():
        agenda.add(LOW, row, 1, due_at)
    calls = 0
    while (announced := agenda.next_due_at()) is not None:
        calls += 1
        assert announced > now, "an announcement that brings nothing would spin"
        now = announced
        agenda.advance(now)
        for entry in taken(agenda, LOW):
            assert 0 <= now - due[entry.row] < TICK_US
    assert calls <= len(due) + 5 * 60


# --- who goes first ---------------------------------------------------------------------------------


def turns(pressing: tuple[Priority, ...], count: int) -> list[Priority]:
    """Who goes, `count` times, while all of `pressing` always have something due."""
    order = Turns()
    return [order.choose(pressing) for _ in range(count)]


@pytest.mark.parametrize(
    ("pressing", "shares"),
    [
        ((HIGH, NORMAL, LOW), {HIGH: 7000, NORMAL: 2000, LOW: 1000}),
        ((HIGH, NORMAL), {HIGH: 8000, NORMAL: 2000}),
        ((HIGH, LOW), {HIGH: 9000, LOW: 1000}),
        ((NORMAL, LOW), {NORMAL: 9000, LOW: 1000}),
        ((LOW,), {LOW: 10_000}),
    ],
)
def test_shares(pressing: tuple[Priority, ...], shares: dict[Priority, int]) -> None:
    """Of all looks low gets a tenth and normal a fifth while others press; the first has the rest."""
    assert Counter(turns(pressing, 10_000)) == pytest.approx(shares, abs=2)


def test_shares_are_spread() -> None:
    """A class behind gets its share evenly: it never waits longer than its share says."""
    order = turns((HIGH, NORMAL, LOW), 1000)
    for priority, longest in ((NORMAL, 6), (LOW, 11)):
        places = [place for place, chosen in enumerate(order) if chosen is priority]
        assert max(b - a for a, b in pairwise(places)) <= longest


@given(st.lists(st.sets(st.sampled_from(Priority), min_size=1), max_size=200))
def test_whoever_waits_gets_a_turn(history: list[set[Priority]]) -> None:
    """Only who waits is chosen, and whoever waits on has its share, whatever comes and goes beside it."""
    order = Turns()
    waited = dict.fromkeys(Priority, 0)
    for waiting in history:
        chosen = order.choose(sorted(waiting))
        assert chosen in waiting
        for priority in Priority:
            waited[priority] = waited[priority] + 1 if priority in waiting and priority is not chosen else 0
        assert waited[NORMAL] <= 6
        assert waited[LOW] <= 11


def test_a_high_entry_goes_before_a_whole_campaign() -> None:
    """After any number of looks at a campaign alone, a one-time password is next."""
    order = Turns()
    for _ in range(100_000):
        assert order.choose((LOW,)) is LOW
    assert order.choose((HIGH, LOW)) is HIGH


def saturated(count: int, revision: int = 1) -> Agenda:
    """An agenda where so many entries are due."""
    agenda = Agenda(0)
    for row in range(count):
        agenda.add(NORMAL, row, revision, 0)
    agenda.advance(TICK_US)
    return agenda


def test_priorities_are_apart() -> None:
    """What is due of one priority is never given out as another."""
    agenda = saturated(3)
    assert (agenda.pop(HIGH), agenda.pop(LOW), agenda.ready(NORMAL)) == (None, None, 3)


def test_first_looks_go_before_repeated_ones() -> None:
    """Three first looks for each repeated one, so that neither waits for the other to end."""
    agenda = saturated(100)
    for row in range(100, 200):
        agenda.add(NORMAL, row, 0, 0)
    agenda.advance(2 * TICK_US)
    fresh = [entry.revision == 0 for entry in taken(agenda)]
    assert fresh[:8] == [True, True, True, False, True, True, True, False]
    assert sum(fresh[:132]) == 99
    assert len(fresh) == 200


def test_repeated_looks_are_taken_when_nothing_is_fresh() -> None:
    """Without first looks the repeated ones take all turns."""
    assert len(taken(saturated(100))) == 100


def test_revisions_go_round() -> None:
    """A revision fits the entry, differs from the one before, and is never that of a first look."""
    revision = 0
    seen = [revision := next_revision(revision) for _ in range(1000)]
    assert set(seen) == set(range(1, 256))
    assert all(a != b for a, b in pairwise(seen))


_MANY = """
import resource
from exporter.engine.agenda import Agenda
from exporter.domain.model import Priority

def used():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

before = used()
agenda = Agenda(0)
for row in range(300_000):
    agenda.add(Priority.LOW, row, 1, SPREAD * (row % 3600) * 1_000_000)
agenda.advance(NOW)
print((used() - before) / 300_000)
"""


@pytest.mark.parametrize(("spread", "now", "bytes_each"), [(1, 1, 24), (0, 100_000, 24)], ids=["far", "due"])
def test_the_size_of_an_entry(spread: int, now: int, bytes_each: int) -> None:
    """An entry takes at most 24 bytes, while it waits as well as when all are due at once."""
    script = _MANY.replace("SPREAD", str(spread)).replace("NOW", str(now))
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < bytes_each
