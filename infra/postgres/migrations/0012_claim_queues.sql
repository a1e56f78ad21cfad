-- Up Migration

ALTER TABLE generations
  -- The gated Task Queue in which it waits for a GPU until it renders; null where it wants none.
  ADD COLUMN claim_queue text,
  -- The heavy models of that queue: names of files.
  ADD COLUMN claim_models jsonb NOT NULL DEFAULT '[]';

-- What was accepted before waits in the queue of its pool.
UPDATE generations
SET claim_queue = CASE workflow_input ->> 'pool' WHEN 'default' THEN 'gpu' ELSE 'gpu.' || (workflow_input ->> 'pool') END
WHERE finished_at IS NULL AND coalesce(workflow_input ->> 'provider', 'comfyui') <> 'fal';
