-- The database is the queue: what is due, in the order in which it is polled.

-- Account, priority and rank of a message that is still to be polled; NULL once it is settled.
ALTER TABLE messages ADD COLUMN lane INTEGER;
CREATE INDEX messages_queue ON messages (lane, due_at) WHERE lane IS NOT NULL;

-- Up to which row the messages of an older version are queued; gone once all are.
INSERT INTO meta (name, value) SELECT 'queued_up_to', 0 WHERE EXISTS (SELECT 1 FROM messages);
