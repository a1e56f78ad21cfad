-- Up Migration

-- The key of a request that makes several generations, or none, belongs to none of them.
ALTER TABLE idempotency_keys ALTER COLUMN generation_id DROP NOT NULL;
