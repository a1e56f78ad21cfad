import { afterEach, describe, expect, test } from '@jest/globals';
import { checkHealth } from '../../activities/comfyui/check-health.js';
import { clientAt, closeConnections } from './support/activity-world.js';
import { simulator, stopSimulators } from './support/simulators.js';
import { closeStubs, freePort, sendJson, sendPage, startStub } from './support/stub-server.js';

afterEach(async () => {
  await closeConnections();
  await Promise.all([stopSimulators(), closeStubs()]);
});

describe('R3.6 Health', () => {
  test('a healthy server is recognised with its first answer, in under 5 s', async () => {
    const comfy = await simulator();
    const startedAtMs = performance.now();
    await expect(checkHealth(clientAt(comfy.url).http)).resolves.toEqual({ status: 'healthy' });
    expect(performance.now() - startedAtMs).toBeLessThan(5_000);
  });

  test('the second route counts when the first does not answer', async () => {
    const server = await startStub((request, response) => {
      if (request.url === '/api/queue') sendJson(response, 500, {});
      else sendJson(response, 200, { system: {} });
    });
    await expect(checkHealth(clientAt(server.url).http)).resolves.toEqual({ status: 'healthy' });
    expect(server.requests).toEqual(['GET /api/queue', 'GET /api/system_stats']);
  });

  test('five attempts over three routes, with growing pauses: starting when its page answers, down when nothing does', async () => {
    const starting = await startStub((request, response) => {
      if (request.url === '/') sendPage(response);
      else sendPage(response, 503);
    });
    const closed = await freePort();
    const startedAtMs = performance.now();
    const [first, second] = await Promise.all([
      checkHealth(clientAt(starting.url).http),
      checkHealth(clientAt(`http://127.0.0.1:${closed}`).http),
    ]);
    expect(first).toEqual({ status: 'starting', reason: '/api/system_stats answered 503' });
    expect(second).toEqual({ status: 'down', reason: '/api/system_stats: connection refused' });
    const round = ['GET /api/queue', 'GET /api/system_stats', 'GET /'];
    expect(starting.requests).toEqual(Array.from({ length: 5 }, () => round).flat());
    // 0.6 + 1.2 + 1.8 + 2.4 s
    expect(performance.now() - startedAtMs).toBeGreaterThanOrEqual(5_900);
  });

  test('a server that comes up between two attempts is healthy', async () => {
    let asked = 0;
    const server = await startStub((_request, response) => {
      asked += 1;
      if (asked <= 3) sendPage(response, 503);
      else sendJson(response, 200, { queue_running: [], queue_pending: [] });
    });
    await expect(checkHealth(clientAt(server.url).http)).resolves.toEqual({ status: 'healthy' });
    expect(server.requests).toHaveLength(4);
  });

  test('a page that answers 200 to everything is no healthy ComfyUI', async () => {
    const page = await startStub((_request, response) => sendPage(response));
    const stop = new AbortController();
    const health = checkHealth(clientAt(page.url).http, stop.signal);
    stop.abort(new Error('enough'));
    await expect(health).rejects.toThrow();
  });
});
