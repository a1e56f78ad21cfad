import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { createCancelGeneration } from '../activities/database/cancel-generation.js';
import { createDownloadLinks } from '../activities/storage/download-links.js';
import { createGraphReader } from '../activities/storage/graph-reader.js';
import { createObjectStore } from '../activities/storage/object-store.js';
import type { ObjectStore } from '../activities/storage/object-store.js';
import { createUploadForms } from '../activities/storage/upload-forms.js';
import { openDatabase } from '../infra/postgres/database.js';
import type { Database } from '../infra/postgres/database.js';
import type { Logger } from '../infra/runtime/logger.js';
import { createScratch } from '../infra/runtime/scratch.js';
import { projectRoot } from '../infra/runtime/project-root.js';
import type { ResourceStack } from '../infra/runtime/resource-stack.js';
import type { TemporalConnectionConfig } from '../infra/runtime/temporal-connection.js';
import { versionInfo } from '../infra/runtime/version.js';
import { generationWorkflowId } from '../workflows/contracts/generation.js';
import type { ApiConfig } from './api-config.js';
import { createApp } from './app.js';
import { createAccounts } from './accounts/accounts.js';
import { createAcceptBatch } from './batches/accept-batch.js';
import type { BatchDeps } from './batches/accept-batch.js';
import { createCancelBatch } from './batches/cancel-batch.js';
import { createBatchReader } from './batches/read-batches.js';
import { createRetryBatch } from './batches/retry-batch.js';
import { createBackendDirectory } from './backends/backend-directory.js';
import { createCommandBackend } from './backends/command-backend.js';
import { createCheckpoints } from './error-recovery/checkpoints.js';
import { createEmergencyStops } from './emergency/emergency-stops.js';
import { createEventHub } from './events/event-hub.js';
import { createStreamBatch } from './events/batch-stream.js';
import { createStreamGeneration } from './events/generation-stream.js';
import { createOpenStreams } from './events/open-streams.js';
import { createProgressWatcher } from './events/progress-watcher.js';
import { createReadLiveProgress } from './events/read-live-progress.js';
import { createWaitForEnd } from './events/wait-for-end.js';
import { createAcceptGeneration } from './generations/accept-generation.js';
import { createRetryFailed } from './generations/retry-failed.js';
import { createRetryGeneration } from './generations/retry-generation.js';
import { createGenerationReader } from './generations/read-generations.js';
import { createCheckReadiness } from './health-checks.js';
import { startHttpServer } from './http-server.js';
import { createQueueBoard } from './queue/queue-board.js';
import { createWatchQueue } from './queue/queue-watcher.js';
import { createServiceMetrics } from './metrics/service-metrics.js';
import { createOutputFiles } from './outputs/output-files.js';
import { createOpenApiDocument } from './schemas/openapi-document.js';
import { createReadStatistics } from './statistics/read-statistics.js';
import { loadTemplates } from './templates/load-templates.js';
import { createFetchInput } from './uploads/fetch-input.js';
import { createResolveInputs } from './uploads/resolve-inputs.js';
import { createUploads } from './uploads/uploads.js';

export interface ApiStart {
  readonly config: ApiConfig;
  readonly logger: Logger;
  /** Receives everything that must be let go of. */
  readonly resources: ResourceStack;
}

