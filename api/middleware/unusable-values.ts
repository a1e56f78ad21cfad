/** Deeper than any graph; ComfyUI and PostgreSQL recurse over what we hand on. */
const MAX_DEPTH = 32;
const MAX_REPORTED = 20;

export interface UnusableValue {
  readonly kind: 'number' | 'text' | 'depth';
  /** JSON pointer. */
  readonly pointer: string;
  readonly message: string;
}

/**
 * Values that would not survive: whole numbers beyond 2^53 - 1 (JSON.parse has already changed them; ComfyUI's seeds
 * go to 2^64), numbers beyond a double, and texts that PostgreSQL cannot store.
 */
export function findUnusableValues(root: unknown): readonly UnusableValue[] {
  const found: UnusableValue[] = [];
  const waiting: { readonly value: unknown; readonly pointer: string; readonly depth: number }[] = [
    { value: root, pointer: '', depth: 0 },
  ];
  for (let item = waiting.pop(); item !== undefined && found.length < MAX_REPORTED; item = waiting.pop()) {
    const { value, pointer, depth } = item;
    const complaint = complaintAbout(value, depth);
    if (complaint !== null) found.push({ ...complaint, pointer });
    if (typeof value !== 'object' || value === null || depth > MAX_DEPTH) continue;
    for (const [name, child] of Object.entries(value)) {
      const below = `${pointer}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
      const nameComplaint = complaintAbout(name, depth);
      if (nameComplaint !== null) found.push({ ...nameComplaint, pointer: below });
      waiting.push({ value: child, pointer: below, depth: depth + 1 });
    }
  }
  return found;
}

function complaintAbout(value: unknown, depth: number): Omit<UnusableValue, 'pointer'> | null {
  if (depth > MAX_DEPTH) return { kind: 'depth', message: `is nested deeper than ${MAX_DEPTH} levels` };
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) return { kind: 'number', message: 'is larger than a double can hold' };
    if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
      return { kind: 'number', message: 'is a whole number beyond 9007199254740991 (2^53 - 1)' };
    }
  }
  if (typeof value === 'string' && /\0|\p{Cs}/u.test(value)) {
    return { kind: 'text', message: 'holds a NUL character or half of a surrogate pair' };
  }
  return null;
}
