-- Up Migration

ALTER TABLE outputs
  ADD COLUMN frames           integer CHECK (frames > 0),
  ADD COLUMN duration_seconds double precision CHECK (duration_seconds >= 0);
