import { describe, expect, test } from '@jest/globals';
import {
  BackendCrashedError,
  ComfyUIHttpError,
  ComfyUIUnreachableError,
  NoComfyUIError,
  PromptLostError,
} from '../../activities/comfyui/errors.js';
import { OutageWatch } from '../../activities/comfyui/outage-watch.js';
import { initialProgress } from '../../activities/comfyui/rendering-progress.js';
import { StallWatch } from '../../activities/comfyui/stall-watch.js';

const refused = new ComfyUIUnreachableError('127.0.0.1:8188', 'refused', { cause: new Error('connection refused') });
const silent = new ComfyUIUnreachableError('127.0.0.1:8188', 'silent', { cause: new Error('no answer') });

describe('R2.5 A prompt in neither queue nor history', () => {
  test('is looked for after 2, 4, 8, 10 and 10 seconds and is lost at the sixth look', () => {
    const watch = new OutageWatch('p', 60);
    const pauses: number[] = [];
    for (let look = 1; look <= 5; look += 1) {
      watch.answered('absent');
      watch.absent();
      pauses.push(watch.pauseMs(1_000));
    }
    expect(pauses).toEqual([2_000, 4_000, 8_000, 10_000, 10_000]);
    watch.answered('absent');
    expect(() => {
      watch.absent();
    }).toThrow(PromptLostError);
  });

  test('is looked for from the beginning once it was seen again', () => {
    const watch = new OutageWatch('p', 60);
    for (let look = 1; look <= 4; look += 1) watch.absent();
    watch.answered('running');
    expect(watch.pauseMs(1_000)).toBe(1_000);
    watch.absent();
    expect(watch.pauseMs(1_000)).toBe(2_000);
  });

  test('on a server that was away it is a crash at the first look, not a loss', () => {
    const watch = new OutageWatch('p', 60);
    watch.failed(refused, 0);
    watch.answered('absent');
    expect(() => {
      watch.absent();
    }).toThrow(BackendCrashedError);
  });

  test('is a crash, too, when the server restarted faster than anybody looked and only the websocket broke', () => {
    const watch = new OutageWatch('p', 60);
    watch.disconnected();
    watch.answered('absent');
    expect(() => {
      watch.absent();
    }).toThrow(BackendCrashedError);
  });

  test('is a crash at the next look when the server has forgotten what it had finished before', () => {
    const watch = new OutageWatch('p', 60);
    watch.answered('absent');
    watch.absent();
    watch.hasForgotten();
    expect(() => {
      watch.absent();
    }).toThrow(BackendCrashedError);
  });

  test('is no crash when the server still knew it after the connection broke', () => {
    const watch = new OutageWatch('p', 60);
    watch.disconnected();
    watch.answered('running');
    watch.absent();
    expect(watch.pauseMs(1_000)).toBe(2_000);
  });
});

describe('R1.1 A backend that does not answer', () => {
  test.each([
    ['a refused connection', refused],
    ['no address that answers', new NoComfyUIError([])],
  ])('is waited for as long as it may be away: %s', (_, error) => {
    const watch = new OutageWatch('p', 60);
    watch.failed(error, 1_000);
    watch.failed(error, 60_999);
    expect(watch.pauseMs(3_000)).toBe(1_000);
    expect(() => {
      watch.failed(error, 61_000);
    }).toThrow(/away for 60 s/);
  });

  test('starts a new outage after every answer', () => {
    const watch = new OutageWatch('p', 60);
    watch.failed(refused, 0);
    watch.answered('running');
    expect(watch.pauseMs(3_000)).toBe(3_000);
    watch.failed(refused, 70_000);
    expect(watch.pauseMs(3_000)).toBe(1_000);
  });

  test('is never given up for silence: the event loop may be blocked while it renders', () => {
    const watch = new OutageWatch('p', 60);
    for (let nowMs = 0; nowMs < 3_600_000; nowMs += 15_000) {
      watch.failed(silent, nowMs);
      watch.failed(new ComfyUIHttpError('/api/jobs', 500, ''), nowMs);
    }
    expect(watch.pauseMs(3_000)).toBe(3_000);
    watch.absent();
  });
});

describe('R5.9 A rendering that stands still', () => {
  const at = (nodeId: string, step: number) => ({ ...initialProgress(7), nodeId, step });

  test('is probed over a fresh connection, and stalled when that delivers frames without movement', () => {
    const watch = new StallWatch(120, 0);
    expect(watch.advise(at('3', 5), 0, 1_000)).toBe('wait');
    expect(watch.advise(at('3', 5), 0, 120_999)).toBe('wait');
    expect(watch.advise(at('3', 5), 0, 121_000)).toBe('probe');
    expect(watch.advise(at('3', 5), 9, 180_999)).toBe('wait');
    expect(watch.advise(at('3', 5), 9, 181_000)).toBe('stalled');
  });

  test('is not stalled when the fresh connection is silent, too: one blocked reader silences all', () => {
    const watch = new StallWatch(120, 0);
    const advice = Array.from({ length: 600 }, (_, second) => watch.advise(at('3', 5), 0, 10_000 * second));
    expect(advice).not.toContain('stalled');
    expect(advice.filter((one) => one === 'probe').length).toBeGreaterThan(1);
  });

  test('moves with every node, step and finished node', () => {
    const watch = new StallWatch(120, 0);
    const finished = { ...at('3', 6), finishedNodes: new Set(['4']) };
    const positions = [at('3', 5), at('3', 6), finished, at('8', 1)];
    positions.forEach((position, index) => {
      expect(watch.advise(position, 9, (index + 1) * 119_000)).toBe('wait');
      expect(watch.advise(position, 9, (index + 1) * 119_000 + 1_000)).toBe('wait');
    });
  });

  test('movement after the probe clears the suspicion', () => {
    const watch = new StallWatch(120, 0);
    watch.advise(at('3', 5), 0, 0);
    expect(watch.advise(at('3', 5), 0, 120_000)).toBe('probe');
    expect(watch.advise(at('3', 6), 9, 130_000)).toBe('wait');
    expect(watch.advise(at('3', 6), 9, 200_000)).toBe('wait');
  });

  test('does not count the time in which it waited in the queue', () => {
    const watch = new StallWatch(120, 0);
    watch.advise(at('3', 5), 0, 0);
    watch.restart(119_000);
    expect(watch.advise(at('3', 5), 9, 238_000)).toBe('wait');
    expect(watch.advise(at('3', 5), 9, 239_000)).toBe('probe');
  });
});
