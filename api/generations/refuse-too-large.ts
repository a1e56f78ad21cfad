import type { GenerationInput } from '../../workflows/contracts/generation.js';
import { fittingSizes, mayFit, vramInWords } from '../../workflows/domain/vram.js';
import type { VramLine } from '../../workflows/domain/vram.js';
import { falRequestOf } from '../../workflows/fal-choice.js';
import type { BackendDirectory, KnownBackend } from '../backends/backend-directory.js';
import { ProblemError } from '../problem-error.js';
import { withDeadline } from '../with-deadline.js';

const DEADLINE_MS = 3_000;

type Placed = Pick<GenerationInput, 'pool' | 'provider' | 'fal' | 'recovery' | 'vramGb'>;

/**
 * Says at once that no GPU has enough memory, with what is needed, what there is and what would fit. A backend that does
 * not report now may come back, one that says too little may be larger, and fal.ai may stand in: then it is accepted.
 */
export async function refuseTooLarge(
  directory: BackendDirectory,
  ...[input, table]: [Placed, readonly VramLine[]]
): Promise<void> {
  const { vramGb, pool } = input;
  if (vramGb === undefined || input.provider === 'fal' || mayRunOnFal(input)) return;
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

function mayRunOnFal({ provider = 'comfyui-only', fal, recovery }: Placed): boolean {
  if (fal === undefined || recovery?.isEnabled === false) return false;
  return 'modelId' in falRequestOf({ provider, fal, isStrict: recovery?.isStrict ?? false });
}

function inWords(cards: readonly KnownBackend[]): string {
  const each = cards.map(({ backendId, vramTotalBytes }) => `${backendId} has ${vramInWords(vramTotalBytes)}`);
  return each.join(', ');
}
