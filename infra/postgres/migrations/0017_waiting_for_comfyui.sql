-- Up Migration

-- Places are counted over those that wait for a ComfyUI. An index over all that waits has to be compared with its table, so
-- it was not used: with 10,000 waiting a page of the list read and sorted the whole table.
DROP INDEX generations_waiting;
CREATE INDEX generations_waiting ON generations (pool, priority, created_at, id) INCLUDE (flow, template)
  WHERE status = 'QUEUED' AND provider = 'comfyui';

-- How many each backend renders, asked with every place.
CREATE INDEX generations_rendering ON generations (backend_id) WHERE status = 'PROCESSING' AND finished_at IS NULL;
