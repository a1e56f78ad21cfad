import { randomUUID } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import type { BackendHolder } from '../workflows/contracts/backend.js';
import { processIdentityOf } from '../infra/runtime/process-identity.js';

/** This process as the holder of a backend id. The id is free after `silenceSeconds` without a heartbeat. */
export function holderOfThisProcess(silenceSeconds: number): BackendHolder {
  return {
    holderId: randomUUID(),
    host: hostname(),
    pid: process.pid,
    place: placeOfThisProcess(),
    processStartedAt: processIdentityOf(process.pid)?.startedAt ?? '',
    since: new Date().toISOString(),
    silenceSeconds,
  };
}

/** True when the holder ran where its process would be seen from here, and it is not there any more. */
export function isKnownToBeDead(holder: BackendHolder): boolean {
  if (holder.place !== placeOfThisProcess()) return false;
  return processIdentityOf(holder.pid)?.startedAt !== holder.processStartedAt;
}

/** One boot of one machine and one PID namespace on it: containers share host names, and pid 7 is in each of them. */
function placeOfThisProcess(): string {
  try {
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()} ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return `host ${hostname()}`; // without /proc there are no PID namespaces, either
  }
}
