import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { startService } from '../support/service.js';
import type { Service } from '../support/service.js';
import { until } from '../support/until.js';

const page = createServer((_request, response) => {
  response.setHeader('content-type', 'text/html').end('<html>Please log in</html>');
});
let service: Service;
let pageAddress: string;

beforeAll(async () => {
  await new Promise<void>((resolve) => page.listen(0, '127.0.0.1', resolve));
  pageAddress = `127.0.0.1:${(page.address() as AddressInfo).port}`;
  service = await startService({
    comfyUrls: ['http://127.0.0.1:9', `http://${pageAddress}`],
    env: { START_DEADLINE_SECONDS: '6' },
  });
}, 60_000);

afterAll(async () => {
  await service.stop();
  page.close();
}, 60_000);

test('R2.2 without any ComfyUI a generation says why it waits, and at the start deadline what every address said', async () => {
  const { id } = await service.submit({ template: 'test-card', parameters: {} });
  const waiting = await until('the reason is known', async () => {
    const seen = await service.get(id);
    return seen.queue?.reason?.includes('127.0.0.1:9 (connection refused)') === true ? seen : null;
  });
  expect(waiting.status).toBe('QUEUED');

  const failed = await service.untilStatus(id, 'FAILED', 30_000);
  expect(failed.error).toMatchObject({ kind: 'NO_CAPACITY', code: 'no_capacity' });
  expect(failed.error?.detail).toContain('127.0.0.1:9 (connection refused)');
  expect(failed.error?.detail).toContain(`${pageAddress} (answers 200, but not as a ComfyUI)`);
}, 60_000);
