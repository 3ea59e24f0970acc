import { isExpired, type NodeChange, type NodeRecord, type NodeRegistry } from './node-registry.ts';
import { USER_ID, USER_PROFILE } from './user.ts';

/** What all nodes are told alike. */
export interface TailnetSettings {
  /** MagicDNS suffix, without dots at the ends. */
  readonly domain: string;
  /** `DERPMap` in its wire form. */
  readonly derpMap: object;
  /** A list of `FilterRule` in its wire form. */
  readonly filterRules: readonly unknown[];
}

/** A MapResponse in its wire form. */
export type MapResponse = Record<string, unknown>;

// Named filters are understood from this capability version on; older clients know one list.
const NAMED_FILTERS_VERSION = 81;

/** The whole netmap as `viewer` sees it: the first message of every stream. An expired node sees only itself. */
export function buildNetmap(
  viewer: NodeRecord,
  nodes: NodeRegistry,
  settings: TailnetSettings,
  isOmittingPeers: boolean,
): MapResponse {
  const isAlone = isOmittingPeers || isExpired(viewer);
  return {
    Node: buildSelf(viewer, settings),
    DERPMap: settings.derpMap,
    ...(isAlone
      ? {}
      : { Peers: [...nodes.all()].filter(({ id }) => id !== viewer.id).map((n) => buildNode(n, settings)) }),
    DNSConfig: { Proxied: true, Domains: [settings.domain], Routes: { [settings.domain]: [] } },
    Domain: settings.domain,
    ...buildFilter(viewer, settings),
    UserProfiles: [USER_PROFILE],
    CollectServices: true,
    ControlTime: new Date().toISOString(),
  };
}

/** `PacketFilters`, or `PacketFilter` for a viewer that knows no names. */
export function buildFilter(viewer: NodeRecord, { filterRules }: TailnetSettings): MapResponse {
  const isNamed = viewer.capabilityVersion >= NAMED_FILTERS_VERSION;
  return isNamed ? { PacketFilters: { base: filterRules } } : { PacketFilter: filterRules };
}

/** A node as it sees itself. */
export function buildSelf(node: NodeRecord, settings: TailnetSettings): MapResponse {
  return { ...buildNode(node, settings), CapMap: { 'https://tailscale.com/cap/file-sharing': [] } };
}

/** A node as its peers see it. Keys that are not known are left out: an empty text is an error to Go. */
export function buildNode(node: NodeRecord, settings: TailnetSettings): MapResponse {
  const addresses = [`${node.ipv4}/32`, `${node.ipv6}/128`];
  return {
    ID: node.id,
    StableID: `${node.id}`,
    Name: `${node.label}.${settings.domain}.`,
    User: USER_ID,
    Key: node.nodeKey,
    Machine: node.machineKey,
    ...(node.discoKey === undefined ? {} : { DiscoKey: node.discoKey }),
    Addresses: addresses,
    AllowedIPs: addresses,
    Endpoints: node.endpoints,
    HomeDERP: node.homeDerp,
    // The older form of the same, for clients below capability version 111.
    DERP: `127.3.3.40:${node.homeDerp}`,
    Hostinfo: node.hostinfo,
    Created: formatTime(node.createdUnixMs),
    Cap: node.capabilityVersion,
    Online: node.streamCount > 0,
    ...(node.streamCount > 0 ? {} : { LastSeen: formatTime(node.lastSeenUnixMs) }),
    ...(node.keyExpiryUnixMs === undefined ? {} : { KeyExpiry: formatTime(node.keyExpiryUnixMs) }),
    ...(isExpired(node) ? { Expired: true } : {}),
    MachineAuthorized: true,
  };
}

/** A `PeerChange`: only what changed of a peer. */
export function buildPatch(node: NodeRecord, changes: ReadonlySet<NodeChange>): MapResponse {
  const isOnline = node.streamCount > 0;
  return {
    NodeID: node.id,
    ...(changes.has('endpoints') ? { Endpoints: node.endpoints } : {}),
    ...(changes.has('home') ? { DERPRegion: node.homeDerp } : {}),
    ...(changes.has('online') ? { Online: isOnline } : {}),
    ...(changes.has('online') && !isOnline ? { LastSeen: formatTime(node.lastSeenUnixMs) } : {}),
  };
}

function formatTime(unixMs: number): string {
  return new Date(unixMs).toISOString();
}
