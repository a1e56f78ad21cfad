import { expectClean } from '../../support/checker/expect-clean.js';
import { createRandom } from '../../support/random.js';
import { startBenchTestServers } from '../bench-stack.js';
import { rounded, say, sayTable } from '../print.js';
import { quantile } from '../quantile.js';
import type { FaultKind } from '../recovery/fault-kinds.js';
import { startLane } from '../recovery/lane.js';
import type { Lane } from '../recovery/lane.js';
import { runCase, runUndisturbed } from '../recovery/run-case.js';
import type { CaseResult } from '../recovery/run-case.js';
import type { BenchSection, Figures } from '../section.js';

export interface RecoveryBenchOptions {
  readonly kinds: readonly FaultKind[];
  /** Of each kind. */
  readonly faults: number;
  readonly seed: number;
}

/** Most of a recovery is waiting. */
const LANES = 5;
const SECONDS_PER_STEP = 0.01;
/** Shorter than by default, as the simulators are faster than a GPU; every other wait is as by default. */
const LIMITS = { GENERATION_TIMEOUT_SECONDS: '5', STALL_SECONDS: '4' };
/** In each lane. */
const RUNS_UNDISTURBED = 6;
const LIMIT_MS = 4 * 60 * 60_000;
/** Some faults come when the generation is over already. */
const TRIES_PER_FAULT = 2;

/** What becomes of generations that meet each kind of fault once, judged from outside the service. */
export function recoverySection({ kinds, faults, seed }: RecoveryBenchOptions): BenchSection {
  return {
    name: 'recovery',
    limitMs: LIMIT_MS,
    async measure(run) {
      say(
        `Seed ${seed}, ${faults} faults of each kind, ${LANES} at a time; a step of the simulators takes ${SECONDS_PER_STEP} s, ` +
          `${JSON.stringify(LIMITS)}, every submission is held for half a second`,
      );
      const servers = await startBenchTestServers(run);
      const lanes: Lane[] = [];
      for (let index = 1; index <= LANES; index += 1) {
        const random = createRandom(seed + index);
        const { resources } = run;
        lanes.push(
          await startLane({
            ...{ servers, resources, random, env: LIMITS },
            name: `lane-${index}`,
            secondsPerStep: SECONDS_PER_STEP,
          }),
        );
      }
      const undisturbed = await secondsUndisturbed(lanes, seed);
      say(
        `  undisturbed, from acceptance to the end: ${rounded(undisturbed, 2)} s, the median of ${lanes.length * RUNS_UNDISTURBED}`,
      );
      const results = new Map<string, readonly CaseResult[]>();
      for (const [index, kind] of kinds.entries()) {
        const draw = (number: number) => createRandom(seed * 1_000_003 + index * 10_007 + number);
        results.set(kind.name, await runKind({ kind, lanes, faults, draw, signal: run.signal }));
        say(`  ${rowOf(kind.name, results.get(kind.name) ?? [], undisturbed).join('  ')}`);
      }
      sayTable(
        COLUMNS,
        [...results].map(([name, all]) => rowOf(name, all, undisturbed)),
      );
      return {
        undisturbedSeconds: rounded(undisturbed, 2),
        kinds: Object.fromEntries([...results].map(([name, all]) => [name, figuresOf(all)])),
        brokenInvariants: await brokenInvariants(lanes),
      };
    },
  };
}

/** The yardstick: the same lanes, the same request, the same hold. */
async function secondsUndisturbed(lanes: readonly Lane[], seed: number): Promise<number> {
  const ofLanes = await Promise.all(
    lanes.map(async (lane, index) => {
      const seconds: number[] = [];
      for (let run = 0; run < RUNS_UNDISTURBED; run += 1) {
        seconds.push(await runUndisturbed(lane, seed * 1_000_003 + index * RUNS_UNDISTURBED + run));
      }
      return seconds;
    }),
  );
  return quantile(ofLanes.flat(), 0.5);
}

interface KindRun {
  readonly kind: FaultKind;
  readonly lanes: readonly Lane[];
  readonly faults: number;
  /** Random numbers for the case of this number. */
  readonly draw: (number: number) => () => number;
  readonly signal: AbortSignal;
}

/** Only faults that happened count. */
async function runKind({ kind, lanes, faults, draw, signal }: KindRun): Promise<readonly CaseResult[]> {
  const results: CaseResult[] = [];
  let tries = 0;
  let running = 0;
  await Promise.all(
    lanes.map(async (lane) => {
      while (results.length + running < faults && tries < faults * TRIES_PER_FAULT && !signal.aborted) {
        tries += 1;
        running += 1;
        const random = draw(tries);
        const result = await runCase(lane, kind.draw(random), Math.floor(random() * 2 ** 32));
        running -= 1;
        if (result.isInjected || result.outcome === 'wrong') results.push(result);
        sayWhatIsWrong(kind, result);
      }
    }),
  );
  return results;
}

function sayWhatIsWrong({ name }: FaultKind, { outcome, reason, extraRenderings, generation }: CaseResult): void {
  if (outcome !== 'wrong' && extraRenderings === 0) return;
  const attempts = generation?.attempts.map(({ kind, strategy }) => `${kind} ${strategy}`).join(', ') ?? 'unknown';
  say(
    `  ${name}: ${generation?.id ?? '?'}: ${reason ?? `${extraRenderings} renderings too many`}; attempts: ${attempts}`,
  );
}

const COLUMNS = [
  ...['kind', 'injected', 'recovered', 'failed with the right cause', 'wrong'],
  ...['seconds, median', 'p95', 'median ÷ undisturbed', 'extra renderings', 'abandoned'],
];

function rowOf(name: string, ...[results, undisturbed]: [readonly CaseResult[], number]): readonly string[] {
  const { injected, recovered, namedFailure, wrong, secondsP50, secondsP95, extraRenderings, abandoned } =
    figuresOf(results);
  const ratio = secondsP50 === null ? null : rounded(secondsP50 / undisturbed, 1);
  const cells = [injected, recovered, namedFailure, wrong, secondsP50, secondsP95, ratio, extraRenderings, abandoned];
  return [name, ...cells.map((cell) => String(cell ?? '–'))];
}

function figuresOf(results: readonly CaseResult[]) {
  const countOf = (outcome: CaseResult['outcome']) => results.filter((result) => result.outcome === outcome).length;
  const seconds = results.filter(({ outcome }) => outcome === 'recovered').map((result) => result.seconds);
  const secondsAt = (part: number) => (seconds.length === 0 ? null : rounded(quantile(seconds, part), 1));
  const sumOf = (field: 'extraRenderings' | 'abandonedRenderings') =>
    results.reduce((sum, result) => sum + result[field], 0);
  return {
    injected: results.length,
    recovered: countOf('recovered'),
    namedFailure: countOf('namedFailure'),
    wrong: countOf('wrong'),
    secondsP50: secondsAt(0.5),
    secondsP95: secondsAt(0.95),
    extraRenderings: sumOf('extraRenderings'),
    abandoned: sumOf('abandonedRenderings'),
  } satisfies Figures;
}

/** Lanes whose service has broken one of the invariants that the tests check, too. */
async function brokenInvariants(lanes: readonly Lane[]): Promise<number> {
  let broken = 0;
  for (const { service } of lanes) {
    await expectClean(service.checked).catch((error: unknown) => {
      broken += 1;
      say(String(error));
    });
  }
  return broken;
}
