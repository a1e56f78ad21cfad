import { lookup as systemLookup } from 'node:dns/promises';
import type { LookupAddress } from 'node:dns';
import { isIP } from 'node:net';
import type { LookupFunction } from 'node:net';
import { Agent, buildConnector } from 'undici';
import type { AddressRules } from './address-rules.js';

/** An address that may not be asked, in words for the caller who named it; never what was found there. */
export class AddressRefusedError extends Error {
  override readonly name = 'AddressRefusedError';
}

/** Every address of a host name. */
export type ResolveHost = (hostname: string) => Promise<readonly LookupAddress[]>;

export interface GuardedAgentOptions {
  readonly rules: AddressRules;
  readonly connectMs: number;
  readonly idleMs: number;
  readonly resolveHost?: ResolveHost;
}

/**
 * Connects to permitted addresses only. A host name is resolved once, here, and what was judged is what is connected to,
 * so a name that resolves differently the second time leads nowhere. Addresses that are written as numbers never reach a
 * lookup: `refuseUrl` judges them, and the open connection is looked at once more.
 */
export function createGuardedAgent({ rules, connectMs, idleMs, resolveHost }: GuardedAgentOptions): Agent {
  const lookup = guardedLookup(rules, resolveHost ?? systemResolve);
  const connect = buildConnector({ timeout: connectMs, lookup });
  return new Agent({
    headersTimeout: idleMs,
    bodyTimeout: idleMs,
    pipelining: 0, // judged anew for each request
    connect: (options, callback) => {
      connect(options, (...outcome) => {
        const [error, socket] = outcome;
        if (error !== null || rules.permits(socket.remoteAddress ?? '')) {
          callback(...outcome);
          return;
        }
        socket.destroy();
        callback(privateAddress(options.hostname), null);
      });
    },
  });
}

/** Judges what an address says by itself; throws `AddressRefusedError`. */
export function refuseUrl(url: URL, rules: AddressRules): void {
  const isHttp = url.protocol === 'http:';
  if (url.protocol !== 'https:' && !(isHttp && rules.allowsHttp)) {
    throw new AddressRefusedError(`is not an address of https${rules.allowsHttp ? ' or http' : ''}`);
  }
  if (url.username !== '' || url.password !== '') throw new AddressRefusedError('holds a user name or a password');
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const isNumeric = isIP(host) !== 0;
  if (isNumeric && !rules.permits(host)) throw privateAddress(url.hostname);
  const port = url.port === '' ? (isHttp ? 80 : 443) : Number(url.port);
  if (rules.ports.includes(port) || (isNumeric && rules.isAllowed(host))) return;
  throw new AddressRefusedError(`uses port ${port}; allowed are ${rules.ports.join(', ')}`);
}

const systemResolve: ResolveHost = async (hostname) => systemLookup(hostname, { all: true, verbatim: true });

/** One private address among several is enough: which of them would be connected to is not decided here. */
function guardedLookup(rules: AddressRules, resolveHost: ResolveHost): LookupFunction {
  return (hostname, options, callback) => {
    resolveHost(hostname).then(
      (addresses) => {
        const [first] = addresses;
        if (first === undefined) callback(new Error(`${hostname} has no address`), '');
        else if (!addresses.every(({ address }) => rules.permits(address))) callback(privateAddress(hostname), '');
        else if (options.all === true) callback(null, [...addresses]);
        else callback(null, first.address, first.family);
      },
      (error: Error) => {
        callback(error, '');
      },
    );
  };
}

function privateAddress(hostname: string): AddressRefusedError {
  return new AddressRefusedError(`leads to ${hostname}, which is not a public address`);
}
