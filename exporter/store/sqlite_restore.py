"""What a start reads from SQLite: everything that an earlier run committed, but the messages."""

from __future__ import annotations

import sqlite3

from exporter.domain.aggregates import Cohort, CohortKey
from exporter.domain.limiter import LimiterState
from exporter.domain.snapshot import CampaignName, Kind, SeriesKey
from exporter.store import QueueTime, Restored

RATE_SCALE = 1_000_000
"""Rates are stored as whole millionths."""
_SELECT_CAMPAIGNS = "SELECT c.id, a.name, c.name FROM campaigns c JOIN accounts a ON a.id = c.account_id"
_SELECT_ACCOUNTS = "SELECT id, name, uptime_us, paused_until, rate_micros FROM accounts"
_SELECT_SERIES = "SELECT campaign_id, kind, label1, label2, value FROM series"
_SELECT_COHORTS = (
    "SELECT campaign_id, began_at, sent, delivered, met, missed, finished, fell_back FROM cohorts"
)


def _make_integers(row: tuple[int, ...]) -> tuple[int, ...]:
    """The row, made of nothing but integers; raises ValueError or TypeError."""
    return tuple(map(int, row))


def count_commits(cursor: sqlite3.Cursor) -> int:
    """How many transactions the database has seen; raises ValueError or TypeError."""
    (value,) = cursor.execute("SELECT value FROM meta WHERE name = 'commits'").fetchone()
    return int(value)


def read_state(cursor: sqlite3.Cursor, warning: str) -> Restored:
    """Everything but the messages; raises ValueError or TypeError."""
    accounts = {
        str(name): (int(account_id), LimiterState(int(uptime_us), int(paused_until), rate / RATE_SCALE))
        for account_id, name, uptime_us, paused_until, rate in cursor.execute(_SELECT_ACCOUNTS)
    }
    campaigns = {
        int(campaign_id): CampaignName(str(account), str(campaign))
        for campaign_id, account, campaign in cursor.execute(_SELECT_CAMPAIGNS)
    }
    values = [
        (SeriesKey(int(campaign_id), Kind(kind), str(label1), str(label2)), int(value))
        for campaign_id, kind, label1, label2, value in cursor.execute(_SELECT_SERIES)
    ]
    cohorts = [
        (CohortKey(campaign_id, began_at), Cohort(*counts))
        for campaign_id, began_at, *counts in map(_make_integers, cursor.execute(_SELECT_COHORTS))
    ]
    meta = dict(cursor.execute("SELECT name, value FROM meta"))
    queue_time = QueueTime(int(meta["queue_us"]), int(meta["queue_wall_us"])) if "queue_us" in meta else None
    return Restored(int(meta["created_at"]), accounts, campaigns, values, cohorts, queue_time, warning)
