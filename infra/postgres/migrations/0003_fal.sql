-- Up Migration

-- What a generation may cost on fal.ai, set aside before anything is posted: at most once for each generation.
CREATE TABLE fal_reservations (
  generation_id text PRIMARY KEY REFERENCES generations (id) ON DELETE CASCADE,
  model_id      text NOT NULL,
  usd           numeric(12, 6) NOT NULL CHECK (usd >= 0),
  created_at    timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX fal_reservations_by_age ON fal_reservations (created_at);
