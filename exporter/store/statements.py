"""The SQL of the verbs that is longer than a line or used twice."""

from __future__ import annotations

_COLUMNS = (
    "id, account_id, campaign_id, message_id, status, outcome, verdict, sent_at, accepted_at, due_at,"
    " polled_at, finished_at, answering_base_us, polls, failures, refusals, revision, hearsay, told_nanos"
)
"""In the order of `model.Message`."""

SELECT_MESSAGE = f"SELECT {_COLUMNS} FROM messages WHERE id = ?"  # noqa: S608 - a constant
SELECT_BY_ID = f"SELECT {_COLUMNS} FROM messages WHERE account_id = ? AND message_id = ?"  # noqa: S608 - a constant
SELECT_MESSAGES = f"SELECT {_COLUMNS} FROM messages WHERE id > ? ORDER BY id LIMIT ?"  # noqa: S608 - a constant
SELECT_NEWER = "SELECT id, campaign_id, revision, due_at, sent_at FROM messages WHERE id > ?"
# In the order of the table: by way of the index, each row would be a seek.
SELECT_SCHEDULE = (
    "SELECT id, campaign_id, revision, due_at FROM messages NOT INDEXED"
    " WHERE outcome = 0 OR told_nanos >= 0 OR hearsay > 0"
)
SELECT_OLDEST = "SELECT min(sent_at) FROM messages WHERE campaign_id = ? AND outcome = 0"
INSERT_MESSAGE = (
    "INSERT INTO messages"
    " (account_id, campaign_id, message_id, sent_at, accepted_at, due_at, answering_base_us, verdict)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
UPDATE_MESSAGE = (
    "UPDATE messages SET status = ?, outcome = ?, verdict = ?, due_at = ?, polled_at = ?, finished_at = ?,"
    " polls = ?, failures = ?, refusals = ?, revision = ?, hearsay = ?, told_nanos = ? WHERE id = ?"
)
SELECT_CAMPAIGNS = "SELECT c.id, a.name, c.name FROM campaigns c JOIN accounts a ON a.id = c.account_id"
SELECT_ACCOUNTS = "SELECT id, name, answering_us, paused_until, rate_micros FROM accounts"
UPDATE_ACCOUNT = "UPDATE accounts SET answering_us = ?, paused_until = ?, rate_micros = ? WHERE id = ?"
SELECT_SERIES = "SELECT campaign_id, kind, label1, label2, value FROM series"
ADD_TO_SERIES = (
    "INSERT INTO series (campaign_id, kind, label1, label2, value) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET value = value + excluded.value"
)
SELECT_COHORTS = (
    "SELECT campaign_id, began_at, sent, delivered, met, missed, finished, fell_back FROM cohorts"
)
ADD_TO_COHORT = (
    "INSERT INTO cohorts (campaign_id, began_at, sent, delivered, met, missed, finished, fell_back)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET sent = sent + excluded.sent,"
    " delivered = delivered + excluded.delivered,"
    " met = met + excluded.met, missed = missed + excluded.missed,"
    " finished = finished + excluded.finished, fell_back = fell_back + excluded.fell_back"
)
PUT_FILE = (
    "INSERT INTO files (file_key, progress, touched_at) VALUES (?, ?, ?)"
    " ON CONFLICT DO UPDATE SET progress = excluded.progress, touched_at = excluded.touched_at"
)
