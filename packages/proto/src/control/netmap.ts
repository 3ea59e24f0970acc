import type { FilterRule } from '../filter/rules.ts';
import type { Endpoint } from '../ip/endpoint.ts';
import type { IpPrefix } from '../ip/prefix.ts';
import type { DiscoPublicKey, NodePublicKey } from '../keys/public-key.ts';
import type { DerpMap } from './derp-map.ts';
import type { DnsConfig } from './dns-config.ts';

/**
 * A node of the tailnet as the coordination server describes it. Immutable: a node that did not change is the same
 * object in the next {@link Netmap}, so consumers may compare by identity.
 */
export interface NetmapNode {
  /** Never reused by the server; the name of the node in deltas. Not 0; beyond 2^53 it is rounded. */
  readonly id: number;
  readonly stableId: string;
  /** Lower case, fully qualified, with one trailing dot; `''` when the server gives none. */
  readonly name: string;
  readonly key: NodePublicKey;
  /** `undefined` until the node has told the server: no direct path before. */
  readonly discoKey: DiscoPublicKey | undefined;
  readonly addresses: readonly IpPrefix[];
  /** What the node may send from and what is routed to it: its addresses and approved routes. */
  readonly allowedIps: readonly IpPrefix[];
  readonly endpoints: readonly Endpoint[];
  /** Region of the home relay; 0 for unknown. */
  readonly homeDerp: number;
  /** `undefined` when the server does not say. */
  readonly isOnline: boolean | undefined;
  /** Its key must not be used. Endpoints and home are then empty if only the clock says so. */
  readonly isExpired: boolean;
  /** `undefined` for never. */
  readonly keyExpiryUnixMs: number | undefined;
  /** It may not open connections to us. */
  readonly isJailed: boolean;
  /** Plain WireGuard: neither disco nor relay. */
  readonly isWireGuardOnly: boolean;
  readonly capabilities: ReadonlySet<string>;
  /** As the node itself gave it. */
  readonly hostname: string;
  readonly os: string;
  /** Subnets this node serves at the moment. */
  readonly primaryRoutes: readonly IpPrefix[];
  readonly tags: readonly string[];
}

/** What a coordination server has told us. Immutable. */
export interface Netmap {
  readonly self: NetmapNode;
  /** By node id, without ourselves. */
  readonly peers: ReadonlyMap<number, NetmapNode>;
  readonly derpMap: DerpMap;
  readonly dns: DnsConfig;
  /** All named filters of the stream together; empty blocks everything inbound. */
  readonly filterRules: readonly FilterRule[];
  /** Warnings for the user, one line each. */
  readonly health: readonly string[];
  /** For display only: its meaning differs between servers. */
  readonly domain: string;
}
