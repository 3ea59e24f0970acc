import type { Netmap, NetmapNode } from '@heddle/proto/control/netmap';
import { formatPrefix } from '@heddle/proto/ip/prefix';
import { formatPublicKey, type NodePublicKey } from '@heddle/proto/keys/public-key';
import { regionCode } from '@heddle/proto/node/node';
import type { DataPlane } from './data-plane.ts';
import type { PeerPath, PeerStatus, TailnetState, TailnetStatus } from './types.ts';

export interface StatusSources {
  readonly state: TailnetState;
  readonly controlUrl: string;
  readonly nodeKey: NodePublicKey | undefined;
  readonly netmap: Netmap | undefined;
  readonly plane: DataPlane | undefined;
}

/** A snapshot for people and programs. Asking changes nothing: no peer state is made for it. */
export function describeStatus(sources: StatusSources): TailnetStatus {
  const { state, controlUrl, nodeKey, netmap, plane } = sources;
  const dnsName = netmap?.self.name.replace(/\.$/, '') ?? '';
  return {
    state,
    name: firstLabel(dnsName),
    dnsName,
    nodeKey: nodeKey === undefined ? '' : formatPublicKey('node', nodeKey),
    controlUrl,
    addresses: netmap?.self.addresses.map((prefix) => prefix.address.text) ?? [],
    peerCount: netmap?.peers.size ?? 0,
    relay: describeRelay(netmap, plane),
    endpoints: plane?.endpoints.map(({ endpoint }) => endpoint.text) ?? [],
    peers: [...(netmap?.peers.values() ?? [])].map((node) => describePeer(node, netmap as Netmap, plane)),
    counters: plane === undefined ? {} : collectCounters(plane),
  };
}

function describeRelay(netmap: Netmap | undefined, plane: DataPlane | undefined): TailnetStatus['relay'] {
  if (netmap === undefined || plane === undefined || plane.home === 0) return undefined;
  const { home, homeFailure } = plane;
  return {
    regionId: home,
    code: regionCode(netmap.derpMap, home),
    isConnected: plane.isHomeConnected,
    ...(homeFailure && { error: { code: homeFailure.code, message: homeFailure.message } }),
  };
}

function describePeer(node: NetmapNode, netmap: Netmap, plane: DataPlane | undefined): PeerStatus {
  const dnsName = node.name.replace(/\.$/, '');
  const handle = plane?.node.peers.handleOf(node.id) ?? -1;
  const stats = handle < 0 ? undefined : plane?.node.wireguard.stats(handle);
  return {
    name: firstLabel(dnsName) || node.hostname,
    dnsName,
    nodeKey: formatPublicKey('node', node.key),
    addresses: node.addresses.map((prefix) => prefix.address.text),
    allowedIps: node.allowedIps.map(formatPrefix),
    online: node.isOnline ?? false,
    // Before the first handshake a relay is a plan, not a path.
    path: plane === undefined || !stats?.lastHandshakeUnixMs ? { kind: 'none' } : describePath(plane, handle, netmap),
    rxBytes: stats?.rxBytes ?? 0,
    txBytes: stats?.txBytes ?? 0,
    lastHandshakeUnixMs: stats?.lastHandshakeUnixMs ?? 0,
  };
}

function describePath(plane: DataPlane, handle: number, netmap: Netmap): PeerPath {
  const path = plane.node.path.describe(handle);
  switch (path.kind) {
    case 'direct':
      return { kind: 'direct', address: path.endpoint.text };
    case 'relay':
      return { kind: 'relay', address: regionCode(netmap.derpMap, path.regionId) };
    case 'none':
      return { kind: 'none' };
  }
}

function collectCounters(plane: DataPlane): Record<string, number> {
  const { counters, wireguard, path, netstack } = plane.node;
  const rooms: Record<string, Record<string, number>> = {
    node: counters.snapshot(),
    wireguard: wireguard.counters.snapshot(),
    path: path.counters.snapshot(),
    netstack: netstack.counters.snapshot(),
    relay: plane.relayCounters(),
  };
  return Object.fromEntries(
    Object.entries(rooms).flatMap(([room, counts]) =>
      Object.entries(counts).map(([name, count]) => [`${room}/${name}`, count] as const),
    ),
  );
}

function firstLabel(dnsName: string): string {
  return dnsName.split('.')[0] ?? '';
}
