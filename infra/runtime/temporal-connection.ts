import { loadClientConnectConfig } from '@temporalio/envconfig';
import type { Env } from './env.js';
import { stringFrom } from './env.js';

export type TemporalConnectionConfig = ReturnType<typeof temporalConfigFrom>;

/**
 * Temporal's own settings (`TEMPORAL_ADDRESS`, `TEMPORAL_NAMESPACE`, `TEMPORAL_API_KEY`, `TEMPORAL_TLS…`,
 * `TEMPORAL_PROFILE`, a TOML file) are read by Temporal's own library; ours is only `TEMPORAL_UI_URL`, for links.
 */
export function temporalConfigFrom(env: Env) {
  const { connectionOptions, namespace } = loadClientConnectConfig({ overrideEnvVars: definedOf(env) });
  const { address, tls, apiKey, metadata } = connectionOptions;
  return {
    /** Fits a client's `Connection` and a worker's `NativeConnection` alike. */
    connection: {
      address: address ?? 'localhost:7233',
      ...(tls !== undefined && { tls }),
      ...(apiKey !== undefined && { apiKey }),
      ...(metadata !== undefined && { metadata }),
    },
    namespace: namespace ?? 'default',
    /** Base address of the Temporal Web UI, empty when unknown. */
    uiUrl: stringFrom(env, 'TEMPORAL_UI_URL', ''),
  };
}

function definedOf(env: Env): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const])),
  );
}
