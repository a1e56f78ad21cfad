import { ProblemError } from '../problem-error.js';
import type { ProblemPlace } from '../problem-error.js';
import type { ResolveInputs, ResolvedInput } from '../uploads/resolve-inputs.js';

/** Looks for each file once, in however many generations it is named. */
export function resolvingOnce(resolveInputs: ResolveInputs): ResolveInputs {
  const known = new Map<string, Promise<ResolvedInput | readonly ProblemPlace[]>>();
  return async function resolveOnce(wanted) {
    const resolved = new Map<string, ResolvedInput>();
    const places: ProblemPlace[] = [];
    for (const { pointer, ...file } of wanted) {
      const key = JSON.stringify(file);
      const found = known.get(key) ?? resolveOne(resolveInputs, file);
      known.set(key, found);
      const answer = await found;
      if ('sha256' in answer) resolved.set(pointer, answer);
      else places.push(...answer.map((place) => ({ ...place, pointer })));
    }
    const [first] = places;
    if (first === undefined) return resolved;
    throw new ProblemError('input_unusable', `${first.pointer} ${first.message}.`, { places });
  };
}

async function resolveOne(
  resolveInputs: ResolveInputs,
  file: Omit<Parameters<ResolveInputs>[0][number], 'pointer'>,
): Promise<ResolvedInput | readonly ProblemPlace[]> {
  try {
    const resolved = await resolveInputs([{ ...file, pointer: '' }]);
    return resolved.get('') ?? [{ pointer: '', message: 'is not known' }];
  } catch (error) {
    if (error instanceof ProblemError && error.places.length > 0) return error.places;
    throw error;
  }
}
