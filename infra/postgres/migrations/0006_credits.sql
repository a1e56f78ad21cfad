-- Up Migration

CREATE TABLE accounts (
  id         text PRIMARY KEY,
  created_at timestamptz NOT NULL DEFAULT now()
);

-- The only truth about credits: written once, never changed. Whoever adds an entry holds the row of the account.
CREATE TABLE credit_entries (
  id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  account_id    text NOT NULL REFERENCES accounts (id),
  -- grant: given; hold: set aside at acceptance; capture: the held ones are spent; release: they are given back.
  kind          text NOT NULL CHECK (kind IN ('grant', 'hold', 'capture', 'release')),
  credits       integer NOT NULL CHECK (credits > 0),
  -- What the account can still spend after this entry.
  balance       bigint NOT NULL CHECK (balance >= 0),
  -- Kept when the generation itself is removed.
  generation_id text,
  -- The caller's own name of a grant: the same one is given once.
  reference     text,
  created_at    timestamptz NOT NULL DEFAULT now(),
  CHECK ((kind = 'grant') = (generation_id IS NULL)),
  CHECK ((kind = 'grant') = (reference IS NOT NULL))
);

CREATE INDEX credit_entries_by_account ON credit_entries (account_id, id DESC);
CREATE UNIQUE INDEX credits_held_once ON credit_entries (generation_id) WHERE kind = 'hold';
CREATE UNIQUE INDEX credits_settled_once ON credit_entries (generation_id) WHERE kind IN ('capture', 'release');
CREATE UNIQUE INDEX credits_granted_once ON credit_entries (account_id, reference) WHERE kind = 'grant';

CREATE FUNCTION refuse_change_of_credits() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'credit entries are never changed or removed' USING ERRCODE = 'check_violation';
END $$;

CREATE TRIGGER credit_entries_are_final BEFORE UPDATE OR DELETE OR TRUNCATE ON credit_entries
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_credits();

-- What the generation costs its account; null where no account is used.
ALTER TABLE generations ADD COLUMN credits integer CHECK (credits > 0);
