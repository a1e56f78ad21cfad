-- Up Migration

-- Every emergency stop there was. The one that is not resumed yet is in force: nothing is accepted, nothing is started.
CREATE TABLE emergency_stops (
  id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  reason        text NOT NULL,
  requested_at  timestamptz NOT NULL DEFAULT now(),
  -- What was found and done, by backend; null until everything has been looked at.
  report        jsonb,
  completed_at  timestamptz,
  resumed_at    timestamptz,
  CHECK ((report IS NULL) = (completed_at IS NULL))
);

CREATE UNIQUE INDEX emergency_stop_in_force ON emergency_stops ((true)) WHERE resumed_at IS NULL;
