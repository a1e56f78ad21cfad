import { setTimeout as sleep } from 'node:timers/promises';
import type { ComfyUIHttp } from './comfyui-http.js';
import { ComfyUIError, reasonOf } from './errors.js';

/** `starting`: something listens, but ComfyUI's own routes do not answer yet; it is waited for, not given up (R3.6). */
export type Health = { readonly status: 'healthy' } | { readonly status: 'starting' | 'down'; readonly reason: string };

const ATTEMPTS = 5;
const REQUEST_MS = 5_000;
const PAUSE_MS = 600;

/** R3.6: five attempts, each over `/queue`, `/system_stats` and `/`, 5 s a request, pauses of 0.6 s × attempt. */
export async function checkHealth(http: ComfyUIHttp, signal?: AbortSignal): Promise<Health> {
  let last: Health = { status: 'down', reason: 'was not asked' };
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    last = await askOnce(http, signal);
    if (last.status === 'healthy') return last;
    if (attempt < ATTEMPTS) await sleep(PAUSE_MS * attempt, undefined, { ...(signal !== undefined && { signal }) });
  }
  return last;
}

async function askOnce(http: ComfyUIHttp, signal?: AbortSignal): Promise<Health> {
  let reason = '';
  for (const path of ['/api/queue', '/api/system_stats']) {
    const answer = await answerTo(http, path, signal);
    if (answer.ok && answer.isJson) return { status: 'healthy' };
    reason = answer.said;
  }
  const page = await answerTo(http, '/', signal);
  return { status: page.ok ? 'starting' : 'down', reason };
}

async function answerTo(http: ComfyUIHttp, path: string, signal?: AbortSignal) {
  try {
    const { status, json } = await http.send({ path, signal, totalMs: REQUEST_MS });
    return { ok: status === 200, isJson: json !== null, said: `${path} answered ${status}` };
  } catch (error) {
    if (!(error instanceof ComfyUIError)) throw error;
    return { ok: false, isJson: false, said: `${path}: ${reasonOf(error)}` };
  }
}