/** Connects everything and listens; answers the address. Needs a migrated database, but works while others are away. */
export async function startApi({ config, logger, resources }: ApiStart): Promise<{ readonly url: string }> {
  const templates = await loadTemplates(join(projectRoot, 'comfy-workflows'), ...config.templateFolders);
  const { database, temporal, store, hub } = connect({ config, logger, resources });
  const progress = createProgressWatcher(createReadLiveProgress({ temporal, logger }));
  const directory = createBackendDirectory({ store });
  const stopping = new AbortController();
  const streams = createOpenStreams();
  const board = createQueueBoard({ database, directory, readKeptGraph: createGraphReader(store) });
  const batches = createBatchReader({ database, board });
  const temporalUrlOf = temporalUrls(config.temporal);
  const { uploads, resolveInputs } = await takeFiles({ database, store }, config);
  const accepting = { ...config, database, store, directory, board, temporalUrlOf, templates, resolveInputs };
  const retryGeneration = createRetryGeneration(accepting);
  const readStatistics = createReadStatistics({ database, ...config });
  const metrics = createServiceMetrics({
    ...{ database, directory, readStatistics, logger, ...config, ...config.inputs },
    templateNames: templates.keys(),
  });
  const app = createApp({
    observeRequests: metrics.observeRequests,
    renderMetrics: metrics.render,
    logger,
    origin: { host: config.host, allowedHosts: config.allowedHosts },
    version: versionInfo,
    templates,
    directory,
    streamGeneration: createStreamGeneration({ database, hub, progress, watchQueue: createWatchQueue(board), streams }),
    streamBatch: createStreamBatch({ batches, hub, streams }),
    recoverySettings: config.recoverySettings,
    readStatistics,
    files: createOutputFiles({ database, store }),
    createDownloadLink: config.downloadLinks && createDownloadLinks(config.storage, config.downloadLinks),
    reader: createGenerationReader({ database, board, progress, temporalUrlOf }),
    waitForEnd: createWaitForEnd({ database, hub, stopping: stopping.signal }),
    acceptGeneration: createAcceptGeneration(accepting),
    ...batchCommands({ ...accepting, maxBatch: config.maxBatch }),
    batches,
    uploads,
    maxUploadBytes: config.inputs.maxUploadBytes,
    retryGeneration,
    checkpoints: createCheckpoints({ database, store }),
    retryFailed: createRetryFailed({ database, retryGeneration, graphPolicy: config.graphPolicy }),
    cancelGeneration: createCancelGeneration({ database }),
    accounts: createAccounts(database, config.openLimits),
    emergencyStops: createEmergencyStops({ database, temporal }),
    commandBackend: createCommandBackend({ temporal, directory }),
    checkReadiness: createCheckReadiness({ database, store, temporal }),
    openApiDocument: createOpenApiDocument(versionInfo.version),
    readErrorPage,
  });
  const server = await startHttpServer(app, config);
  resources.add('HTTP server', async () => server.stop());
  const endAnswers = (): void => {
    stopping.abort(); // first: the server waits for its answers
    streams.closeAll();
  };
  resources.add('open answers', endAnswers);
  return { url: server.url };
}

/** Files that callers send, and those whose addresses they name. */
async function takeFiles(places: { readonly database: Database; readonly store: ObjectStore }, config: ApiConfig) {
  const { maxUploadBytes, addressRules, scratchFolder } = config.inputs;
  const scratch = await createScratch(scratchFolder);
  const createUploadForm = config.downloadLinks && createUploadForms(config.storage, config.downloadLinks);
  const uploads = createUploads({ ...places, scratch, createUploadForm, ...config.inputs });
  const fetchInput = createFetchInput({ rules: addressRules, maxBytes: maxUploadBytes });
  return { uploads, resolveInputs: createResolveInputs({ ...places, uploads, fetchInput }) };
}

function batchCommands(accepting: BatchDeps) {
  return {
    acceptBatch: createAcceptBatch(accepting),
    retryBatch: createRetryBatch(accepting),
    cancelBatch: createCancelBatch(accepting),
  };
}

/** Connections that open when they are first used: the API starts while Temporal is away. */
function connect({ config, logger, resources }: ApiStart) {
  const connection = openDatabase({
    url: config.databaseUrl,
    poolSize: config.databasePoolSize,
    onIdleError: (error) => {
      logger.warn({ err: error }, 'A database connection broke while idle');
    },
  });
  resources.add('database', async () => connection.close());
  const temporalConnection = Connection.lazy({
    ...config.temporal.connection,
    connectTimeout: '2 seconds',
    interceptors: [], // no retries: only looks and signals are sent, and a retry that is due after close() throws outside of any call
  });
  resources.add('Temporal connection', async () => temporalConnection.close());
  const hub = createEventHub({ databaseUrl: config.databaseUrl, logger });
  resources.add('event hub', async () => hub.close());
  return {
    database: connection.database,
    temporal: new Client({ connection: temporalConnection, namespace: config.temporal.namespace }),
    store: createObjectStore(config.storage),
    hub,
  };
}

function temporalUrls({ uiUrl, namespace }: TemporalConnectionConfig): (generationId: string) => string | null {
  if (uiUrl === '') return () => null;
  const base = `${uiUrl.replace(/\/+$/, '')}/namespaces/${encodeURIComponent(namespace)}/workflows`;
  return (generationId) => `${base}/${encodeURIComponent(generationWorkflowId(generationId))}`;
}

/** Only called with codes of the closed list, so the name cannot lead elsewhere. */
async function readErrorPage(code: string): Promise<string | null> {
  return readFile(join(projectRoot, 'docs', 'errors', `${code}.md`), 'utf8').catch(() => null);
}
