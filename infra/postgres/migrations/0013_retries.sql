-- Up Migration

-- The key of a request that makes several generations, or none, belongs to none of them.
ALTER TABLE idempotency_keys ADD CHECK (generation_id IS NULL OR batch_id IS NULL);

-- What a generation that has failed leaves to the one that repeats it: parts of a batch, its last prompt.
ALTER TABLE checkpoints ADD COLUMN resumption jsonb;

-- Backends that do not get it again, for the reasons of its failures there.
ALTER TABLE generations ADD COLUMN avoided jsonb NOT NULL DEFAULT '[]';
