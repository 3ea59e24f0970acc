import { networkInterfaces } from 'node:os';
import { type IpAddress, parseAddress } from '@heddle/proto/ip/address';
import { createEndpoint, type Endpoint } from '@heddle/proto/ip/endpoint';
import { type IpPrefix, isInPrefix, parsePrefix } from '@heddle/proto/ip/prefix';

/** IPv6 addresses of one interface that are told to peers: privacy addresses would make the list endless. */
const IPV6_PER_INTERFACE_MAX = 2;

const LINK_LOCAL_V6 = parsePrefix('fe80::/10') as IpPrefix;
const LINK_LOCAL_V4 = parsePrefix('169.254.0.0/16') as IpPrefix;

/**
 * The machine's own addresses with our UDP port, for peers on the same network.
 * Left out: link-local addresses, our own tailnet addresses (`isOwn`), and loopback unless there is nothing else.
 */
export function listLocalEndpoints(port: number, hasIpv6: boolean, isOwn: (address: IpAddress) => boolean): Endpoint[] {
  const outside: Endpoint[] = [];
  const loopback: Endpoint[] = [];
  for (const addresses of Object.values(networkInterfaces())) {
    let ipv6Count = 0;
    for (const entry of addresses ?? []) {
      const address = parseAddress(entry.address.split('%')[0] as string);
      if (address === undefined || isOwn(address)) continue;
      if (isInPrefix(LINK_LOCAL_V6, address) || isInPrefix(LINK_LOCAL_V4, address)) continue;
      if (address.family === 6 && (!hasIpv6 || ++ipv6Count > IPV6_PER_INTERFACE_MAX)) continue;
      (entry.internal ? loopback : outside).push(createEndpoint(address, port));
    }
  }
  return outside.length > 0 ? outside : loopback;
}
