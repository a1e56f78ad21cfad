import { ConfigError, stringFrom } from '../../infra/runtime/env.js';
import type { Env } from '../../infra/runtime/env.js';
import type { ClassLists } from '../../workflows/domain/class-rules.js';
import { GRAPH_MODES } from '../../workflows/domain/graph-rules.js';
import type { GraphMode } from '../../workflows/domain/graph-rules.js';
import { isLoopback } from '../is-loopback.js';

/** Which graphs of callers are taken. */
export interface GraphPolicy extends ClassLists {
  readonly mode: GraphMode;
}

/** The list of allowed ones travels in the input of every generation from a graph. */
const MAX_NAMES = 100;

/** Throws `ConfigError`, also for an API that would let a network run any code on the ComfyUI host. */
export function graphPolicyFrom(env: Env, host: string): GraphPolicy {
  const text = stringFrom(env, 'GRAPH_MODE', 'graph-restricted');
  const mode = GRAPH_MODES.find((known) => known === text);
  if (mode === undefined)
    throw new ConfigError(`GRAPH_MODE is "${text}", but must be one of ${GRAPH_MODES.join(', ')}`);
  const consent = stringFrom(env, 'I_UNDERSTAND_GRAPH_TRUSTED', '');
  if (mode === 'graph-trusted' && !isLoopback(host) && consent !== 'yes') {
    throw new ConfigError(
      `GRAPH_MODE is graph-trusted and HOST is "${host}": whoever reaches the API could run any node of ComfyUI, which ` +
        `is to run any code on its host. Set HOST to 127.0.0.1, GRAPH_MODE to graph-restricted, or I_UNDERSTAND_GRAPH_TRUSTED=yes`,
    );
  }
  return {
    mode,
    denied: namesIn('DENIED_NODE_CLASSES', stringFrom(env, 'DENIED_NODE_CLASSES', '')),
    allowed: namesIn('ALLOWED_NODE_CLASSES', stringFrom(env, 'ALLOWED_NODE_CLASSES', '')),
  };
}

function namesIn(variable: string, text: string): readonly string[] {
  const names = text.split(',').map((name) => name.trim());
  const given = names.filter((name) => name !== '');
  if (given.length > MAX_NAMES)
    throw new ConfigError(`${variable} has ${given.length} names, but may have ${MAX_NAMES}`);
  return given;
}
