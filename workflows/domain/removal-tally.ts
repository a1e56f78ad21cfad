/** What became of files that had been kept for their time. */
export interface RemovalTally {
  readonly files: number;
  readonly bytes: number;
  /** Files that stay although they are old, because something needs them. */
  readonly kept: number;
  /** Files that could not be removed, or steps that did not end. */
  readonly failed: number;
  /** What was said about the first of those. */
  readonly errors: readonly string[];
}

export const NOTHING_REMOVED: RemovalTally = { files: 0, bytes: 0, kept: 0, failed: 0, errors: [] };

/** Enough to see what is wrong; a folder without permission says the same of every file. */
const MAX_ERRORS = 5;

export function addTallies(one: RemovalTally, other: Partial<RemovalTally>): RemovalTally {
  const { files = 0, bytes = 0, kept = 0, failed = 0, errors = [] } = other;
  return {
    files: one.files + files,
    bytes: one.bytes + bytes,
    kept: one.kept + kept,
    failed: one.failed + failed,
    errors: [...one.errors, ...errors].slice(0, MAX_ERRORS),
  };
}
