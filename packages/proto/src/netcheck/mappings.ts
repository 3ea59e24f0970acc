import type { Endpoint } from '../ip/endpoint.ts';

/** One answer: where a server saw us, and how long it took. */
export interface MappingSeen {
  readonly mapped: Endpoint;
  readonly latencyMs: number;
}

/**
 * Orders what servers saw for telling peers: IPv4 before IPv6, in each family the mapping of the fastest server, then
 * those that more than one server saw. A mapping that only one slow server saw belongs to a NAT that gives every
 * destination another one: nobody else could use it.
 */
export function orderMappings(seen: readonly MappingSeen[]): {
  readonly mapped: Endpoint[];
  readonly isMappingVarying: boolean | undefined;
} {
  const ipv4 = seen.filter(({ mapped }) => mapped.address.family === 4);
  const ipv6 = seen.filter(({ mapped }) => mapped.address.family === 6);
  return {
    mapped: [...orderFamily(ipv4), ...orderFamily(ipv6)],
    isMappingVarying: ipv4.length < 2 ? undefined : new Set(ipv4.map(({ mapped }) => mapped.text)).size > 1,
  };
}

function orderFamily(seen: readonly MappingSeen[]): Endpoint[] {
  const byLatency = [...seen].sort((a, b) => a.latencyMs - b.latencyMs);
  const counts = new Map<string, number>();
  for (const { mapped } of byLatency) counts.set(mapped.text, (counts.get(mapped.text) ?? 0) + 1);
  const ordered = new Map<string, Endpoint>();
  for (const [i, { mapped }] of byLatency.entries()) {
    if (i === 0 || (counts.get(mapped.text) ?? 0) > 1) ordered.set(mapped.text, mapped);
  }
  return [...ordered.values()];
}
