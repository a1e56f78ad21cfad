import { BlockList, isIP, isIPv6 } from 'node:net';
import { ConfigError } from '../runtime/env.js';

/** Which machines may be asked for a file that a caller names. */
export interface AddressRules {
  readonly allowsHttp: boolean;
  /** Of public addresses; those in allowed networks may use any. */
  readonly ports: readonly number[];
  /** Is this a public address, or one of a network that the operators allow? */
  readonly permits: (address: string) => boolean;
  /** One that the operators allow by name of its network. */
  readonly isAllowed: (address: string) => boolean;
}

/** Special purposes by IANA's registry: this machine, networks of one's own, link-local, examples, multicast. */
const RESERVED_IPV4 = [
  ...['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12'],
  ...['192.0.0.0/24', '192.0.2.0/24', '192.88.99.0/24', '192.168.0.0/16', '198.18.0.0/15', '198.51.100.0/24'],
  ...['203.0.113.0/24', '224.0.0.0/4', '240.0.0.0/4'],
];
/** Only global unicast is public; inside of it these lead to IPv4 addresses of any kind, or nowhere. */
const GLOBAL_IPV6 = '2000::/3';
/** An IPv4 address in the clothes of IPv6: a BlockList looks it up as what it is. */
const MAPPED_IPV4 = '::ffff:0:0/96';
const RESERVED_IPV6 = ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20'];

/** Throws `ConfigError` for a network that is none. */
export function createAddressRules(options: {
  readonly allowsHttp: boolean;
  readonly ports: readonly number[];
  /** CIDR notation, such as `192.168.1.0/24`. */
  readonly networks: readonly string[];
}): AddressRules {
  const reserved = blockListOf([...RESERVED_IPV4, ...RESERVED_IPV6]);
  const unicast = blockListOf([GLOBAL_IPV6, MAPPED_IPV4]);
  const allowed = blockListOf(options.networks);
  const isAllowed = (address: string) => contains(allowed, address);
  return {
    allowsHttp: options.allowsHttp,
    ports: options.ports,
    isAllowed,
    permits: (address) => {
      if (isIP(address) === 0) return false;
      if (isAllowed(address)) return true;
      return !contains(reserved, address) && (!isIPv6(address) || contains(unicast, address));
    },
  };
}

function contains(list: BlockList, address: string): boolean {
  return list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
}

function blockListOf(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const [address = '', prefix = ''] = network.split('/');
    const version = isIP(address);
    const bits = Number(prefix);
    if (version === 0 || !/^\d+$/.test(prefix) || bits > (version === 6 ? 128 : 32)) {
      throw new ConfigError(`INPUT_URL_NETWORKS holds "${network}", but must be networks such as 192.168.1.0/24`);
    }
    list.addSubnet(address, bits, version === 6 ? 'ipv6' : 'ipv4');
  }
  return list;
}
