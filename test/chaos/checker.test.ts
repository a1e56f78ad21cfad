import { expect, test } from '@jest/globals';
import { breakBuild } from '../support/broken-build.js';
import type { Breakage } from '../support/broken-build.js';
import { checkInvariants } from '../support/checker/check-invariants.js';
import { startService } from '../support/service.js';
import type { Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import { until } from '../support/until.js';

interface Mutant {
  readonly invariant: string;
  readonly fault: string;
  readonly breakage: Breakage;
  /** Where the worker dies once, for faults that show only then. */
  readonly crashAt?: string;
  /** The violation that must be found, where the invariant has others that a healthy build shows for a moment. */
  readonly says?: RegExp;
}

const MUTANTS: readonly Mutant[] = [
  {
    invariant: 'I1',
    fault: 'an outcome that is never recorded',
    breakage: {
      file: 'activities/record-outcome.js',
      line: 'await database.transaction().execute(async (transaction) => record(deps, transaction, input));',
      instead: '{ submission: 1, backendId: null };',
    },
  },
  {
    invariant: 'I2',
    fault: 'a row that names another object',
    breakage: {
      file: 'activities/record-outcome.js',
      line: 'object_key: output.objectKey,',
      instead: 'object_key: `${output.objectKey}.lost`,',
    },
  },
  {
    invariant: 'I3',
    fault: 'held credits that nobody settles',
    breakage: {
      file: 'activities/record-outcome.js',
      line: 'await settleCredits(transaction, generationId, known.charge, status);',
      instead: '',
    },
  },
  {
    invariant: 'I4',
    fault: 'a prompt that is posted without looking for it first',
    breakage: {
      file: 'activities/submit-prompt.js',
      line: 'if (known.status !== "absent") {',
      instead: 'if (false) {',
    },
    crashAt: 'submitPrompt.mid',
  },
  {
    invariant: 'I5',
    fault: 'a spool that is never emptied',
    breakage: {
      file: 'activities/upload-outputs.js',
      line: 'await spool.remove(input.generationId);',
      instead: '',
    },
    says: /^I5 .*\/gen_\w+\/1\/0 was left in the spool$/,
  },
  {
    invariant: 'I6',
    fault: 'an event number that is skipped',
    breakage: {
      file: 'activities/database/change-with-event.js',
      line: 'event_sequence + 1',
      instead: 'event_sequence + 2',
    },
  },
];

test.each(MUTANTS)(
  'the checker catches $fault ($invariant)',
  async ({ invariant, breakage, crashAt, says = new RegExp(`^${invariant} `) }) => {
    const broken = breakBuild(breakage);
    const simulator = await startSimulator({ secondsPerStep: 0.1 });
    try {
      const service = await startService({
        comfyUrls: [simulator.url],
        dist: broken.dist,
        ...(crashAt !== undefined && { firstWorkerEnv: { CRASH_AT: crashAt } }),
      });
      try {
        await generateOnce(service, crashAt !== undefined);
        const caught = await until(
          'the checker says so',
          async () => {
            const violations = await checkInvariants(service.checked);
            return violations.some((violation) => says.test(violation)) ? violations : null;
          },
          60_000,
        );
        expect(caught.join('\n')).toContain(`${invariant} `);
      } finally {
        await service.endUnchecked();
      }
    } finally {
      await simulator.stop();
      broken.remove();
    }
  },
  180_000,
);

/** Until its Workflow is closed: what is checked then is what is left, not what is under way. */
async function generateOnce(service: Service, workerDies: boolean): Promise<void> {
  await service.post('/v1/accounts', { id: 'alice' });
  await service.post('/v1/accounts/alice/grants', { credits: 5, reference: 'start' });
  const { id } = await service.submit({
    template: 'sd15-text-to-image',
    account: 'alice',
    parameters: { prompt: 'a quay', width: 64, height: 64, steps: 15, seed: 1 },
  });
  if (workerDies) {
    await service.workerEnded();
    await service.startWorker();
  }
  await until(
    'the Workflow closes',
    async () => {
      const { status } = await service.temporal.workflow.getHandle(`generation/${id}`).describe();
      return status.name !== 'RUNNING';
    },
    90_000,
  );
}
