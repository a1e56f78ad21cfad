import { randomUUID } from 'node:crypto';
import type { Request } from 'express';
import { answers, jsonBody } from '../answers.js';
import { isCanonicalUuid } from '../canonical-uuid.js';
import { graphFrom } from '../graph.js';
import { isRecord } from '../is-record.js';
import { pythonStr } from '../python-text.js';
import type { Route } from '../route.js';
import type { ServerParts } from '../server-parts.js';
import type { ServerVersion } from '../server-versions.js';
import { validatePrompt } from '../validate-prompt.js';

/** Tokens for comfy.org: since 0.3.68 a hidden sixth element of the queue tuple, never given back (execution.py). */
const SENSITIVE_KEYS = ['auth_token_comfy_org', 'api_key_comfy_org'];

const NO_PROMPT = { type: 'no_prompt', message: 'No prompt provided', details: 'No prompt provided', extra_info: {} };

const INVALID_PROMPT_ID = {
  type: 'invalid_prompt_id',
  message: 'prompt_id must be a valid UUID',
  details:
    'prompt_id must be a UUID string in canonical lowercase hyphenated form; omit it to let the server generate one',
  extra_info: {},
};

/** GET and POST /prompt. */
export function promptRoutes(parts: ServerParts): readonly Route[] {
  const counter = { next: 0 };
  return [
    {
      method: 'GET',
      path: '/prompt',
      handle: (_request, response) => {
        answers.json(response, 200, { exec_info: { queue_remaining: parts.queue.remaining } });
      },
    },
    {
      method: 'POST',
      path: '/prompt',
      handle: (request, response) => {
        const answer = answerTo(parts, counter, request);
        // Before the answer leaves: whoever has it may kill this process at once and then count requests.
        parts.journal.write('prompt_received', { promptId: answer.promptId, status: answer.status });
        if (answer.status === 500) answers.trouble(response);
        else answers.json(response, answer.status, answer.body);
      },
    },
  ];
}

interface Answer {
  readonly status: 200 | 400 | 500;
  readonly promptId: string | null;
  readonly body: unknown;
}

/** 500 also for a prompt that is in the queue already, see PromptQueue.put. */
function answerTo(parts: ServerParts, counter: { next: number }, request: Request): Answer {
  let promptId: string | null = null;
  try {
    const body = jsonBody(request);
    if (!isRecord(body)) throw new TypeError('the body is no object');
    const number = numberOf(body, counter); // advances on prompts that are then rejected, too
    if (!('prompt' in body)) return { status: 400, promptId, body: { error: NO_PROMPT, node_errors: {} } };
    if (parts.options.version.promptIds === 'uuid' && !isUuidOrAbsent(body['prompt_id'])) {
      return { status: 400, promptId, body: { error: INVALID_PROMPT_ID, node_errors: {} } };
    }
    promptId = promptIdOf(parts, body);
    return submit(parts, { promptId, number, body });
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return { status: 500, promptId, body: null };
  }
}

function isUuidOrAbsent(given: unknown): boolean {
  return given === undefined || given === null || isCanonicalUuid(given);
}

/** 0.8.0 takes the text of whatever is given, `None` included; the newer check mints an id for null. */
function promptIdOf({ options }: ServerParts, body: Record<string, unknown>): string {
  const isGiven = 'prompt_id' in body && (options.version.promptIds === 'any' || body['prompt_id'] !== null);
  return isGiven ? pythonStr(body['prompt_id']) : randomUUID();
}

interface Submission {
  readonly promptId: string;
  readonly number: number;
  readonly body: Record<string, unknown>;
}

function submit(parts: ServerParts, { promptId, number, body }: Submission): Answer {
  const prompt = promptFrom(body['prompt']);
  const verdict = validatePrompt(prompt, targetsFrom(body['partial_execution_targets']), parts);
  const extraData = extraDataFrom(body, parts.options.version);
  if (verdict.error !== null) {
    return { status: 400, promptId, body: { error: verdict.error, node_errors: verdict.nodeErrors } };
  }
  parts.journal.write('prompt_queued', { promptId, number });
  parts.queue.put({ number, promptId, graph: graphFrom(prompt), extraData, outputNodeIds: verdict.outputNodeIds });
  return { status: 200, promptId, body: { prompt_id: promptId, number, node_errors: verdict.nodeErrors } };
}

function numberOf(body: Record<string, unknown>, counter: { next: number }): number {
  if ('number' in body) {
    const given = body['number'];
    const number = typeof given === 'string' && given.trim() === '' ? NaN : Number(given);
    if (Number.isNaN(number) || typeof given === 'object') throw new TypeError('could not convert number to float');
    return number;
  }
  const number = counter.next;
  counter.next += 1;
  return body['front'] ? -number : number;
}

/** An empty list is an empty prompt to Python; everything else that is no dict fails. */
function promptFrom(prompt: unknown): Record<string, unknown> {
  if (isRecord(prompt)) return prompt;
  if (prompt === '' || (Array.isArray(prompt) && prompt.length === 0)) return {};
  throw new TypeError('the prompt is no object');
}

function targetsFrom(targets: unknown): readonly unknown[] | null {
  if (targets === undefined || targets === null) return null;
  if (Array.isArray(targets)) return [...(targets as readonly unknown[])];
  throw new TypeError('argument is not iterable');
}

function extraDataFrom(body: Record<string, unknown>, version: ServerVersion): Record<string, unknown> {
  const given = 'extra_data' in body ? body['extra_data'] : {};
  if (!isRecord(given)) throw new TypeError('extra_data is no object');
  const kept = Object.entries(given).filter(([key]) => version.showsTokens || !SENSITIVE_KEYS.includes(key));
  return {
    ...Object.fromEntries(kept),
    ...('client_id' in body && { client_id: body['client_id'] }),
    ...(version.hasCreateTime && { create_time: Date.now() }),
  };
}
