import type { Json } from './prompt-history.js';

/** Which results of nodes a server keeps; `ram` drops what is oldest when memory runs low. */
export type CacheKind = 'classic' | 'lru' | 'ram' | 'none';

/** Where the versions of ComfyUI differ as far as a client can see it; each field says when the change came. */
export interface ServerVersion {
  readonly number: string;
  /** Tokens for comfy.org stay in `extra_data`, for everybody to read in /queue and /history: until 0.3.68. */
  readonly showsTokens: boolean;
  /** `--cache-ram`: 0.3.68. */
  readonly hasRamCache: boolean;
  /** `create_time` in `extra_data`: 0.3.69. */
  readonly hasCreateTime: boolean;
  /** `preview_method` of one prompt: 0.6.0. */
  readonly hasPreviewMethod: boolean;
  /**
   * `none`: /api/jobs is an unknown path; `read`: list and look up, 0.6.0; `cancel`: also cancel, with a status and a
   * count of previewable outputs of their own, June 2026.
   */
  readonly jobs: 'none' | 'read' | 'cancel';
  /** `uuid`: only canonical lower-case UUIDs are taken, June 2026; before that anything. */
  readonly promptIds: 'any' | 'uuid';
  /** The error of a graph with a class that is not there. */
  readonly unknownNodeError: 'invalid_prompt' | 'missing_node_type';
  /** `dependency_cycle` for each node of a cycle; before that the answer named none. */
  readonly namesCycles: boolean;
  /** `with-client`: cached outputs reach the history only of a prompt with a client_id; `always`: July 2026. */
  readonly cachedOutputs: 'with-client' | 'always';
  /** The cache without any flag; RAM-pressure in 2026. */
  readonly defaultCache: CacheKind;
  /** Files of outputs are registered, and carry the ids of their assets. */
  readonly hasAssetIds: boolean;
  /** What GET /system_stats says about the programs around it. */
  readonly systemFacts: Json;
  /** What GET /features says beyond previews and the upload limit. */
  readonly features: Json;
  /** Fields of each class in GET /object_info that the recorded version does not have. */
  readonly classFacts: Json;
}

/** The recorded server: every answer of it is compared with what a real one said. */
const recorded: ServerVersion = {
  number: '0.8.0',
  showsTokens: false,
  hasRamCache: true,
  hasCreateTime: true,
  hasPreviewMethod: true,
  jobs: 'read',
  promptIds: 'any',
  unknownNodeError: 'invalid_prompt',
  namesCycles: false,
  cachedOutputs: 'with-client',
  defaultCache: 'classic',
  hasAssetIds: false,
  systemFacts: {
    required_frontend_version: '1.35.9',
    installed_templates_version: '0.7.67',
    required_templates_version: '0.7.67',
  },
  features: { extension: { manager: { supports_v4: true } } },
  classFacts: {},
};

/** The oldest that is supported: client prompt ids and the targeted interrupt are there, /api/jobs is not. */
const old: ServerVersion = {
  ...recorded,
  number: '0.3.57',
  showsTokens: true,
  hasRamCache: false,
  hasCreateTime: false,
  hasPreviewMethod: false,
  jobs: 'none',
  systemFacts: { required_frontend_version: '1.25.11' },
  features: {},
};

/** September 2026, from its source text; not recorded. */
const recent: ServerVersion = {
  ...recorded,
  number: '0.38.1',
  jobs: 'cancel',
  promptIds: 'uuid',
  unknownNodeError: 'missing_node_type',
  namesCycles: true,
  cachedOutputs: 'always',
  defaultCache: 'ram',
  hasAssetIds: true,
  systemFacts: {
    required_frontend_version: '1.53.6',
    installed_templates_version: '0.11.73',
    required_templates_version: '0.11.73',
    deploy_environment: 'local-git',
  },
  features: { ...recorded.features, supports_model_type_tags: true, node_replacements: true, assets: true },
  classFacts: { search_aliases: [], has_intermediate_output: false },
};

/** What `--version` chooses from, oldest first. */
export const serverVersions: readonly ServerVersion[] = [old, recorded, recent];

/** What is simulated when nothing is said. */
export const defaultVersion = recorded;
