"""Whether a state file agrees with itself: every counter is counted again from the messages.

Reads with SQLite alone, through none of the store's code, so that a mistake
there can't hide itself. What retention has forgotten is still known by number
(each left a tombstone), so sums stay exact; where a count per status can't be
had any more, the counter may only be larger.

The file must not be in use. A log beside it is taken in, as a restart would.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from exporter.domain.aggregates import COHORT_US
from exporter.domain.model import FINAL_BY_PROVIDER, FINISHED, Status, Verdict
from exporter.domain.snapshot import Kind


class State(NamedTuple):
    """What the counters of a state file say, and the ids that it holds."""

    ids: frozenset[str]
    """Of messages that retention has not forgotten."""
    forgotten: int
    totals: Counter[tuple[str, Kind, str]]
    """By campaign name, kind and first label."""


class _Recount(NamedTuple):
    """The tables, in memory."""

    messages: list[tuple[int, int, int, int, int, int]]
    """Campaign, status, outcome, verdict, sent_at, finished_at."""
    series: Counter[tuple[int, Kind, str]]
    """By campaign, kind and first label, summed over the second."""
    cohorts: dict[tuple[int, int], tuple[int, int, int, int, int]]
    """(campaign, began_at): sent, delivered, met, missed, finished."""
    forgotten: int


def read_state(path: Path) -> State:
    """Read what the counters say."""
    with closing(sqlite3.connect(path)) as connection:
        if _is_empty(connection):
            return State(frozenset(), 0, Counter())
        names = dict(connection.execute("SELECT id, name FROM campaigns"))
        recount = _read(connection)
        totals: Counter[tuple[str, Kind, str]] = Counter()
        for (campaign_id, kind, label), value in recount.series.items():
            totals[names[campaign_id], kind, label] += value
        ids = frozenset(row[0] for row in connection.execute("SELECT message_id FROM messages"))
    return State(ids, recount.forgotten, totals)


def disagreements(path: Path) -> list[str]:
    """Everything in which the file is at odds with itself, a sentence each; never an id in them."""
    with closing(sqlite3.connect(path)) as connection:
        try:
            found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(5)")]
        except sqlite3.DatabaseError as error:
            found = [str(error)]
        if found != ["ok"]:
            return [f"SQLite: {text}" for text in found]
        if _is_empty(connection):
            return []
        recount = _read(connection)
        orphans = connection.execute(
            "SELECT count(*) FROM messages m WHERE NOT EXISTS (SELECT 1 FROM campaigns c"
            " WHERE c.id = m.campaign_id AND c.account_id = m.account_id)"
        ).fetchone()[0]
    wrong = [f"{orphans} messages of no campaign"] if orphans else []
    for campaign_id in sorted({key[0] for key in recount.series} | {row[0] for row in recount.messages}):
        wrong += [f"campaign {campaign_id}: {text}" for text in _of_campaign(recount, campaign_id)]
    return wrong + list(_of_all(recount))


def _is_empty(connection: sqlite3.Connection) -> bool:
    """Whether not even the tables were made; they are made all at once."""
    return connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None


def _read(connection: sqlite3.Connection) -> _Recount:
    series: Counter[tuple[int, Kind, str]] = Counter()
    for campaign_id, kind, label, value in connection.execute(
        "SELECT campaign_id, kind, label1, value FROM series"
    ):
        series[campaign_id, Kind(kind), label] += value
    return _Recount(
        connection.execute(
            "SELECT campaign_id, status, outcome, verdict, sent_at, finished_at FROM messages"
        ).fetchall(),
        series,
        {
            (row[0], row[1]): row[2:]
            for row in connection.execute(
                "SELECT campaign_id, began_at, sent, delivered, met, missed, finished FROM cohorts"
            )
        },
        connection.execute("SELECT count(*) FROM tombstones").fetchone()[0],
    )


def _sum(recount: _Recount, kind: Kind, campaign_id: int, labels: frozenset[str] | None = None) -> int:
    return sum(
        value
        for (of, k, label), value in recount.series.items()
        if of == campaign_id and k is kind and (labels is None or label in labels)
    )


def _of_campaign(recount: _Recount, campaign_id: int) -> Iterator[str]:
    """What must hold of one campaign, whatever was forgotten."""
    rows = [row[1:] for row in recount.messages if row[0] == campaign_id]
    statuses = Counter(status for status, *_ in rows)
    outcomes = Counter(outcome for _, outcome, *_ in rows)
    for status in Status:
        shown = recount.series[campaign_id, Kind.MESSAGES, status.word]
        if shown != statuses[status]:
            yield f"{statuses[status]} messages are {status.word}, the gauge says {shown}"
        if status in FINISHED:
            finished = recount.series[campaign_id, Kind.FINISHED, status.word]
            if finished < outcomes[status]:
                yield f"{outcomes[status]} messages ended {status.word}, counted are {finished}"
    tracked = _sum(recount, Kind.TRACKED, campaign_id)
    finished = _sum(recount, Kind.FINISHED, campaign_id)
    pending = outcomes[Status.NEW]
    if tracked - finished != pending:
        yield f"tracked {tracked} - finished {finished} is not pending {pending}"
    ends = frozenset(status.word for status in FINAL_BY_PROVIDER)
    known = _sum(recount, Kind.FIRST_KNOWLEDGE, campaign_id)
    told = _sum(recount, Kind.FINISHED, campaign_id, ends) + _sum(recount, Kind.LATE, campaign_id)
    if known != told:
        yield f"first knowledge of {known} ends, but {told} were told"
    delivered = recount.series[campaign_id, Kind.FINISHED, Status.DELIVERED.word]
    timed = _sum(recount, Kind.DURATION_BUCKET, campaign_id)
    if timed != delivered:
        yield f"{delivered} delivered, but {timed} durations"
    sent = sum(cohort[0] for key, cohort in recount.cohorts.items() if key[0] == campaign_id)
    if sent != tracked:
        yield f"cohorts hold {sent} messages, tracked are {tracked}"


def _of_all(recount: _Recount) -> Iterator[str]:
    """What must hold of all campaigns together; more of it while nothing was forgotten."""
    kinds: Counter[Kind] = Counter()
    for (_, kind, _), value in recount.series.items():
        kinds[kind] += value
    rows = len(recount.messages)
    if kinds[Kind.TRACKED] != rows + recount.forgotten:
        yield f"tracked {kinds[Kind.TRACKED]}, but {rows} rows and {recount.forgotten} forgotten"
    for key, cohort in recount.cohorts.items():
        if min(cohort) < 0:
            yield f"cohort {key} counts below zero"
    if recount.forgotten:
        return
    yield from _verdicts(recount, kinds)
    yield from _cohorts(recount)


def _verdicts(recount: _Recount, kinds: Counter[Kind]) -> Iterator[str]:
    """Met and missed are in their cohorts until those are of age, then in the series: never in both."""
    verdicts = Counter(verdict for _, _, _, verdict, _, _ in recount.messages)
    met = sum(cohort[2] for cohort in recount.cohorts.values())
    missed = sum(cohort[3] for cohort in recount.cohorts.values())
    judged = verdicts[Verdict.MET] + verdicts[Verdict.MISSED]
    if kinds[Kind.SLO_MESSAGES] + met + missed != judged:
        yield f"{judged} messages were judged, counted are {kinds[Kind.SLO_MESSAGES]} + {met} + {missed}"
    if kinds[Kind.SLO_MISSED] + missed != verdicts[Verdict.MISSED]:
        yield f"{verdicts[Verdict.MISSED]} missed, counted are {kinds[Kind.SLO_MISSED]} + {missed}"
    if kinds[Kind.SLO_UNOBSERVED] != verdicts[Verdict.UNOBSERVED]:
        yield f"{verdicts[Verdict.UNOBSERVED]} unobserved, counted are {kinds[Kind.SLO_UNOBSERVED]}"


def _cohorts(recount: _Recount) -> Iterator[str]:
    """Each cohort holds what was sent, delivered and finished in its time."""
    sent: Counter[tuple[int, int]] = Counter()
    delivered: Counter[tuple[int, int]] = Counter()
    finished: Counter[tuple[int, int]] = Counter()
    for campaign_id, status, outcome, _, sent_at, finished_at in recount.messages:
        key = (campaign_id, sent_at - sent_at % COHORT_US)
        sent[key] += 1
        delivered[key] += status == Status.DELIVERED
        if outcome != Status.NEW:
            finished[campaign_id, finished_at - finished_at % COHORT_US] += 1
    for key in sent.keys() | finished.keys() | recount.cohorts.keys():
        told = recount.cohorts.get(key, (0, 0, 0, 0, 0))
        recounted = (sent[key], delivered[key], finished[key])
        if (told[0], told[1], told[4]) != recounted:
            yield f"cohort {key}: sent, delivered, finished are {recounted}, the table says {told}"
