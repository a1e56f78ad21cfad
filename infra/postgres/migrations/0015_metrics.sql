-- Up Migration

-- When the provider was through with what was delivered: between started_at and finished_at.
ALTER TABLE generations ADD COLUMN rendered_at timestamptz;

-- What has ended, been accepted or been booked since the last look: figures are counted on from there.
CREATE INDEX generations_by_end ON generations (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX credit_entries_by_age ON credit_entries (created_at);
