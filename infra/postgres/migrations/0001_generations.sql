-- Up Migration

-- One row is one request for pictures; its Workflow is 'generation/<id>'.
CREATE TABLE generations (
  id                  text PRIMARY KEY,
  account_id          text NOT NULL DEFAULT 'default',
  status              text NOT NULL DEFAULT 'QUEUED'
                      CHECK (status IN ('QUEUED', 'PROCESSING', 'RECOVERING', 'COMPLETED', 'FAILED', 'TIMEOUT', 'CANCELLED')),
  template            text NOT NULL,
  provider            text NOT NULL DEFAULT 'comfyui' CHECK (provider IN ('comfyui', 'fal')),
  graph_key           text NOT NULL,
  priority            smallint NOT NULL DEFAULT 3 CHECK (priority BETWEEN 1 AND 5),
  asked               jsonb NOT NULL,
  delivered           jsonb,
  metadata            jsonb NOT NULL DEFAULT '{}',
  -- What the relay starts the Workflow with, complete: acceptance and start share nothing else.
  workflow_input      jsonb NOT NULL,
  failure_kind        text,
  -- {detail, facts}: what went wrong in words, and what the classifier saw.
  failure             jsonb,
  backend_id          text,
  -- The fence: a write that carries a lower submission number comes from a worker that was left behind.
  submission          integer NOT NULL DEFAULT 0,
  retry_of            text REFERENCES generations (id),
  cancel_requested_at timestamptz,
  event_sequence      integer NOT NULL DEFAULT 0,
  created_at          timestamptz NOT NULL DEFAULT now(),
  started_at          timestamptz,
  finished_at         timestamptz,
  CHECK ((failure_kind IS NOT NULL) = (status IN ('FAILED', 'TIMEOUT'))),
  CHECK ((finished_at IS NOT NULL) = (status IN ('COMPLETED', 'FAILED', 'TIMEOUT', 'CANCELLED')))
);

CREATE INDEX generations_by_age ON generations (created_at DESC, id DESC);
CREATE INDEX generations_open ON generations (priority, created_at, id) WHERE finished_at IS NULL;

CREATE TABLE outputs (
  generation_id text NOT NULL REFERENCES generations (id) ON DELETE CASCADE,
  index         integer NOT NULL CHECK (index >= 0),
  kind          text NOT NULL CHECK (kind IN ('image', 'video', 'audio', 'text', 'file', 'latent')),
  media_type    text NOT NULL,
  object_key    text NOT NULL,
  bytes         bigint NOT NULL CHECK (bytes > 0),
  sha256        text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
  width_px      integer,
  height_px     integer,
  is_flat       boolean NOT NULL DEFAULT false,
  PRIMARY KEY (generation_id, index)
);

-- What a listener must be able to replay: gapless per generation, so that Last-Event-ID has a meaning.
CREATE TABLE generation_events (
  generation_id text NOT NULL REFERENCES generations (id) ON DELETE CASCADE,
  sequence      integer NOT NULL,
  type          text NOT NULL,
  data          jsonb NOT NULL,
  created_at    timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (generation_id, sequence)
);

CREATE TABLE recovery_attempts (
  generation_id     text NOT NULL REFERENCES generations (id) ON DELETE CASCADE,
  attempt           integer NOT NULL,
  kind              text NOT NULL,
  strategy          text NOT NULL,
  message           text NOT NULL,
  parameters_before jsonb,
  parameters_after  jsonb,
  -- Null while the recovery is under way; set when the generation ends.
  success           boolean,
  created_at        timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (generation_id, attempt)
);

-- What must still be told to Temporal; written in the transaction that decided it, deleted once Temporal knows.
CREATE TABLE outbox (
  id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind            text NOT NULL CHECK (kind IN ('start', 'cancel')),
  generation_id   text NOT NULL REFERENCES generations (id) ON DELETE CASCADE,
  created_at      timestamptz NOT NULL DEFAULT now(),
  attempts        integer NOT NULL DEFAULT 0,
  next_attempt_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (generation_id, kind)
);

CREATE INDEX outbox_due ON outbox (next_attempt_at, id);

-- The first answer to a key, kept word for word: whoever asks again gets the same bytes.
CREATE TABLE idempotency_keys (
  account_id      text NOT NULL,
  key             text NOT NULL,
  request_sha256  text NOT NULL,
  generation_id   text NOT NULL REFERENCES generations (id) ON DELETE CASCADE,
  response_body   text NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (account_id, key)
);

CREATE FUNCTION guard_generation_status() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.status IN ('COMPLETED', 'FAILED', 'TIMEOUT', 'CANCELLED') AND NEW.status IS DISTINCT FROM OLD.status THEN
    RAISE EXCEPTION 'generation % is % and cannot become %', OLD.id, OLD.status, NEW.status
      USING ERRCODE = 'check_violation', CONSTRAINT = 'terminal_status_is_never_left';
  END IF;
  IF NEW.status = 'COMPLETED' AND OLD.status <> 'COMPLETED'
     AND NOT EXISTS (SELECT FROM outputs WHERE generation_id = NEW.id) THEN
    RAISE EXCEPTION 'generation % cannot be COMPLETED without an output', NEW.id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'completed_has_an_output';
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER guard_generation_status BEFORE UPDATE ON generations
  FOR EACH ROW EXECUTE FUNCTION guard_generation_status();

CREATE FUNCTION announce_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('generation_events', NEW.generation_id);
  RETURN NULL;
END $$;

CREATE TRIGGER announce_event AFTER INSERT ON generation_events
  FOR EACH ROW EXECUTE FUNCTION announce_event();

CREATE FUNCTION announce_outbox() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('outbox', '');
  RETURN NULL;
END $$;

CREATE TRIGGER announce_outbox AFTER INSERT ON outbox
  FOR EACH STATEMENT EXECUTE FUNCTION announce_outbox();
