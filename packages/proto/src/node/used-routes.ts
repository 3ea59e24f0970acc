import type { IpPrefix } from '../ip/prefix.ts';

/** What the coordination server lets a node have. */
interface Routed {
  readonly addresses: readonly IpPrefix[];
  readonly allowedIps: readonly IpPrefix[];
}

/**
 * Those prefixes of a peer that lead to it and that it may send from: its own addresses, and the subnets it serves if
 * the user wants them. A default route makes an exit node; nobody becomes one by saying so.
 */
export function usedRoutes({ addresses, allowedIps }: Routed, acceptsRoutes: boolean): readonly IpPrefix[] {
  return allowedIps.filter(
    ({ address, bits }) =>
      (acceptsRoutes && bits > 0) || addresses.some((own) => own.bits === bits && own.address.text === address.text),
  );
}
