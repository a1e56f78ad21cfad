-- Up Migration

-- What callers bring: pictures, videos, sounds. The bytes lie once in the object store, under their hash.
CREATE TABLE uploads (
  id               text PRIMARY KEY,
  account_id       text NOT NULL DEFAULT 'default',
  -- As announced; of a file that has arrived: as stored.
  bytes            bigint NOT NULL CHECK (bytes > 0),
  -- Null until the bytes have arrived and were decoded.
  sha256           text CHECK (sha256 ~ '^[0-9a-f]{64}$'),
  object_key       text,
  kind             text CHECK (kind IN ('image', 'video', 'audio')),
  media_type       text,
  width_px         integer,
  height_px        integer,
  duration_seconds real,
  created_at       timestamptz NOT NULL DEFAULT now(),
  used_at          timestamptz NOT NULL DEFAULT now(),
  CHECK ((sha256 IS NULL) = (object_key IS NULL)),
  CHECK ((sha256 IS NULL) = (kind IS NULL)),
  CHECK ((sha256 IS NULL) = (media_type IS NULL))
);

CREATE INDEX uploads_by_hash ON uploads (sha256);
CREATE INDEX uploads_by_use ON uploads (used_at);

-- Which of them a generation needs, for as long as it is known. Whoever adds a row here, or removes the last upload of
-- a hash, holds pg_advisory_xact_lock(hashtextextended(sha256, 0)).
CREATE TABLE generation_inputs (
  generation_id text NOT NULL REFERENCES generations (id) ON DELETE CASCADE,
  sha256        text NOT NULL,
  object_key    text NOT NULL,
  PRIMARY KEY (generation_id, sha256)
);

CREATE INDEX generation_inputs_by_hash ON generation_inputs (sha256);
