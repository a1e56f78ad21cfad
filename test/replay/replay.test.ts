import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { expect, test } from '@jest/globals';
import { projectRoot } from '../../infra/runtime/project-root.js';

Runtime.install({ logger: new DefaultLogger('ERROR') });
const folder = join(projectRoot, 'test', 'replay', 'histories');
const names = readdirSync(folder).filter((name) => name.endsWith('.json'));
const workflowsPath = join(projectRoot, 'workflows', 'index.ts');

test('histories of a finished, a cancelled, a recovered and a failed generation and of a backend are kept', () => {
  expect(names).toEqual(
    expect.arrayContaining(['backend.json', 'cancelled.json', 'completed.json', 'crashed-backend.json', 'failed.json']),
  );
});

test.each(names)(
  'the recorded history %s replays on the workflows of today',
  async (name) => {
    await Worker.runReplayHistory({ workflowsPath }, historyOf(name));
  },
  60_000,
);

test('a history that this code would not have written is refused', async () => {
  const text = readFileSync(join(folder, 'completed.json'), 'utf8').replaceAll(
    '"submitPrompt"',
    '"submitSomethingElse"',
  );
  await expect(Worker.runReplayHistory({ workflowsPath }, JSON.parse(text) as unknown)).rejects.toThrow(
    /submitSomethingElse/,
  );
}, 60_000);

function historyOf(name: string): unknown {
  return JSON.parse(readFileSync(join(folder, name), 'utf8'));
}
