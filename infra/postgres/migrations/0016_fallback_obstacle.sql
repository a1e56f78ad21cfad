-- Up Migration

-- Why fal.ai does not take a generation that waits while no backend is healthy.
ALTER TABLE generations ADD COLUMN fallback_obstacle text;
