import { describe, expect, test } from '@jest/globals';
import { RenderingForecast } from '../../activities/comfyui/rendering-forecast.js';
import { renderingKindOf } from '../../activities/comfyui/rendering-kind.js';
import { initialProgress } from '../../activities/comfyui/rendering-progress.js';
import type { RenderingProgress } from '../../activities/comfyui/rendering-progress.js';
import { segmented, textToImage } from '../simulator/graphs.js';

function buildForecast() {
  const clock = { ms: 1_000_000 };
  return { clock, forecast: new RenderingForecast(() => clock.ms) };
}

const at = (step: number, steps = 20, nodeId = '3'): RenderingProgress => ({
  ...initialProgress(7),
  ...{ nodeId, step, steps },
});

/** A rendering of this graph that took so long, from its submission to its end. */
function rendered(
  { clock, forecast }: ReturnType<typeof buildForecast>,
  graph: ReturnType<typeof textToImage>,
  durationMs: number,
) {
  forecast.submitted('earlier', graph);
  forecast.observed('earlier', clock.ms, null);
  clock.ms += durationMs;
  forecast.ended('earlier', { hasSucceeded: true });
}

describe('The forecast of a rendering', () => {
  test('an empty queue needs no time', () => {
    expect(buildForecast().forecast.aheadMs(0)).toBe(0);
  });

  test('prompts of others, and ours of which nothing is known, are never guessed', () => {
    const { clock, forecast } = buildForecast();
    expect(forecast.aheadMs(1)).toBeNull();
    forecast.submitted('p', textToImage());
    expect(forecast.aheadMs(1)).toBeNull();
    forecast.observed('p', clock.ms, at(1));
    expect(forecast.aheadMs(1)).toBeNull(); // one step, seen at its end, says nothing about the next
  });

  test('two steps tell how long the rest takes, and time that passes shortens it', () => {
    const { clock, forecast } = buildForecast();
    forecast.observed('p', clock.ms, at(4));
    clock.ms += 2_000;
    forecast.observed('p', clock.ms, at(8));
    expect(forecast.aheadMs(1)).toBe(6_000);
    clock.ms += 400;
    expect(forecast.aheadMs(1)).toBe(5_600);
    forecast.observed('p', clock.ms, at(8)); // an event that brings no new step
    expect(forecast.aheadMs(1)).toBe(5_600);
  });

  test('a second sampler that has not begun leaves the first one without a word about the end', () => {
    const { clock, forecast } = buildForecast();
    forecast.submitted('p', segmented({ steps: 20, splitAt: 10 }));
    forecast.observed('p', clock.ms, at(1, 10, '31'));
    clock.ms += 100;
    forecast.observed('p', clock.ms, at(2, 10, '31'));
    expect(forecast.aheadMs(1)).toBeNull();
    forecast.observed('p', clock.ms, { ...at(1, 10, '32'), finishedNodes: new Set(['31']) });
    clock.ms += 100;
    forecast.observed('p', clock.ms, { ...at(2, 10, '32'), finishedNodes: new Set(['31']) });
    expect(forecast.aheadMs(1)).toBe(800);
  });

  test('graphs of the same kind take the middle of what the last ones took, whatever their text and seed', () => {
    const world = buildForecast();
    rendered(world, textToImage({ seed: 1 }), 30_000); // loaded its model
    rendered(world, textToImage({ seed: 2 }), 1_000);
    rendered(world, textToImage({ seed: 3 }), 1_200);
    world.forecast.submitted('p', textToImage({ seed: 4, promptText: 'a castle by a lake' }));
    expect(world.forecast.aheadMs(1)).toBe(1_200);
    world.forecast.observed('p', world.clock.ms - 200, null);
    expect(world.forecast.aheadMs(1)).toBe(1_000);
    world.clock.ms += 1_100;
    expect(world.forecast.aheadMs(1)).toBeNull(); // it takes longer than its kind: this one is different
  });

  test('other steps or sizes are another kind', () => {
    const world = buildForecast();
    rendered(world, textToImage({ steps: 4 }), 1_000);
    for (const graph of [textToImage({ steps: 5 }), textToImage({ widthPx: 1024 })]) {
      world.forecast.submitted('p', graph);
      expect(world.forecast.aheadMs(1)).toBeNull();
      world.forecast.ended('p', { hasSucceeded: false });
    }
  });

  test('what was slower by its steps than by its kind is believed the slower', () => {
    const world = buildForecast();
    rendered(world, textToImage(), 1_000);
    world.forecast.submitted('p', textToImage());
    world.forecast.observed('p', world.clock.ms, at(1));
    world.clock.ms += 500;
    world.forecast.observed('p', world.clock.ms - 500, at(2));
    expect(world.forecast.aheadMs(1)).toBe(9_000);
  });

  test('all that wait are counted, and one unknown among them makes the whole unknown', () => {
    const world = buildForecast();
    rendered(world, textToImage(), 1_000);
    world.forecast.submitted('p-1', textToImage());
    world.forecast.submitted('p-2', textToImage());
    expect(world.forecast.aheadMs(2)).toBe(2_000);
    expect(world.forecast.aheadMs(3)).toBeNull();
    world.forecast.submitted('p-3', textToImage({ steps: 9 }));
    expect(world.forecast.aheadMs(3)).toBeNull();
  });

  test('a failure teaches nothing, and a prompt that nobody comes to watch is forgotten', () => {
    const world = buildForecast();
    world.forecast.submitted('p', textToImage());
    world.forecast.ended('p', { hasSucceeded: false });
    world.forecast.submitted('p-2', textToImage());
    expect(world.forecast.aheadMs(1)).toBeNull();
    world.clock.ms += 31_000;
    expect(world.forecast.aheadMs(0)).toBe(0);
  });

  test('the kind of a graph ignores what people write and keeps what decides', () => {
    const kind = (options: Parameters<typeof textToImage>[0]) => renderingKindOf(textToImage(options)).id;
    expect(kind({ promptText: 'a house by the sea', seed: 9, prefix: 'x' })).toBe(kind({ promptText: 'cat', seed: 3 }));
    expect(kind({ batchSize: 2 })).not.toBe(kind({ batchSize: 1 }));
    expect(renderingKindOf(textToImage()).samplerIds).toEqual(['3']);
  });
});
