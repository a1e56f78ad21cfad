const MEGABYTE = 1_000_000;
/** A rate over a shorter time is noise. */
const JUDGED_AFTER_MS = 3_000;

export function megabytesInWords(doneBytes: number, totalBytes: number, elapsedMs: number): string {
  const done = Math.round(doneBytes / MEGABYTE);
  if (totalBytes <= 0) return `${done} MB`;
  return `${done} of ${Math.round(totalBytes / MEGABYTE)} MB${leftInWords(doneBytes / totalBytes, elapsedMs)}`;
}

export function packagesInWords(done: number, total: number, elapsedMs: number): string {
  const counted = (count: number) => count.toLocaleString('en-US');
  return `compiled ${counted(done)} of ${counted(total)} packages${leftInWords(done / total, elapsedMs)}`;
}

/** Estimated from the rate so far; empty while that says little. */
function leftInWords(share: number, elapsedMs: number): string {
  if (elapsedMs < JUDGED_AFTER_MS || share <= 0 || share >= 1) return '';
  const seconds = (elapsedMs * (1 - share)) / share / 1000;
  return seconds < 90
    ? `, about ${Math.max(1, Math.round(seconds))} s left`
    : `, about ${Math.round(seconds / 60)} min left`;
}
