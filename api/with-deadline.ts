/** Something did not answer in time. */
export class DeadlineError extends Error {
  override readonly name = 'DeadlineError';
}

/** The promise's own answer, or `DeadlineError` after `ms`; what it waits for goes on. */
export async function withDeadline<T>(ms: number, answer: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new DeadlineError(`No answer within ${ms} ms`));
    }, ms);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
    answer.catch(() => undefined); // it may still fail when nobody waits any more
  }
}
