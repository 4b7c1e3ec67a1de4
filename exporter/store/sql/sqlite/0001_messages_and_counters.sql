-- Messages, the counters that are changed with them, and what must outlive a restart.
-- Instants and durations are integer microseconds, money integer billionths of a unit.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE accounts (
    id            INTEGER PRIMARY KEY,
    name          TEXT NOT NULL UNIQUE,
    answering_us  INTEGER NOT NULL DEFAULT 0,
    paused_until  INTEGER NOT NULL DEFAULT 0,
    rate_micros   INTEGER NOT NULL DEFAULT 0   -- requests per second x 1,000,000; 0: as configured
);

CREATE TABLE campaigns (
    id         INTEGER PRIMARY KEY,
    account_id INTEGER NOT NULL REFERENCES accounts (id),
    name       TEXT NOT NULL,
    UNIQUE (account_id, name)
);

CREATE TABLE messages (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id        INTEGER NOT NULL,
    campaign_id       INTEGER NOT NULL,
    message_id        TEXT NOT NULL,
    status            INTEGER NOT NULL DEFAULT 0,
    outcome           INTEGER NOT NULL DEFAULT 0,   -- the first end, which was counted; 0 while pending
    verdict           INTEGER NOT NULL DEFAULT 0,
    sent_at           INTEGER NOT NULL,
    accepted_at       INTEGER NOT NULL,
    due_at            INTEGER NOT NULL,
    polled_at         INTEGER NOT NULL DEFAULT 0,
    finished_at       INTEGER NOT NULL DEFAULT 0,
    answering_base_us INTEGER NOT NULL,
    polls             INTEGER NOT NULL DEFAULT 0,
    failures          INTEGER NOT NULL DEFAULT 0,
    refusals          INTEGER NOT NULL DEFAULT 0,
    revision          INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX messages_by_id ON messages (account_id, message_id);
CREATE INDEX messages_pending ON messages (campaign_id, sent_at) WHERE outcome = 0;

-- What is left of a message after its retention: enough to know it again.
CREATE TABLE tombstones (
    digest BLOB PRIMARY KEY,
    until  INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE series (
    campaign_id INTEGER NOT NULL,
    kind        INTEGER NOT NULL,
    label1      TEXT NOT NULL,
    label2      TEXT NOT NULL,
    value       INTEGER NOT NULL,
    PRIMARY KEY (campaign_id, kind, label1, label2)
) WITHOUT ROWID;

CREATE TABLE cohorts (
    campaign_id INTEGER NOT NULL,
    began_at    INTEGER NOT NULL,
    sent        INTEGER NOT NULL,
    delivered   INTEGER NOT NULL,
    met         INTEGER NOT NULL,
    missed      INTEGER NOT NULL,
    finished    INTEGER NOT NULL,
    fell_back   INTEGER NOT NULL,
    PRIMARY KEY (campaign_id, began_at)
) WITHOUT ROWID;

-- How far each dropped file was read, by a key of its identity and content.
CREATE TABLE files (
    file_key   BLOB PRIMARY KEY,
    progress   INTEGER NOT NULL,                -- -1: to its end
    touched_at INTEGER NOT NULL
) WITHOUT ROWID;
