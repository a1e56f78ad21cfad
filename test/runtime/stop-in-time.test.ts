import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from '@jest/globals';
import { projectRoot } from '../../infra/runtime/project-root.js';

const run = promisify(execFile);

/** A process that was asked to stop, and what it still has to do. */
function stoppedWith(rest: string) {
  const program = `
    import { createLogger } from './dist/infra/runtime/logger.js';
    import { stopInTime } from './dist/infra/runtime/stop-in-time.js';
    ${rest}
    stopInTime(process, createLogger({ name: 'late' }), 500);
  `;
  return run(process.execPath, ['--input-type=module', '--eval', program], { cwd: projectRoot, timeout: 20_000 });
}

test('what is kept by something ends all the same, with an error and the name of what kept it', async () => {
  const late = await stoppedWith('setInterval(() => undefined, 60_000);').then(
    () => null,
    (error: unknown) => error as { readonly code: number; readonly stderr: string },
  );
  expect(late?.code).toBe(1);
  expect(JSON.parse(late?.stderr ?? '')).toMatchObject({
    msg: 'Did not stop in time, and ends now',
    keptBy: expect.arrayContaining(['Timeout']),
    withinMs: 500,
  });
});

test('what ends by itself is not waited for', async () => {
  expect(await stoppedWith('')).toEqual({ stdout: '', stderr: '' });
});
