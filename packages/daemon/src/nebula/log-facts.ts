/** What single lines of Nebula's log say, equal for all versions. */

import { readGoList } from './go-pairs.ts';
import type { NebulaLogLine } from './log-line.ts';

/** The line that Nebula prints before it configures the device: an announcement, no proof that the team is up. */
export interface ActiveInterface {
  /** `disabled` when the configuration says `tun.disabled`. */
  readonly device: string;
  /** CIDR texts. */
  readonly networks: readonly string[];
  /** The port really in use; undefined when the line does not tell. */
  readonly udpPort: number | undefined;
  /** `1.11.1`, as the program calls itself. */
  readonly version: string | undefined;
}

export function activeInterface({ message, fields }: NebulaLogLine): ActiveInterface | undefined {
  if (message !== 'Nebula interface is active') return undefined;
  const device = fields['interface'];
  if (typeof device !== 'string') return undefined;
  const endpoint = toEndpoint(fields['udpAddr']);
  const version = typeof fields['build'] === 'string' ? fields['build'] : undefined;
  return { version, device, networks: toTexts(fields['networks'] ?? fields['network']), udpPort: portOf(endpoint) };
}

export interface HandshakePeer {
  /** All overlay addresses the peer showed; for a lighthouse, any of them may be the configured one. */
  readonly vpnAddresses: readonly string[];
  readonly certName: string;
  /** `address:port` of the peer, or of its relay; undefined when relayed and the version does not tell. */
  readonly remote: string | undefined;
  readonly isRelayed: boolean;
}

/** The peer of a finished handshake, seen from either side. */
export function handshakePeer({ message, fields }: NebulaLogLine): HandshakePeer | undefined {
  if (message !== 'Handshake message received') return undefined;
  const vpnAddresses = toTexts(fields['vpnAddrs'] ?? fields['vpnIp']);
  const certName = fields['certName'];
  if (vpnAddresses.length === 0 || typeof certName !== 'string') return undefined;
  return { vpnAddresses, certName, ...readRemote(fields) };
}

// 1.6 has no address for a relayed peer; 1.11 has `{"relay": …}`, in text `a:1 (relayed)`.
function readRemote(fields: NebulaLogLine['fields']): Pick<HandshakePeer, 'remote' | 'isRelayed'> {
  const from = fields['from'];
  if (typeof from === 'string') {
    return { remote: toEndpoint(from.replace(/ \(relayed\)$/, '')), isRelayed: from.endsWith(' (relayed)') };
  }
  if (isRecord(from)) {
    const relay = toEndpoint(from['relay']);
    return { remote: toEndpoint(from['direct']) ?? relay, isRelayed: relay !== undefined };
  }
  const remote = toEndpoint(fields['udpAddr']);
  return { remote, isRelayed: remote === undefined };
}

function toEndpoint(value: unknown): string | undefined {
  if (typeof value === 'string') return /:\d{1,5}$/.test(value) ? value : undefined;
  if (!isRecord(value) || typeof value['ip'] !== 'string' || typeof value['port'] !== 'number') return undefined;
  return value['ip'].includes(':') ? `[${value['ip']}]:${value['port']}` : `${value['ip']}:${value['port']}`;
}

function portOf(endpoint: string | undefined): number | undefined {
  const port = Number(endpoint?.slice(endpoint.lastIndexOf(':') + 1));
  return Number.isInteger(port) && port > 0 && port <= 65_535 ? port : undefined;
}

const TEXT_COUNT_MAX = 64;

function toTexts(value: unknown): string[] {
  const list = typeof value === 'string' ? readGoList(value) : Array.isArray(value) ? value : [];
  return list.slice(0, TEXT_COUNT_MAX).filter((item): item is string => typeof item === 'string');
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
