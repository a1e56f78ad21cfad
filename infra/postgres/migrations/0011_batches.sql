-- Up Migration

-- Generations that were accepted together, in one transaction.
CREATE TABLE batches (
  id                  text PRIMARY KEY,
  account_id          text NOT NULL DEFAULT 'default',
  -- Places; each holds one generation at any time.
  total               integer NOT NULL CHECK (total > 0),
  created_at          timestamptz NOT NULL DEFAULT now(),
  cancel_requested_at timestamptz
);

CREATE INDEX batches_by_age ON batches (created_at DESC, id DESC);

ALTER TABLE generations
  ADD COLUMN batch_id    text REFERENCES batches (id),
  -- Its place in the batch; null once its retry has taken the place.
  ADD COLUMN batch_index integer CHECK (batch_index >= 0),
  ADD COLUMN pool        text NOT NULL GENERATED ALWAYS AS (coalesce(workflow_input ->> 'pool', 'default')) STORED,
  -- Whose turn it is, and Temporal's fairness key (at most 64 bytes): an account, or all batches of an account.
  ADD COLUMN flow        text NOT NULL
    GENERATED ALWAYS AS (CASE WHEN batch_id IS NULL THEN account_id ELSE left('batch/' || account_id, 64) END) STORED,
  ADD CHECK (batch_id IS NOT NULL OR batch_index IS NULL);

CREATE UNIQUE INDEX generations_by_batch ON generations (batch_id, batch_index) WHERE batch_id IS NOT NULL;
CREATE INDEX generations_of_open_batches ON generations (batch_id, pool)
  WHERE finished_at IS NULL AND batch_id IS NOT NULL;
CREATE INDEX generations_open_by_account ON generations (account_id) WHERE finished_at IS NULL;
CREATE INDEX generations_waiting ON generations (pool, priority, created_at, id) INCLUDE (flow, template)
  WHERE status = 'QUEUED';
-- How long renderings took lately.
CREATE INDEX generations_rendered ON generations (template, finished_at DESC) INCLUDE (backend_id, started_at)
  WHERE status = 'COMPLETED';

-- Generations of batches that the relay was not given yet: Temporal knows nothing of them. A row leaves for the outbox.
CREATE TABLE unfed_generations (
  generation_id text PRIMARY KEY REFERENCES generations (id) ON DELETE CASCADE,
  batch_id      text NOT NULL,
  pool          text NOT NULL,
  priority      smallint NOT NULL
);

CREATE INDEX unfed_in_order ON unfed_generations (batch_id, pool, priority, generation_id);

-- In which order Temporal is told: cancels (0) first, then by priority, and within it in turns between flows.
ALTER TABLE outbox
  ADD COLUMN priority smallint NOT NULL DEFAULT 0,
  -- That of the generation.
  ADD COLUMN flow     text NOT NULL DEFAULT '',
  ADD COLUMN turn     bigint NOT NULL DEFAULT 0;

DROP INDEX outbox_due;
CREATE INDEX outbox_in_turn ON outbox (priority, turn, id);
CREATE INDEX outbox_by_flow ON outbox (flow, turn) WHERE kind = 'start';
CREATE INDEX outbox_turns ON outbox (turn) WHERE kind = 'start';

-- Null: as the service is configured.
ALTER TABLE accounts
  ADD COLUMN best_priority smallint CHECK (best_priority BETWEEN 1 AND 5),
  ADD COLUMN max_open      integer CHECK (max_open >= 0),
  -- Its share of the GPUs while several accounts wait; Temporal takes 0.001 to 1000.
  ADD COLUMN weight        real CHECK (weight BETWEEN 0.001 AND 1000);

ALTER TABLE idempotency_keys
  ALTER COLUMN generation_id DROP NOT NULL,
  ADD COLUMN batch_id text REFERENCES batches (id) ON DELETE CASCADE;

-- Of a batch's generation its watchers are told by the id of the batch, too.
CREATE OR REPLACE FUNCTION announce_event() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  batch text;
BEGIN
  PERFORM pg_notify('generation_events', NEW.generation_id);
  SELECT batch_id INTO batch FROM generations WHERE id = NEW.generation_id;
  IF batch IS NOT NULL THEN
    PERFORM pg_notify('generation_events', batch);
  END IF;
  RETURN NULL;
END $$;

-- Nobody can follow a generation before it is accepted.
DROP TRIGGER announce_event ON generation_events;
CREATE TRIGGER announce_event AFTER INSERT ON generation_events
  FOR EACH ROW WHEN (NEW.sequence > 1) EXECUTE FUNCTION announce_event();
