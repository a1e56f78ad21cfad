/** Node classes that graphs of callers may not use, and why. */
export interface DeniedClasses {
  /** Completes "this class …". */
  readonly why: string;
  /** Names; `*` stands for any text, and case, spaces, `_` and `-` do not count. */
  readonly names: readonly string[];
  /** Categories of `/object_info`, each with everything below it. */
  readonly below: readonly string[];
  /** Categories of `/object_info`, each without what is below it. */
  readonly in: readonly string[];
}

/**
 * B4, from ComfyUI's own catalogue and from widespread packs. Names are judged when a request is accepted; categories
 * when it is submitted, because only a ComfyUI knows them. `DENIED_NODE_CLASSES` adds names, `ALLOWED_NODE_CLASSES` takes out.
 */
export const DENIED_CLASSES: readonly DeniedClasses[] = [
  {
    why: 'writes model files on the ComfyUI host',
    names: [
      ...['*CheckpointSave*', '*SaveCheckpoint*', 'CLIPSave*', 'VAESave*', '*ModelSave*', '*SaveModel*'],
      ...['*LoraSave*', '*SaveLora*', 'LoraExtractKJ', '*SaveEmbedding*'],
    ],
    below: [],
    in: [],
  },
  {
    why: 'trains a model, or reads or writes a training data set',
    names: ['TrainLora*', '*LoraTrain*', 'LossGraphNode', '*TrainingDataset*', '*DataSet*Folder*'],
    below: ['training'],
    in: ['dataset'], // `dataset/image` and `dataset/text` change pictures and texts and touch no file
  },
  {
    why: 'calls a service on the internet that may cost money',
    names: [],
    below: ['api node', 'partner'],
    in: [],
  },
  {
    why: 'opens connections from the ComfyUI host',
    names: [
      ...[
        '*FromUrl*',
        '*ByUrl*',
        '*UrlLoader*',
        '*HttpRequest*',
        '*WebRequest*',
        '*HttpGet*',
        '*HttpPost*',
        '*Webhook*',
      ],
      ...['*SendWebsocket*', 'Load*S3', 'Save*S3', '*UploadTo*', '*SendEmail*', '*Telegram*', '*Discord*'],
    ],
    below: [],
    in: [],
  },
  {
    why: 'reads or writes files of the ComfyUI host by their path',
    names: [
      ...['*FromPath*', '*FromFolder*', '*FromDir*', '*FromFile*', '*ToFolder*', '*LoadFolder*', '*LoadTextFile*'],
      ...['*SaveTextFile*', 'Load Image Batch', 'VHS_Load*Path', 'VHS_LoadImages', 'VHS_LoadAudio'],
    ],
    below: [],
    in: [],
  },
  {
    why: 'runs code of the caller on the ComfyUI host',
    names: [
      '*Python*',
      'PyExec*',
      '*PyCode*',
      '*ShellCode*',
      '*RunShell*',
      '*ShellCommand*',
      '*ExecCode*',
      'FL_CodeNode',
      'IDENode',
    ],
    below: [],
    in: [],
  },
];
