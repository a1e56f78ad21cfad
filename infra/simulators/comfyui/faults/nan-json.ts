import type { Request } from 'express';
import { jsonTextOf } from '../answers.js';
import type { Faults } from './faults.js';

const BEFORE = '"class_type":';

/** JSON of an answer with graphs in it; spoiled, a node's `is_changed` is the NaN Python's json.dumps writes (issue #8548). */
export function graphsJson(faults: Faults, request: Request, body: unknown): string {
  const text = jsonTextOf(body);
  if (!text.includes(BEFORE)) return text; // nothing to spoil: the fault waits for an answer that has a graph
  const fault = faults.atRequest(['nan_json'], { path: request.path, method: request.method });
  return fault === null ? text : text.replaceAll(BEFORE, `"is_changed":[NaN],${BEFORE}`);
}
