import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '../../infra/runtime/logger.js';
import { simulatorOptionsFrom } from '../../infra/simulators/comfyui/options.js';
import { startSimulator } from '../../infra/simulators/comfyui/simulator.js';
import type { Template } from '../../api/templates/template.js';
import type { ComfyUIClient } from '../../activities/comfyui/comfyui-client.js';
import { bindExample } from './bind-example.js';
import { chosenTemplates } from './chosen-templates.js';
import { CliError } from './cli-error.js';
import { withComfyUIAt } from './comfyui-at.js';
import { optionOf, parseCommandLine } from './command-line.js';
import type { CommandLine } from './command-line.js';
import { renderGraph } from './render-graph.js';
import { bringSamples, sampleInputsFor } from './sample-inputs.js';
import type { Terminal } from './terminal.js';
import { thumbnailOf } from './thumbnail-of.js';

const USAGE =
  'npm run templates:thumbnails -- [--url http://127.0.0.1:8188] [--template name …] [--image file] [--mask file] [--video file]';
const FILE_OPTIONS = ['image', 'mask', 'video', 'audio'] as const;

/** Renders the example of every template and keeps a small picture of it beside the template; on the simulator unless told. */
export async function thumbnailsCommand(args: readonly string[], { env, say }: Terminal): Promise<number> {
  const line = parseCommandLine(args, { known: ['url', 'template', ...FILE_OPTIONS], usage: USAGE });
  if (line.positionals.length > 0)
    throw new CliError(`Nothing is known of ${line.positionals.join(' ')}\nUsage: ${USAGE}`);
  const templates = await chosenTemplates(env, line.options['template'] ?? []);
  const own = ownFilesOf(line);
  await onComfyUI(optionOf(line, 'url'), async (client) => {
    for (const template of templates) {
      const path = join(template.folder, 'thumbnail.webp');
      const bytes = await thumbnailFor(client, { template, own });
      await writeFile(path, bytes);
      say(`${path}: ${bytes.length} bytes`);
    }
  });
  return 0;
}

function ownFilesOf(line: CommandLine): Readonly<Record<string, string>> {
  const given = FILE_OPTIONS.map((name) => [name, optionOf(line, name)] as const);
  return Object.fromEntries(given.flatMap(([name, file]) => (file === null ? [] : [[name, file]])));
}

async function thumbnailFor(
  client: ComfyUIClient,
  { template, own }: { readonly template: Template; readonly own: Readonly<Record<string, string>> },
): Promise<Buffer> {
  const samples = await sampleInputsFor(template, own);
  await bringSamples(client, samples.values());
  const [first] = await renderGraph(client, bindExample(template, samples).graph);
  if (first === undefined) throw new CliError(`${template.name}: the rendering left no file`);
  return thumbnailOf(first);
}

async function onComfyUI(url: string | null, work: (client: ComfyUIClient) => Promise<void>): Promise<void> {
  if (url !== null) return withComfyUIAt(url, work);
  const folder = await mkdtemp(join(tmpdir(), 'template-thumbnails-'));
  const options = simulatorOptionsFrom(['--port', '0', '--data-dir', folder, '--seconds-per-step', '0']);
  const simulator = await startSimulator(options, createLogger({ name: 'simulator', level: 'silent' }));
  try {
    await withComfyUIAt(simulator.url, work);
  } finally {
    await simulator.stop();
    await rm(folder, { recursive: true });
  }
}
