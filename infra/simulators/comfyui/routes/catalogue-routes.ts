import { answers } from '../answers.js';
import type { ClassInfo } from '../object-info.js';
import type { Route } from '../route.js';
import type { ServerParts } from '../server-parts.js';

/** Folder names of GET /models, in the server's order (recorded: models.json). */
const MODEL_FOLDERS = [
  'checkpoints',
  'configs',
  'loras',
  'vae',
  'text_encoders',
  'diffusion_models',
  'clip_vision',
  'style_models',
  'embeddings',
  'diffusers',
  'vae_approx',
  'controlnet',
  'gligen',
  'upscale_models',
  'latent_upscale_models',
  'custom_nodes',
  'hypernetworks',
  'photomaker',
  'classifiers',
  'model_patches',
  'audio_encoders',
];

/** Inputs whose options are the files in input/. */
const INPUT_FILE_LISTS: Readonly<Record<string, string>> = {
  LoadImage: 'image',
  LoadImageMask: 'image',
  LoadLatent: 'latent',
};

/** What the server can run and which models it has. */
export function catalogueRoutes(parts: ServerParts): readonly Route[] {
  const { classes, catalogue } = parts;
  return [
    get('/object_info', () => Object.fromEntries([...classes].map(([name, info]) => [name, told(name, info, parts)]))),
    {
      method: 'GET',
      path: '/object_info/:className',
      handle: (request, response) => {
        const name = String(request.params['className']);
        const info = classes.get(name);
        answers.json(response, 200, info === undefined ? {} : { [name]: told(name, info, parts) });
      },
    },
    get('/models', () => MODEL_FOLDERS),
    {
      method: 'GET',
      path: '/models/:folder',
      handle: (request, response) => {
        const folder = String(request.params['folder']);
        if (MODEL_FOLDERS.includes(folder)) answers.json(response, 200, catalogue.modelsIn(folder));
        else answers.bare(response, 404);
      },
    },
    {
      method: 'GET',
      path: '/view_metadata/:folder',
      handle: (_request, response) => {
        answers.bare(response, 404); // the simulator has the names of models, not the files
      },
    },
    get('/embeddings', () => []),
    get('/extensions', () => []),
  ];
}

function get(path: string, bodyOf: () => unknown): Route {
  return {
    method: 'GET',
    path,
    handle: (_request, response) => {
      answers.json(response, 200, bodyOf());
    },
  };
}

/** A class as this version tells of it; loaders list the files that are there now. */
function told(name: string, recorded: ClassInfo, { files, options: { version } }: ServerParts): ClassInfo {
  const info = { ...recorded, ...version.classFacts };
  const input = INPUT_FILE_LISTS[name];
  const spec = input === undefined ? undefined : info.input['required']?.[input];
  if (input === undefined || spec === undefined) return info;
  const options = spec.length > 1 ? [spec[1] ?? {}] : [];
  const required = { ...info.input['required'], [input]: [files.inputNames(), ...options] };
  return { ...info, input: { ...info.input, required } } as ClassInfo;
}
