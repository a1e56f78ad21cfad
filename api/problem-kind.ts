/** What every answer of one code has in common; the detail is written where the problem is found. */
export interface ProblemKind {
  readonly status: number;
  readonly title: string;
  /** What the caller can do about it. */
  readonly remedy: string;
  /** May the same request, sent again, succeed? */
  readonly retryable: boolean;
}
