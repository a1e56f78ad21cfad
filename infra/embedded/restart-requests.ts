import { EventEmitter } from 'node:events';
import { z } from 'zod';
import { programPath } from '../runtime/program-path.js';

/** Emits the path of a program whose build has changed, as `npm run dev` reports it over IPC. */
export type RestartRequests = EventEmitter<Record<string, []>>;

const rebuiltSchema = z.object({ kind: z.literal('rebuilt'), programs: z.array(z.string()) });

/** Listens to the parent process. */
export function restartRequestsFrom(ownProcess: NodeJS.Process): RestartRequests {
  const requests: RestartRequests = new EventEmitter();
  ownProcess.on('message', (message) => {
    const rebuilt = rebuiltSchema.safeParse(message);
    for (const name of rebuilt.data?.programs ?? []) requests.emit(programPath(name));
  });
  return requests;
}
