"""Rows of the SQLite store as values of the domain; what we never wrote is damage."""

from __future__ import annotations

import sqlite3

from exporter.domain.aggregates import Cohort, CohortKey
from exporter.domain.limiter import LimiterState
from exporter.domain.model import Message, Status, Verdict
from exporter.domain.snapshot import CampaignName, Kind, SeriesKey
from exporter.store import Restored, statements

RATE_SCALE = 1_000_000
_STATUSES = {status.value: status for status in Status}
_VERDICTS = {verdict.value: verdict for verdict in Verdict}
_TYPES = tuple(str if field == "message_id" else int for field in Message._fields)


def message_from(row: tuple[int, ...]) -> Message:
    """A row of `statements.SELECT_MESSAGE`; raises ValueError."""
    if tuple(map(type, row)) != _TYPES:
        raise ValueError("a column has a type that was never written")
    fields = list(row)
    try:
        fields[4:7] = _STATUSES[row[4]], _STATUSES[row[5]], _VERDICTS[row[6]]
    except KeyError:
        raise ValueError("a status or verdict that was never written") from None
    return Message._make(fields)


def changed_values(message: Message) -> tuple[int, ...]:
    """The parameters of `statements.UPDATE_MESSAGE`."""
    m = message
    mutable = (m.status, m.outcome, m.verdict, m.due_at, m.polled_at, m.finished_at)
    return (
        *mutable,
        m.polls,
        m.failures,
        m.refusals,
        m.revision,
        m.claimed_status,
        m.webhook_cost_nanos,
        m.row,
    )


def integers(row: tuple[int, ...]) -> tuple[int, ...]:
    """The row, made of nothing but integers; raises ValueError or TypeError."""
    return tuple(map(int, row))


def commit_count(cursor: sqlite3.Cursor) -> int:
    """How many transactions the database has seen; raises ValueError or TypeError."""
    (value,) = cursor.execute("SELECT value FROM meta WHERE name = 'commits'").fetchone()
    return int(value)


def restored(cursor: sqlite3.Cursor, warning: str) -> Restored:
    """Everything but the messages; raises ValueError or TypeError."""
    (created_at,) = cursor.execute("SELECT value FROM meta WHERE name = 'created_at'").fetchone()
    accounts = {
        str(name): (int(account_id), LimiterState(int(uptime_us), int(paused_until), rate / RATE_SCALE))
        for account_id, name, uptime_us, paused_until, rate in cursor.execute(statements.SELECT_ACCOUNTS)
    }
    campaigns = {
        int(campaign_id): CampaignName(str(account), str(campaign))
        for campaign_id, account, campaign in cursor.execute(statements.SELECT_CAMPAIGNS)
    }
    values = [
        (SeriesKey(int(campaign_id), Kind(kind), str(label1), str(label2)), int(value))
        for campaign_id, kind, label1, label2, value in cursor.execute(statements.SELECT_SERIES)
    ]
    cohorts = [
        (CohortKey(campaign_id, began_at), Cohort(*counts))
        for campaign_id, began_at, *counts in map(integers, cursor.execute(statements.SELECT_COHORTS))
    ]
    return Restored(int(created_at), accounts, campaigns, values, cohorts, warning)
