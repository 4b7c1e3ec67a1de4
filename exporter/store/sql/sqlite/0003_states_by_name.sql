-- The columns get the names that the program uses, and a sign or -1 no longer means anything.

ALTER TABLE accounts RENAME COLUMN answering_us TO uptime_us;
ALTER TABLE messages RENAME COLUMN answering_base_us TO uptime_at_accept_us;
-- The final status that an untrusted webhook claimed last; 0: none.
ALTER TABLE messages RENAME COLUMN hearsay TO claimed_status;
-- 0: no claim, 1: open, 2: settled.
ALTER TABLE messages ADD COLUMN claim_state INTEGER NOT NULL DEFAULT 0;
-- The cost that came with a final status from a webhook, while a poll must still bring the rest; else NULL.
ALTER TABLE messages ADD COLUMN webhook_cost_nanos INTEGER;
-- A negative claim was a settled one.
UPDATE messages SET
    claimed_status     = abs(claimed_status),
    claim_state        = (claimed_status <> 0) + (claimed_status < 0),
    webhook_cost_nanos = nullif(told_nanos, -1)
WHERE claimed_status <> 0 OR told_nanos <> -1;
ALTER TABLE messages DROP COLUMN told_nanos;
