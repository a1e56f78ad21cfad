import { readFile } from 'node:fs/promises';
import { LineCounter, isMap, isSeq, parseDocument } from 'yaml';
import type { Document } from 'yaml';
import { z } from 'zod';
import type { OperatorRule } from '../activities/failures/operator-rules.js';
import { ConfigError } from '../infra/runtime/env.js';
import { issueWords } from '../infra/runtime/issue-words.js';
import { FAILURE_KINDS } from '../workflows/domain/failure.js';
import { ADJUSTMENT_OPERATIONS, RULE_STRATEGIES } from '../workflows/domain/recovery-rule.js';
import { problemInWords } from './rule-problem.js';

const CHECK_MS = 10_000;
const MAX_FILE_BYTES = 256 * 1024;

const adjustmentSchema = z.strictObject({
  parameter: z
    .string()
    .regex(/^[A-Za-z_][A-Za-z0-9_]{0,63}$/)
    .refine((name) => name !== 'batch_size', 'batch_size loses pictures; use the strategy split_batch'),
  operation: z.enum(ADJUSTMENT_OPERATIONS),
  factor: z.number(),
  min: z.number().optional(),
});

const ruleSchema = z
  .strictObject({
    name: z.string().regex(/^[a-z0-9][a-z0-9_-]{0,39}$/, 'may have small letters, digits, - and _, at most 40'),
    pattern: z.string().min(1).max(500),
    kind: z.enum(FAILURE_KINDS),
    strategy: z.enum(RULE_STRATEGIES).optional(),
    adjust: z.array(adjustmentSchema).min(1).max(10).optional(),
    maxRetries: z.int().min(0).max(10).default(1),
  })
  .refine(({ adjust, strategy }) => adjust === undefined || strategy === 'reduce_params', {
    path: ['adjust'],
    error: 'goes with the strategy reduce_params only',
  });

const fileSchema = z.strictObject({ rules: z.array(ruleSchema).max(100) });

/**
 * R5.1: the operators' own rules, YAML or JSON. What does not parse, and a pattern that could take more than linear time
 * (and so hang a worker), is refused with its line. Throws `ConfigError`.
 */
export async function readRecoveryRules(path: string): Promise<readonly OperatorRule[]> {
  if (path === '') return [];
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw new ConfigError(`RECOVERY_CONFIG is "${path}", which cannot be read: ${String(error)}`);
  });
  if (Buffer.byteLength(text) > MAX_FILE_BYTES) throw new ConfigError(`RECOVERY_CONFIG ${path} is larger than 256 KiB`);
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  const refuse = (line: number, problem: string): ConfigError =>
    new ConfigError(`RECOVERY_CONFIG ${path}, line ${line}: ${problem}`);
  const [fault] = document.errors;
  if (fault !== undefined) throw refuse(lines.linePos(fault.pos[0]).line, firstLineOf(fault.message));
  const lineOf = (place: readonly PropertyKey[]): number => lines.linePos(offsetOf(document, place)).line;
  const content: unknown = document.toJS({ maxAliasCount: 0 });
  const parsed = fileSchema.safeParse(content, { error: issueWords });
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw refuse(lineOf(issue?.path ?? []), issue === undefined ? 'is not valid' : problemInWords(content, issue));
  }
  const names = new Set<string>();
  const rules: OperatorRule[] = [];
  for (const [index, { pattern, strategy, adjust, ...facts }] of parsed.data.rules.entries()) {
    const line = lineOf(['rules', index, 'name']);
    if (names.has(facts.name)) throw refuse(line, `there is another rule named ${facts.name}`);
    names.add(facts.name);
    const problem = await problemOf(pattern);
    if (problem !== null) throw refuse(lineOf(['rules', index, 'pattern']), `rule ${facts.name}: ${problem}`);
    const limits = (adjust ?? []).map(({ min, ...change }) => (min === undefined ? change : { ...change, min }));
    const rule = {
      ...facts,
      ...(strategy !== undefined && { strategy }),
      adjust: limits,
      isFollowedByBuiltIn: true, // rules in old histories do not say so, and were followed by nothing
    } as const;
    rules.push({ pattern: new RegExp(pattern, 'i'), rule });
  }
  return rules;
}

/** Why a pattern must not be used, or `null`. */
async function problemOf(pattern: string): Promise<string | null> {
  try {
    new RegExp(pattern, 'i');
  } catch (error) {
    return `the pattern does not parse: ${error instanceof Error ? error.message : String(error)}`;
  }
  const { check } = await import('recheck'); // large, and only needed where there are rules
  const checked = await check(pattern, 'i', { timeout: CHECK_MS });
  if (checked.status === 'safe') return null;
  if (checked.status === 'unknown')
    return 'the pattern is too involved to be sure that it cannot hang; make it simpler';
  return `the pattern could hang: it may take ${checked.complexity.summary} time. Avoid ".*" and nested or neighbouring repetitions`;
}

/** Where a value begins, or the innermost thing around it that there is. */
function offsetOf(document: Document, place: readonly PropertyKey[]): number {
  for (let length = place.length; length > 0; length -= 1) {
    const node: unknown = document.getIn(place.slice(0, length), true);
    const range = rangeOf(node);
    if (range !== null) return range;
  }
  return rangeOf(document.contents) ?? 0;
}

function rangeOf(node: unknown): number | null {
  if (isMap(node) || isSeq(node)) return node.range?.[0] ?? null;
  if (typeof node !== 'object' || node === null || !('range' in node)) return null;
  return Array.isArray(node.range) && typeof node.range[0] === 'number' ? node.range[0] : null;
}

function firstLineOf(text: string): string {
  return text.split('\n')[0] ?? text;
}
