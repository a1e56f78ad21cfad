-- Up Migration

-- Values that were given in another spelling than they are known by: [{node, title, input, from, to}], node null for a parameter.
ALTER TABLE generations ADD COLUMN corrections jsonb NOT NULL DEFAULT '[]';
