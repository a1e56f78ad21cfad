import { searchAttributeTypes } from './search-attribute-types.js';

export interface TemporalFlagsRequest {
  readonly port: number;
  readonly uiPort: number;
  readonly namespace: string;
  readonly databaseFile: string;
  readonly throwaway: boolean;
}

/** How the Temporal dev server is started; each setting that is not a default has its reason beside it. */
export function temporalFlags(request: TemporalFlagsRequest): readonly string[] {
  return [
    ...['server', 'start-dev', '--ip', '127.0.0.1'],
    ...['--port', `${request.port}`, '--ui-port', `${request.uiPort}`],
    ...['--namespace', request.namespace, '--db-filename', request.databaseFile, '--log-level', 'warn'],
    // Rollback journal and full fsync, the defaults, allow 5 generations a second; these allow 15 and survive a kill.
    ...['--sqlite-pragma', 'journal_mode=WAL', '--sqlite-pragma', 'synchronous=NORMAL'],
    ...dynamicConfig(request.throwaway).flatMap(([key, value]) => ['--dynamic-config-value', `${key}=${value}`]),
    ...Object.entries(searchAttributeTypes).flatMap(([name, type]) => ['--search-attribute', `${name}=${type}`]),
  ];
}

function dynamicConfig(throwaway: boolean): readonly (readonly [string, string])[] {
  return [
    // Priority keys are ignored by the old matcher, which is the default up to server 1.30.
    ['matching.useNewMatcher', 'true'],
    // Accounts take turns within one priority.
    ['matching.enableFairness', 'true'],
    // Order is exact only within one partition; four are the default. It is also faster here.
    ['matching.numTaskqueueReadPartitions', '1'],
    ['matching.numTaskqueueWritePartitions', '1'],
    // A worker that has the Workflow Task may take its activities along with the answer.
    ['system.enableActivityEagerExecution', 'true'],
    // 20 by default, which costs 50 ms for each server task: six activities took 650 ms, and 119 ms with these.
    ['history.transferProcessorMaxPollRPS', '1000'],
    ['history.timerProcessorMaxPollRPS', '1000'],
    // 1 s by default, which is the least any timer or retry pause takes.
    ['history.timerProcessorMaxTimeShift', '"50ms"'],
    // 30 s, of visibility 10 s, by default: a queue goes through all that it has done since, whenever something new comes.
    ['history.transferProcessorUpdateAckInterval', '"5s"'],
    ['history.timerProcessorUpdateAckInterval', '"5s"'],
    ['history.visibilityProcessorUpdateAckInterval', '"5s"'],
    // 1 by default: an emergency stop would be refused while another batch runs.
    ['frontend.MaxConcurrentBatchOperationPerNamespace', '5'],
    // `temporal worker list` shows who is alive.
    ['frontend.WorkerHeartbeatsEnabled', 'true'],
    ['frontend.ListWorkersEnabled', 'true'],
    // A server on loopback has no business asking whether there is a newer one.
    ['frontend.enableServerVersionCheck', 'false'],
    ...(throwaway ? OF_TESTS : []),
  ];
}

/** Tests register a namespace each, by the hundred. */
const OF_TESTS: readonly (readonly [string, string])[] = [
  // Its Search Attributes are used at once.
  ['system.forceSearchAttributesCacheRefreshOnRead', 'true'],
  // The server goes through all of its metrics every second: a fifth of its processor time with 37 namespaces.
  ['metrics.breakdownByTaskQueue', 'false'],
  ['metrics.breakdownByPartition', 'false'],
  ['metrics.breakdownByBuildID', 'false'],
];
