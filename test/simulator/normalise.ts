const ID = /^([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32})$/;
const TIMES = ['timestamp', 'create_time', 'execution_start_time', 'execution_end_time'];
const NUMBERS = ['number', 'priority'];
const MEMORY = /^(ram|vram|torch_vram)_(total|free)$/;
/** Lists made from Python sets: their order means nothing. */
const SETS = ['nodes', 'executed'];

/**
 * A payload without what differs from run to run: times, running numbers, tracebacks, memory sizes, folders. Ids
 * become `<id N>` by first appearance, so that the same id must still appear in the same places.
 */
export function normalise(payload: unknown, inputDir: string): unknown {
  const ids = new Map<string, string>();
  const idOf = (text: string): string => {
    if (!ID.test(text)) return text.replaceAll(inputDir, '<input>').replaceAll('/opt/ComfyUI/input', '<input>');
    const known = ids.get(text) ?? `<id ${ids.size + 1}>`;
    ids.set(text, known);
    return known;
  };
  const walk = (value: unknown, key: string): unknown => {
    if (TIMES.includes(key)) return '<time>';
    if (NUMBERS.includes(key)) return '<number>';
    if (key === 'traceback') return '<traceback>';
    if (MEMORY.test(key)) return '<bytes>';
    if (typeof value === 'string') return idOf(value);
    if (Array.isArray(value)) return list(value as readonly unknown[], key);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [idOf(name), walk(each, name)]));
  };
  const list = (values: readonly unknown[], key: string): unknown => {
    const items = values.map((value) => walk(value, ''));
    if (SETS.includes(key)) return items.map(String).sort();
    // The queue tuple [number, id, graph, extra_data, outputs].
    if (values.length === 5 && typeof values[0] === 'number') return ['<number>', ...items.slice(1)];
    return items;
  };
  return walk(payload, '');
}
