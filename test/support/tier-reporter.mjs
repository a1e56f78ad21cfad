// Reports the slowest files of a tier, and fails a tier that ran no test or lost one.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

const SLOWEST = 10;

/** Jest reporter. The names of all tests stand in `test/names/<tier>.txt`; a full run compares them. */
export default class TierReporter {
  #config;
  #files = [];
  #errors = [];

  constructor(globalConfig) {
    this.#config = globalConfig;
  }

  onTestFileResult({ context, path }, { perfStats, testResults, testExecError }) {
    this.#files.push({
      tier: context.config.displayName.name,
      path: relative(this.#config.rootDir, path),
      hasFailedToLoad: testExecError != null,
      seconds: (perfStats.end - perfStats.start) / 1000,
      testSeconds: testResults.reduce((sum, { duration }) => sum + (duration ?? 0), 0) / 1000,
      tests: testResults.map(({ fullName, status }) => ({ name: fullName, isExecuted: isExecuted(status) })),
    });
  }

  onRunComplete(_, results) {
    for (const tier of new Set(this.#files.map((file) => file.tier))) {
      const files = this.#files.filter((file) => file.tier === tier);
      say(slowestOf(tier, files));
      if (!files.some(({ tests }) => tests.some((test) => test.isExecuted))) {
        this.#errors.push(`The tier ${tier} executed no test`);
      } else if (this.#isWhole(results) && !files.some((file) => file.hasFailedToLoad)) {
        this.#errors.push(...this.#compareNames(tier, files));
      }
    }
    for (const error of this.#errors) say(error);
  }

  /** Jest ends with exit code 1 when a reporter has an error. */
  getLastError() {
    return this.#errors.length === 0 ? undefined : new Error(this.#errors.join('\n'));
  }

  /** True when no option limits the run, and it went on to its end. */
  #isWhole({ numFailedTests, wasInterrupted }) {
    const { testPathPatterns, testNamePattern, onlyChanged, onlyFailures, findRelatedTests, shard, bail } =
      this.#config;
    const isNarrowed = (testPathPatterns?.patterns ?? []).length > 0 || Boolean(testNamePattern) || shard !== undefined;
    const isCutShort = wasInterrupted || (bail > 0 && numFailedTests > 0);
    return !isNarrowed && !onlyChanged && !onlyFailures && !findRelatedTests && !isCutShort;
  }

  /** New names are added to the list, as with snapshots. In CI they are an error. Lost names are one without UPDATE_TEST_NAMES. */
  #compareNames(tier, files) {
    const path = join(this.#config.rootDir, 'test', 'names', `${tier}.txt`);
    const names = namesOf(files);
    const known = existsSync(path) ? readFileSync(path, 'utf8').trimEnd().split('\n') : [];
    const added = differenceOf(names, known);
    const lost = differenceOf(known, names);
    const mayUpdate = process.env.UPDATE_TEST_NAMES === 'on';
    const listed = relative(this.#config.rootDir, path);
    const ofThisMachine = names.filter((name) => name.includes(this.#config.rootDir));
    if (ofThisMachine.length > 0) {
      return problem(
        `${ofThisMachine.length} tests of the tier ${tier} have the path of this checkout in their titles:`,
        ofThisMachine,
        'Choose titles that are the same on every machine.',
      );
    }
    if (lost.length > 0 && !mayUpdate) {
      return problem(
        `${lost.length} tests of ${listed} were not found in the tier ${tier}:`,
        lost,
        'Bring them back, or run the tier with UPDATE_TEST_NAMES=on and commit the shorter list.',
      );
    }
    if (added.length > 0 && this.#config.ci) {
      return problem(
        `${added.length} tests of the tier ${tier} are not in ${listed}:`,
        added,
        'Run the tier once outside CI, which adds them, and commit the list.',
      );
    }
    if (added.length > 0 || lost.length > 0) {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, `${names.join('\n')}\n`);
      say(`${listed}: ${added.length} added, ${lost.length} removed`);
    }
    return [];
  }
}

function problem(headline, names, advice) {
  return [[headline, ...names.map((name) => `  ${name}`), advice].join('\n')];
}

function isExecuted(status) {
  return status === 'passed' || status === 'failed';
}

function slowestOf(tier, files) {
  const slowest = files.toSorted((a, b) => b.seconds - a.seconds).slice(0, SLOWEST);
  const seconds = (number) => number.toFixed(1).padStart(7);
  const lines = slowest.map((file) => {
    // Tests of one file may run at the same time. Their sum may then exceed the time of the file.
    const setUp = Math.max(0, file.seconds - file.testSeconds);
    return `${seconds(file.seconds)} ${seconds(setUp)}  ${file.path}`;
  });
  return [`Slowest files of the tier ${tier}, in seconds: total, set-up`, ...lines].join('\n');
}

/** Sorted. A name that a file has twice is listed twice. */
function namesOf(files) {
  return files.flatMap(({ path, tests }) => tests.map(({ name }) => `${path} › ${name.replaceAll('\n', ' ')}`)).sort();
}

/** Names of `all` that `known` lacks, counted. */
function differenceOf(all, known) {
  const left = new Map();
  for (const name of known) left.set(name, (left.get(name) ?? 0) + 1);
  return all.filter((name) => {
    const count = left.get(name) ?? 0;
    left.set(name, count - 1);
    return count < 1;
  });
}

function say(text) {
  process.stderr.write(`\n${text}\n`);
}
