-- Up Migration

ALTER TABLE uploads
  -- Of a video: whether it has a sound. Null for what was uploaded before anybody looked.
  ADD COLUMN has_sound boolean;
