import { CancellationScope, condition, isCancellation, setCurrentDetails, setHandler } from '@temporalio/workflow';
import { emergencyOptions } from './activity-options.js';
import { emergencyStopStateQuery, resumeServiceSignal } from './contracts/emergency-stop.js';
import type {
  EmergencyStopInput,
  EmergencyStopReport,
  EmergencyStopState,
  StopReference,
  StoppedBackend,
} from './contracts/emergency-stop.js';

const PHASE_WORDS = {
  closing_intake: 'nothing is accepted from now on',
  closing_gates: 'the backends are told to submit nothing',
  cancelling: 'every open generation is being cancelled',
  confirming_idle: 'waiting until every GPU is idle',
  stopped: 'everything stands still; the signal `resume` starts it again',
  resuming: 'gates and intake are being opened again',
} as const satisfies Record<EmergencyStopState['phase'], string>;

/**
 * The whole service stands still, in the order in which nothing can slip through: intake, gates, open generations, GPUs.
 * Then it waits for `resume`. It may be ended at any moment: as long as the database says that the stop is in force, a
 * control worker starts it again, and every step can be repeated.
 */
export async function emergencyStop(input: EmergencyStopInput): Promise<EmergencyStopReport | null> {
  const reason = typeof input.reason === 'string' ? input.reason : 'by an operator';
  const stopping = new CancellationScope();
  let isOver = false;
  let state: EmergencyStopState = { phase: 'closing_intake', report: null };
  const enter = (next: Partial<EmergencyStopState>): void => {
    state = { ...state, ...next };
    setCurrentDetails(storyOf(reason, state));
  };
  setHandler(emergencyStopStateQuery, () => state);
  setHandler(resumeServiceSignal, () => {
    isOver = true;
    stopping.cancel();
  });
  enter({});
  const stop = await emergencyOptions('Close the intake').closeIntake({ reason });
  try {
    await stopping.run(() => standStill(stop, enter));
  } catch (error) {
    if (!isOver || !isCancellation(error)) throw error; // what is resumed meanwhile need not be finished
  }
  await condition(() => isOver);
  enter({ phase: 'resuming' });
  await emergencyOptions('Open gates and intake').reopenService(stop);
  return state.report;
}

async function standStill(stop: StopReference, enter: (next: Partial<EmergencyStopState>) => void): Promise<void> {
  enter({ phase: 'closing_gates' });
  await emergencyOptions('Close the gates of all backends').closeGates(stop);
  enter({ phase: 'cancelling' });
  const generations = await emergencyOptions('Cancel every open generation').cancelOpenGenerations(stop);
  enter({ phase: 'confirming_idle' });
  const backends = await emergencyOptions('Wait until every GPU is idle').confirmIdle();
  const report = { backends, generations };
  await emergencyOptions('Record the report').recordEmergencyStop({ ...stop, report });
  enter({ phase: 'stopped', report });
}

function storyOf(reason: string, { phase, report }: EmergencyStopState): string {
  const lines = [`**Emergency stop**: ${PHASE_WORDS[phase]}`, `Reason: ${reason}`];
  if (report === null) return lines.join('\n\n');
  const { cancelled, stillOpen } = report.generations;
  lines.push(`Generations: ${cancelled} cancelled, ${stillOpen.length} still open`);
  return [...lines, ...report.backends.map(lineOf)].join('\n\n');
}

function lineOf({ backendId, gate, isIdle }: StoppedBackend): string {
  const idle = isIdle === null ? 'not known whether idle' : isIdle ? 'idle' : '**not idle**';
  return `Backend \`${backendId}\`: gate ${gate}, ${idle}`;
}
