const MAX_WAIT_SECONDS = 60;

/** `Prefer: wait=N` in seconds, at most 60: RFC 7240 lets the server choose. Anything else is ignored, as it wants. */
export function waitSecondsFrom(header: string | undefined): number | null {
  const match = /(?:^|[,;])\s*wait\s*=\s*"?(\d+)"?\s*(?:$|[,;])/i.exec(header ?? '');
  const seconds = Number(match?.[1] ?? 0);
  return seconds >= 1 ? Math.min(seconds, MAX_WAIT_SECONDS) : null;
}
