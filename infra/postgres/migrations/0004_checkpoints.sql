-- Up Migration

-- How far a rendering had come when it failed; what of it is used again is ComfyUI's cache and the stored files.
CREATE TABLE checkpoints (
  generation_id    text NOT NULL REFERENCES generations (id) ON DELETE CASCADE,
  -- The recovery that began from here.
  attempt          integer NOT NULL,
  progress_percent real NOT NULL CHECK (progress_percent BETWEEN 0 AND 100),
  -- Node ids of the graph.
  completed_nodes  jsonb NOT NULL,
  -- The graph as it was rendered, in the object store.
  graph_key        text NOT NULL,
  -- Object keys of the parts of a batch that were stored.
  files            jsonb NOT NULL,
  created_at       timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (generation_id, attempt)
);

CREATE INDEX checkpoints_by_age ON checkpoints (created_at);

-- What was accepted once more, and what has failed.
CREATE INDEX generations_by_retry ON generations (retry_of) WHERE retry_of IS NOT NULL;
CREATE INDEX generations_failed ON generations (finished_at) WHERE failure_kind IS NOT NULL;
