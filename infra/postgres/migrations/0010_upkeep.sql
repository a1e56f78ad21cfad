-- Up Migration

ALTER TABLE generations
  -- The objects of its outputs are gone, after their time; the rows of the outputs stay.
  ADD COLUMN outputs_removed_at timestamptz,
  -- Its claim and what is known of its requests to fal.ai are gone, because Temporal has forgotten its Workflow.
  ADD COLUMN records_removed_at timestamptz,
  ADD CHECK (outputs_removed_at IS NULL OR finished_at IS NOT NULL),
  ADD CHECK (records_removed_at IS NULL OR outputs_removed_at IS NOT NULL);

CREATE INDEX generations_with_outputs ON generations (finished_at)
  WHERE finished_at IS NOT NULL AND outputs_removed_at IS NULL;
CREATE INDEX generations_with_records ON generations (finished_at)
  WHERE outputs_removed_at IS NOT NULL AND records_removed_at IS NULL;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
