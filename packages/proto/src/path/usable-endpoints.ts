import type { Endpoint } from '../ip/endpoint.ts';
import { CANDIDATE_COUNT_MAX } from './candidates.ts';
import { isLinkLocal } from './path-quality.ts';

/**
 * Leaves out what no datagram can be sent to, IPv6 link-local (it means nothing without a zone), and what exceeds
 * {@link CANDIDATE_COUNT_MAX}. Loopback stays: both nodes may run on one machine.
 */
export function usableEndpoints(endpoints: readonly Endpoint[]): Endpoint[] {
  return endpoints.filter(isUsable).slice(0, CANDIDATE_COUNT_MAX);
}

function isUsable({ address, port }: Endpoint): boolean {
  const [first = 0] = address.bytes;
  if (port === 0 || address.text === '::') return false;
  if (address.family === 6) return first !== 0xff && !isLinkLocal(address);
  // 0.0.0.0/8 is "this host"; 224.0.0.0 and above are multicast, reserved and broadcast (RFC 6890).
  return first !== 0 && first < 224;
}
