import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';
import { plainPreviewFrame, previewFrame } from './binary-frame.js';
import { pythonStr } from './python-text.js';
import type { ExecutionDeps, NodeExecution } from './execution-deps.js';

/** Real servers render a preview per step; a few are enough to see that they arrive. */
const PREVIEW_INTERVAL_MS = 500;
/** `preview_method` values that switch previews on for a client that negotiated nothing. */
const PREVIEW_METHODS = ['auto', 'latent2rgb', 'taesd'];

export interface StepRun {
  readonly nodeId: string;
  readonly steps: number;
  readonly run: NodeExecution;
  readonly deps: ExecutionDeps;
  readonly preview?: () => Promise<Buffer>;
}

/** The steps of a sampler: time passes, then the interrupt flag is read, then progress is told (ComfyUI 0.8.0, main.py). */
export async function runSteps(steps: StepRun): Promise<void> {
  const { nodeId, run, deps } = steps;
  const { promptId, graph } = run.item;
  const point = { promptId, nodeType: graph[nodeId]?.class_type ?? '' };
  const stepMs = deps.secondsPerStep * deps.faults.stepFactor(point) * 1000;
  let lastPreviewAt = -Infinity;
  for (let step = 1; step <= steps.steps; step += 1) {
    await (stepMs > 0 ? delay(stepMs) : nextTurn());
    await deps.faults.atStep({ ...point, step });
    deps.interrupt.throwIfRaised();
    const isDue = performance.now() - lastPreviewAt >= PREVIEW_INTERVAL_MS;
    const image = isDue ? await previewImage(steps) : null;
    if (image !== null) lastPreviewAt = performance.now();
    tell(steps, step, image);
  }
}

function tell({ nodeId, steps, run, deps }: StepRun, value: number, image: Buffer | null): void {
  const { hub } = deps;
  const withMetadata = hub.supportsPreviewMetadata(hub.clientId);
  run.progress.update(nodeId, { value, max: steps });
  if (image !== null && withMetadata)
    hub.sendBinary(previewFrame(run.progress.identityOf(nodeId), image), hub.clientId);
  hub.send('progress', { value, max: steps, prompt_id: run.item.promptId, node: nodeId }, hub.clientId);
  if (image !== null && !withMetadata) hub.sendBinary(plainPreviewFrame(image), hub.clientId);
}

async function previewImage({ preview, run, deps }: StepRun): Promise<Buffer | null> {
  const asked = deps.version.hasPreviewMethod ? run.item.extraData['preview_method'] : undefined;
  const method = pythonStr(asked ?? 'default');
  const isWanted = PREVIEW_METHODS.includes(method) || deps.hub.supportsPreviewMetadata(deps.hub.clientId);
  return preview === undefined || method === 'none' || !isWanted ? null : preview();
}
