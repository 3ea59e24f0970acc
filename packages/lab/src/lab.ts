import { type DerpMap, EMPTY_DERP_MAP, updateDerpMap } from '@heddle/proto/control/derp-map';
import type { LogLine } from '@heddle/tailnet/types';
import type { AuthKeyOptions } from './coordination/auth-keys.ts';
import { startCoordination } from './coordination/coordination.ts';
import { isExpired, type NodeRecord } from './coordination/node-registry.ts';
import { startRelay } from './relay/relay.ts';

/** What `startLab` takes; everything has a default. */
export interface LabOptions {
  /** Address to listen on, which nodes must be able to reach. Default 127.0.0.1. */
  readonly host?: string;
  /** Port of the coordination server. Default 0, any. */
  readonly port?: number;
  /** UDP port of STUN. Default 0, any. */
  readonly stunPort?: number;
  /** The first pre-auth key: reusable, not ephemeral. Default: a random one. */
  readonly authKey?: string;
  /** MagicDNS suffix. Default `lab.test`. */
  readonly domain?: string;
  /** Refuses nodes that come without a key, instead of sending their user to a page. Default false. */
  readonly requiresAuthKey?: boolean;
  /** Starts a relay and STUN. Default true. */
  readonly withRelay?: boolean;
  /** A `DERPMap` in its wire form, of relays that run elsewhere. Default: our relay alone. */
  readonly derpMap?: object;
  /** Packet filter: `FilterRule`s in their wire form. Default: everything is allowed. */
  readonly filterRules?: readonly unknown[];
  /** Milliseconds of quiet after which a stream gets a keep-alive. Default 50,000. */
  readonly keepAliveMs?: number;
  /** Milliseconds after which an absent ephemeral node is removed. Default 60,000. */
  readonly ephemeralTimeoutMs?: number;
  /** Sends the early payload of the Noise connection, as Headscale does and other servers do not. Default true. */
  readonly hasEarlyPayload?: boolean;
  /** Default: nowhere. */
  readonly log?: (line: LogLine) => void;
}

/** A node as the coordination server knows it. */
export interface LabNode {
  readonly id: number;
  /** Full name without the last dot. */
  readonly name: string;
  readonly hostname: string;
  /** IPv4, then IPv6. */
  readonly addresses: readonly string[];
  readonly nodeKey: string;
  readonly endpoints: readonly string[];
  /** Region of its relay, 0 while it has none. */
  readonly homeDerp: number;
  readonly isOnline: boolean;
  readonly isExpired: boolean;
  readonly isEphemeral: boolean;
}

/** A running tailnet without members: nodes join with `controlUrl` and `authKey`. */
export interface Lab {
  readonly controlUrl: string;
  readonly authKey: string;
  readonly domain: string;
  readonly derpMap: DerpMap;
  /** `undefined` when the lab was started without one. */
  readonly relay: { readonly port: number; readonly stunPort: number; readonly publicKey: string } | undefined;
  nodes(): readonly LabNode[];
  /** A further pre-auth key. @throws {RangeError} when there are too many. */
  createAuthKey(options?: AuthKeyOptions): string;
  /** Lets the machine in that was sent to this URL. False when nobody waits there. */
  approve(authUrl: string): boolean;
  /** Ends the validity of a node's key. False for an unknown id. */
  expire(nodeId: number): boolean;
  /** Removes a node as if it had never been. False for an unknown id. */
  remove(nodeId: number): boolean;
  /** Replaces the packet filter of all nodes. */
  setFilterRules(filterRules: readonly unknown[]): void;
  /** Ends all connections and frees the ports. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const ALLOW_ALL = [{ SrcIPs: ['*'], DstPorts: [{ IP: '*', Ports: { First: 0, Last: 65535 } }] }];
const REGION_ID = 900;

/**
 * Starts a small coordination server with a relay, for demos and tests: one user, everything in memory, plain HTTP.
 * Not for production: Headscale is.
 * @throws {TailnetError} `lab/listen-failed` when a port is taken.
 * @example
 * await using lab = await startLab();
 * const node = await Tailnet.join({ controlUrl: lab.controlUrl, authKey: lab.authKey });
 */
export async function startLab(options: LabOptions = {}): Promise<Lab> {
  const host = options.host ?? '127.0.0.1';
  const domain = options.domain ?? 'lab.test';
  const hasRelay = options.withRelay ?? true;
  const relay = hasRelay ? await startRelay({ host, port: 0, stunPort: options.stunPort ?? 0 }) : undefined;
  const derpMap = options.derpMap ?? (relay === undefined ? { Regions: {} } : describeRelay(host, relay));
  const coordination = await startCoordination({
    host,
    port: options.port ?? 0,
    settings: { domain, derpMap, filterRules: options.filterRules ?? ALLOW_ALL },
    requiresAuthKey: options.requiresAuthKey ?? false,
    keepAliveMs: options.keepAliveMs ?? 50_000,
    ephemeralTimeoutMs: options.ephemeralTimeoutMs ?? 60_000,
    hasEarlyPayload: options.hasEarlyPayload ?? true,
    log: options.log ?? (() => {}),
  }).catch(async (error: unknown) => {
    await relay?.close();
    throw error;
  });
  const { nodes, authKeys, logins } = coordination;
  const close = async () => {
    await coordination.close();
    await relay?.close();
  };
  return {
    controlUrl: coordination.controlUrl,
    authKey: authKeys.create(options.authKey, {}),
    domain,
    derpMap: updateDerpMap(EMPTY_DERP_MAP, derpMap),
    relay,
    nodes: () => [...nodes.all()].map((node) => describeNode(node, domain)),
    createAuthKey: (keyOptions = {}) => authKeys.create(undefined, keyOptions),
    approve: (authUrl) => logins.approve(authUrl.split('/').at(-1) ?? ''),
    expire: (nodeId) => nodes.expire(nodeId),
    remove: (nodeId) => nodes.remove(nodeId),
    setFilterRules: coordination.setFilterRules,
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Nothing in the map says that the relay speaks plain HTTP: real nodes need `TS_DEBUG_USE_DERP_HTTP=1`. */
function describeRelay(host: string, relay: { readonly port: number; readonly stunPort: number }): object {
  const node = {
    Name: `${REGION_ID}a`,
    RegionID: REGION_ID,
    HostName: host,
    IPv4: host.includes(':') ? 'none' : host,
    IPv6: host.includes(':') ? host : 'none',
    DERPPort: relay.port,
    STUNPort: relay.stunPort,
    InsecureForTests: true,
  };
  const region = { RegionID: REGION_ID, RegionCode: 'lab', RegionName: 'Lab', Nodes: [node] };
  return { Regions: { [REGION_ID]: region } };
}

function describeNode(node: NodeRecord, domain: string): LabNode {
  const { id, hostname, nodeKey, endpoints, homeDerp, isEphemeral } = node;
  return {
    id,
    name: `${node.label}.${domain}`,
    hostname,
    addresses: [node.ipv4, node.ipv6],
    nodeKey,
    endpoints,
    homeDerp,
    isOnline: node.streamCount > 0,
    isExpired: isExpired(node),
    isEphemeral,
  };
}
