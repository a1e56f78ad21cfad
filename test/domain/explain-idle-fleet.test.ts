import { describe, expect, test } from '@jest/globals';
import { explainIdleFleet } from '../../workflows/domain/explain-idle-fleet.js';
import type { ReportedBackend } from '../../workflows/domain/explain-idle-fleet.js';

function buildBackend(facts: Partial<ReportedBackend> = {}): ReportedBackend {
  return {
    backendId: 'gpu-1',
    health: 'down',
    reason: 'ComfyUI stopped answering.',
    gate: 'open',
    addresses: [],
    reportedAt: '2026-11-23T08:00:00.000Z',
    isFresh: true,
    ...facts,
  };
}

describe('R2.2 Why no backend can render', () => {
  const refused = { address: '127.0.0.1:8188', said: 'connection refused' };
  const page = { address: '127.0.0.1:7860', said: 'answers 200, but not as a ComfyUI' };

  test('there is nothing to explain while one backend is healthy', () => {
    expect(explainIdleFleet([buildBackend(), buildBackend({ health: 'healthy' })], 'default')).toBeNull();
  });

  test('backends that are healthy and take nothing are named with why, and with the route that ends it', () => {
    const shut = [
      buildBackend({ health: 'healthy', gate: 'closed', gateHolds: [{ cause: 'quarantine', reason: 'hot' }] }),
      buildBackend({
        ...{ backendId: 'gpu-2', health: 'healthy', gate: 'closed' },
        gateHolds: [
          { cause: 'emergency_stop', reason: 'smoke' },
          { cause: 'drain', reason: null },
        ],
      }),
      buildBackend({ backendId: 'gpu-3' }),
    ];
    expect(explainIdleFleet(shut, 'default')).toBe(
      'No backend takes generations now: ' +
        'gpu-1 is in quarantine until its ComfyUI is restarted (hot): POST /v1/backends/gpu-1/resume ends that. ' +
        'gpu-2 is stopped by an emergency stop (smoke): POST /v1/resume ends that; ' +
        'drained: POST /v1/backends/gpu-2/resume ends that.',
    );
  });

  test('a worker of an earlier version does not say why; its gate is explained as well as it can be', () => {
    expect(explainIdleFleet([buildBackend({ health: 'healthy', gate: 'draining' })], 'default')).toBe(
      'No backend takes generations now: gpu-1 is drained: POST /v1/backends/gpu-1/resume ends that.',
    );
  });

  test('every address of every backend is named with what it said', () => {
    const backends = [buildBackend({ addresses: [refused] }), buildBackend({ backendId: 'gpu-2', addresses: [page] })];
    expect(explainIdleFleet(backends, 'default')).toBe(
      'No ComfyUI answers. Tried 127.0.0.1:8188 (connection refused), 127.0.0.1:7860 (answers 200, but not as a ComfyUI).',
    );
  });

  test('a server that is starting up is called starting, not dead', () => {
    const backends = [buildBackend({ health: 'starting', addresses: [refused] })];
    expect(explainIdleFleet(backends, 'default')).toMatch(/^No ComfyUI answers yet\./);
  });

  test('a backend that tried no address is explained by its reason', () => {
    expect(explainIdleFleet([buildBackend()], 'default')).toBe('No ComfyUI answers. ComfyUI stopped answering.');
  });

  test('workers that are gone are named with the time when they were last heard, healthy or not', () => {
    const backends = [buildBackend({ health: 'healthy', isFresh: false })];
    expect(explainIdleFleet(backends, 'default')).toBe(
      'No GPU worker is running. Gone: gpu-1 (last heard at 2026-11-23T08:00:00.000Z).',
    );
  });

  test('a backend that is gone is not mixed with one that is alive', () => {
    const backends = [buildBackend({ backendId: 'gone', isFresh: false }), buildBackend({ addresses: [refused] })];
    expect(explainIdleFleet(backends, 'default')).not.toContain('gone');
  });

  test('a pool that nobody has ever served is told how to start a worker', () => {
    expect(explainIdleFleet([], 'video')).toMatch(/pool "video".*WORKER_ROLES=gpu/);
  });
});
