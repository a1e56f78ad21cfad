/** Waits for what comes by itself; throws what was missing when it does not, for nothing may hang without naming itself. */
export async function inTime<T>(awaited: Promise<T>, timeoutMs: number, missing: () => string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`${missing()} within ${timeoutMs} ms`));
    }, timeoutMs);
  });
  try {
    return await Promise.race([awaited, late]);
  } finally {
    clearTimeout(timer);
  }
}
