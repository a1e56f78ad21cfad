const MAX_WAIT_SECONDS = 60;

/** `Prefer: wait=N` in seconds; anything else is ignored, as RFC 7240 wants. */
export function waitSecondsFrom(header: string | undefined): number | null {
  const match = /(?:^|[,;])\s*wait\s*=\s*"?(\d{1,3})"?\s*(?:$|[,;])/i.exec(header ?? '');
  const seconds = Number(match?.[1] ?? 0);
  return seconds >= 1 && seconds <= MAX_WAIT_SECONDS ? seconds : null;
}
