-- What webhooks tell before an answer of the provider's does.

-- The final status that was told and no answer has borne out yet; negative once one didn't; 0: none.
ALTER TABLE messages ADD COLUMN hearsay INTEGER NOT NULL DEFAULT 0;
-- The cost that came with an end that a webhook told, while an answer is still to tell the rest; else -1.
ALTER TABLE messages ADD COLUMN told_nanos INTEGER NOT NULL DEFAULT -1;
