import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Env } from '../../runtime/env.js';
import type { ProcessSpec } from '../processes/process-spec.js';
import { untilAnswers } from '../until-answers.js';
import { prepareNamespace } from './prepare-namespace.js';
import { temporalFlags } from './temporal-flags.js';
import type { TemporalFlagsRequest } from './temporal-flags.js';

export interface TemporalRequest extends TemporalFlagsRequest {
  readonly program: string;
  readonly env: Env;
}

/** By default a collection begins when the heap has doubled: at 3 generations a second that was a tenth of its work. */
const COLLECTED_LESS_OFTEN = { GOGC: '400' };

/** The Temporal dev server with its Web UI on loopback, its Workflows in a database file. */
export function temporalServer(request: TemporalRequest): ProcessSpec {
  mkdirSync(dirname(request.databaseFile), { recursive: true });
  const address = `127.0.0.1:${request.port}`;
  return {
    name: 'temporal',
    command: request.program,
    args: temporalFlags(request),
    env: { ...COLLECTED_LESS_OFTEN, ...withoutClientSettings(request.env) },
    marker: request.databaseFile,
    speaksIpc: false,
    stopSignal: 'SIGTERM',
    stopWithinMs: 15_000,
    readyWithinMs: 60_000,
    untilReady: (_running, signal) => untilAnswers(() => prepareNamespace(address, request.namespace), signal),
  };
}

/** `TEMPORAL_…` tells the command line which server to talk to; a server it is itself must not read them. */
function withoutClientSettings(env: Env): Env {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('TEMPORAL_')));
}
