import { canonicalSha256 } from '../../activities/storage/canonical-json.js';
import { isJsonObject } from '../json-object.js';
import type { Language } from '../messages/messages.js';
import { commitGeneration, replayOf } from './commit-generation.js';
import type { Acceptance, CommitDeps } from './commit-generation.js';
import type { IdempotentRequest } from './idempotency.js';
import { newGenerationId } from './new-generation-id.js';
import { readAccountLimits } from './open-limits.js';
import { NO_ACCOUNT, judgeRequest, newGeneration, storeRequests } from './prepare-generation.js';
import type { PreparationDeps } from './prepare-generation.js';

export interface AcceptanceDeps extends CommitDeps, PreparationDeps {}

export interface AcceptanceRequest {
  readonly body: unknown;
  readonly idempotencyKey: string | null;
  readonly language: Language;
}

export type AcceptGeneration = (request: AcceptanceRequest) => Promise<Acceptance>;

/** Makes a request durable: the graph into the object store first, then one transaction with everything else. */
export function createAcceptGeneration(deps: AcceptanceDeps): AcceptGeneration {
  return async function acceptGeneration({ body, idempotencyKey, language }) {
    const idempotency = idempotentRequest(body, idempotencyKey);
    const replay = idempotency === null ? null : await replayOf(deps.database, idempotency);
    if (replay !== null) return replay;
    const limits = await readAccountLimits(deps.database, accountOf(body), deps.openLimits);
    const judged = await judgeRequest(deps, body, limits);
    const stored = await storeRequests(deps, [judged.request]);
    return commitGeneration(deps, newGeneration(deps, judged, stored, newGenerationId()), {
      limits,
      idempotency,
      language,
    });
  };
}

/** Not judged yet: what is no name of an account is refused later. */
export function accountOf(body: unknown): string {
  return isJsonObject(body) && typeof body['account'] === 'string' ? body['account'] : NO_ACCOUNT;
}

export function idempotentRequest(body: unknown, key: string | null): IdempotentRequest | null {
  return key === null ? null : { accountId: accountOf(body), key, requestSha256: canonicalSha256(body) };
}
