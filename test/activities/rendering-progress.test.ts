import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { applyEvent, initialProgress, progressEventSchema } from '../../activities/comfyui/rendering-progress.js';
import type { ProgressEvent } from '../../activities/comfyui/rendering-progress.js';

const event = (type: string, data: object = {}): ProgressEvent => progressEventSchema.parse({ type, data });
const after = (...events: readonly ProgressEvent[]) => events.reduce(applyEvent, initialProgress(7));

describe('R5.3 Progress', () => {
  test('a usual run goes from 0 to nearly 100, and sampling is where the way goes', () => {
    const start = after(event('execution_start'), event('execution_cached', { nodes: [] }));
    expect(start).toMatchObject({ percent: 0, hasStarted: true, hasEnded: false });
    const halfway = after(event('executing', { node: '3' }), event('progress', { node: '3', value: 5, max: 10 }));
    expect(halfway).toMatchObject({ nodeId: '3', step: 5, steps: 10 });
    expect(halfway.percent).toBeGreaterThan(25);
    expect(halfway.percent).toBeLessThan(50);
    const nodes = Object.fromEntries(['3', '4', '5', '6', '7', '8', '9'].map((id) => [id, { state: 'finished' }]));
    expect(applyEvent(halfway, event('progress_state', { nodes })).percent).toBe(100);
  });

  test('the null node, an error and an interruption each end the run', () => {
    for (const end of [event('executing', { node: null }), event('execution_error'), event('execution_interrupted')]) {
      expect(after(end).hasEnded).toBe(true);
    }
  });

  test('a node that is executing again after a restart does not bring the old step along', () => {
    expect(after(event('progress', { node: '3', value: 5, max: 10 }), event('executing', { node: '8' }))).toMatchObject(
      { nodeId: '8', step: null, steps: null },
    );
  });

  test('a node that announces no steps at all does not spoil the percentage', () => {
    const [some, none] = [
      event('progress', { node: '3', value: 5, max: 10 }),
      event('progress', { node: '3', value: 0, max: 0 }),
    ];
    expect(after(some, none).percent).toBe(after(some).percent);
  });

  test('types that are not known change nothing', () => {
    const before = initialProgress(7);
    expect(applyEvent(before, event('crystools.monitor', { node: '3' }))).toBe(before);
  });

  test('whatever events come in whatever order, the percentage never falls and stays between 0 and 100', () => {
    const id = fc.constantFrom('1', '2', '3', '4');
    const anyEvent = fc.oneof(
      fc.constantFrom('execution_start', 'execution_success', 'execution_error', 'status').map((type) => event(type)),
      fc.option(id).map((node) => event('executing', { node })),
      fc.array(id).map((nodes) => event('execution_cached', { nodes })),
      fc
        .dictionary(id, fc.constantFrom({ state: 'running' }, { state: 'finished' }))
        .map((nodes) => event('progress_state', { nodes: { ...nodes } })),
      fc
        .record({ node: fc.option(id), value: fc.integer({ min: -1, max: 30 }), max: fc.integer({ min: 0, max: 20 }) })
        .map((data) => event('progress', data)),
    );
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 9 }), fc.array(anyEvent, { maxLength: 40 }), (nodeCount, events) => {
        let progress = initialProgress(nodeCount);
        for (const next of events) {
          const { percent } = progress;
          progress = applyEvent(progress, next);
          expect(progress.percent).toBeGreaterThanOrEqual(percent);
          expect(progress.percent).toBeLessThanOrEqual(100);
        }
      }),
      { numRuns: 500 },
    );
  });
});
