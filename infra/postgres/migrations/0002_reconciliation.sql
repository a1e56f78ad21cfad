-- Up Migration

-- The Workflow run that ended the generation, so that a repetition of its record is told from a later run after a reset.
-- Null when the API ended it before there was a Workflow.
ALTER TABLE generations ADD COLUMN ended_by_run text;

-- Up to when closed Workflows have been compared with the rows; shared by all control workers.
CREATE TABLE reconciliation (
  is_only_row  boolean PRIMARY KEY DEFAULT true CHECK (is_only_row),
  closed_until timestamptz NOT NULL
);

INSERT INTO reconciliation (closed_until) VALUES (now());
