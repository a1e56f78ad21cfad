import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { projectRoot } from '../../infra/runtime/project-root.js';
import { startService } from '../support/service.js';
import type { Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';
import { testServers } from '../support/stack.js';

const run = promisify(execFile);
const commands = [...new Set(['README.md', 'docs/operating.md'].flatMap(commandsIn))];
let simulator: SimulatorProcess;
let service: Service;
let generationId: string;

beforeAll(async () => {
  simulator = await startSimulator();
  service = await startService({ comfyUrls: [simulator.url] });
  ({ id: generationId } = await service.submit({ template: 'test-card', parameters: {} }));
  await service.untilStatus(generationId, 'COMPLETED');
}, 60_000);

afterAll(async () => {
  await service.stop();
  await simulator.stop();
}, 60_000);

test('there are commands to try', () => {
  expect(commands.length).toBeGreaterThan(4);
});

test.each(commands)('the documented command works: %s', async (command) => {
  const { temporalCliPath, temporalAddress } = testServers();
  const args = [...command.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare ?? '').slice(1);
  const withId = args.map((arg) => arg.replace(/gen_\S+…/, generationId));
  await run(temporalCliPath, withId, {
    env: { ...process.env, TEMPORAL_ADDRESS: temporalAddress, TEMPORAL_NAMESPACE: service.namespace },
    timeout: 20_000,
  });
});

function commandsIn(document: string): readonly string[] {
  const text = readFileSync(join(projectRoot, document), 'utf8');
  return [...text.matchAll(/^temporal .+$/gm)].map(([line]) => line);
}
