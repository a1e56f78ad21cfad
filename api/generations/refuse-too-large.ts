import type { NoFalRequest, ProviderMode } from '../../workflows/contracts/fal.js';
import type { RecoveryPolicy } from '../../workflows/domain/recovery-policy.js';
import { fittingSizes, mayFit, vramInWords } from '../../workflows/domain/vram.js';
import type { VramLine } from '../../workflows/domain/vram.js';
import { falRequestOf } from '../../workflows/fal-choice.js';
import type { BackendDirectory, KnownBackend } from '../backends/backend-directory.js';
import { ProblemError } from '../problem-error.js';
import type { BoundFal } from '../templates/bind-fal.js';
import { withDeadline } from '../with-deadline.js';

const DEADLINE_MS = 3_000;

/** What of a request decides where it may run. */
interface Placed {
  readonly pool: string;
  readonly provider: ProviderMode;
  readonly fal: BoundFal | NoFalRequest;
  readonly recovery: RecoveryPolicy;
  readonly vramGb: number | null;
}

/**
 * Says at once that no GPU has enough memory, with what is needed, what there is and what would fit. A backend that does
 * not report now may come back, one that says too little may be larger, and fal.ai may stand in: then it is accepted.
 */
export async function refuseTooLarge(
  directory: BackendDirectory,
  ...[placed, table]: [Placed, readonly VramLine[]]
): Promise<void> {
  const { vramGb, pool } = placed;
  if (vramGb === null || placed.provider === 'fal' || mayRunOnFal(placed)) return;
  const known = await withDeadline(DEADLINE_MS, directory.backends()).catch(() => []);
  const cards = known.filter((backend) => backend.pool === pool);
  if (cards.length === 0 || cards.some((card) => mayFit(card, vramGb))) return;
  const sizes = fittingSizes(table, cards);
  throw new ProblemError('will_not_fit', `It needs about ${vramGb} GB of VRAM, and ${inWords(cards)}.`, {
    places: [
      {
        pointer: '/parameters',
        message: `need about ${vramGb} GB of VRAM`,
        ...(sizes.length > 0 && { allowed: sizes }),
      },
    ],
    ...(sizes.length > 0 && { remedy: `Ask for a smaller size; what would fit: ${sizes.join('; ')}.` }),
  });
}

function mayRunOnFal({ provider, fal, recovery }: Placed): boolean {
  return recovery.isEnabled && 'modelId' in falRequestOf({ provider, fal, isStrict: recovery.isStrict });
}

function inWords(cards: readonly KnownBackend[]): string {
  const each = cards.map(({ backendId, vramTotalBytes }) => `${backendId} has ${vramInWords(vramTotalBytes)}`);
  return each.join(', ');
}
