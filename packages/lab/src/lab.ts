import { type DerpMap, EMPTY_DERP_MAP, updateDerpMap } from '@heddle/proto/control/derp-map';
import type { NodePublicKey } from '@heddle/proto/keys/public-key';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import type { LogLine } from '@heddle/tailnet/types';
import type { AuthKeyOptions } from './coordination/auth-keys.ts';
import { type Coordination, startCoordination } from './coordination/coordination.ts';
import { isExpired, type NodeRecord } from './coordination/node-registry.ts';
import { StunResponder } from './relay/stun-responder.ts';

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
  /** Serves a relay on the same port, and STUN. Default true. */
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
  readonly relay: { readonly port: number; readonly stunPort: number; readonly publicKey: NodePublicKey } | undefined;
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
  const stun = hasRelay ? await startStun(host, options.stunPort ?? 0) : undefined;
  const coordination = await startCoordination({
    host,
    port: options.port ?? 0,
    domain,
    filterRules: options.filterRules ?? ALLOW_ALL,
    createDerpMap: (port) => options.derpMap ?? createDerpMap(host, port, stun?.port),
    hasRelay,
    requiresAuthKey: options.requiresAuthKey ?? false,
    keepAliveMs: options.keepAliveMs ?? 50_000,
    ephemeralTimeoutMs: options.ephemeralTimeoutMs ?? 60_000,
    hasEarlyPayload: options.hasEarlyPayload ?? true,
    log: options.log ?? (() => {}),
  }).catch(async (error: unknown) => {
    await stun?.close();
    throw error;
  });
  const authKey = coordination.authKeys.create(options.authKey, {});
  return createLab(coordination, { domain, authKey, stun });
}

interface LabParts {
  readonly domain: string;
  readonly authKey: string;
  readonly stun: StunResponder | undefined;
}

function createLab(coordination: Coordination, { domain, authKey, stun }: LabParts): Lab {
  const { port, controlUrl, relayKey, nodes, authKeys, logins, setFilterRules } = coordination;
  const hasRelay = relayKey !== undefined && stun !== undefined;
  let closing: Promise<void> | undefined;
  const close = () => {
    closing ??= Promise.all([coordination.close(), stun?.close()]).then(() => undefined);
    return closing;
  };
  return {
    controlUrl,
    authKey,
    domain,
    derpMap: updateDerpMap(EMPTY_DERP_MAP, coordination.derpMap),
    relay: hasRelay ? { port, stunPort: stun.port, publicKey: relayKey } : undefined,
    nodes: () => [...nodes.all()].map((node) => describeNode(node, domain)),
    createAuthKey: (options = {}) => authKeys.create(undefined, options),
    approve: (authUrl) => logins.approve(authUrl.split('/').at(-1) ?? ''),
    expire: (nodeId) => nodes.expire(nodeId),
    remove: (nodeId) => nodes.remove(nodeId),
    setFilterRules,
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function startStun(host: string, port: number): Promise<StunResponder> {
  try {
    return await StunResponder.start(host, port);
  } catch (cause) {
    throw new TailnetError('lab/listen-failed', `Cannot answer STUN on ${host}:${port}`, { cause });
  }
}

/**
 * One region with the relay on the port of the coordination server: the map has no field for "plain HTTP", but nodes
 * conclude it from the address being that of a plain-HTTP control URL. Real ones need `TS_DEBUG_USE_DERP_HTTP=1`.
 */
function createDerpMap(host: string, port: number, stunPort: number | undefined): object {
  if (stunPort === undefined) return { Regions: {} };
  const isIpv6 = host.includes(':');
  const node = {
    Name: `${REGION_ID}a`,
    RegionID: REGION_ID,
    HostName: host,
    IPv4: isIpv6 ? 'none' : host,
    IPv6: isIpv6 ? host : 'none',
    DERPPort: port,
    STUNPort: stunPort,
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
