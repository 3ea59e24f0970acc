import { flag, listOf, nullable, number, objectOf, oneOf, optional, recordOf, type Shape, text } from './shape.ts';

/** The states of a node, by the names every client knows. */
export const STATE_NAMES = [
  'starting',
  'connecting',
  'needs_login',
  'handshaking',
  'registering',
  'running',
  'reconnecting',
  'shutting_down',
  'stopped',
  'error',
] as const;

export type StateName = (typeof STATE_NAMES)[number];

export interface PeerInfo {
  /** First label of the DNS name. */
  readonly name: string;
  readonly dnsName: string;
  readonly nodeKey: string;
  readonly addresses: readonly string[];
  readonly allowedIps: readonly string[];
  readonly online: boolean;
  readonly path: { readonly kind: 'direct' | 'relay' | 'none'; readonly address?: string | undefined };
  readonly rxBytes: number;
  readonly txBytes: number;
  /** Unix milliseconds, 0 for never. */
  readonly lastHandshakeUnixMs: number;
}

/** The answer to `status`, and what `heddle status --json` prints. */
/** The home relay. */
export interface RelayInfo {
  readonly regionId: number;
  readonly code: string;
  readonly isConnected: boolean;
  /** Why it is not connected. */
  readonly error?: { readonly code: string; readonly message: string } | undefined;
}

export interface StatusInfo {
  readonly state: StateName;
  /** Where to log in, while `needs_login`. */
  readonly authUrl?: string | undefined;
  /** While `reconnecting`, from 1. */
  readonly attempt?: number | undefined;
  /** While `error`. */
  readonly error?: { readonly code: string; readonly message: string } | undefined;
  readonly context: string;
  readonly pid?: number | undefined;
  readonly version: string;
  readonly startedUnixMs: number;
  readonly name: string;
  readonly dnsName: string;
  readonly nodeKey: string;
  readonly controlUrl: string;
  readonly addresses: readonly string[];
  readonly peerCount: number;
  readonly relay: RelayInfo | null;
  /** `host:port` of the local proxy; null when it is off. */
  readonly proxy: string | null;
  /** As given: `127.0.0.1:15432:db:5432`. */
  readonly forwards: readonly string[];
  readonly serves: readonly string[];
  readonly endpoints: readonly string[];
  readonly peers: readonly PeerInfo[];
  readonly counters: Readonly<Record<string, number>>;
}

/** How packets reach a peer. */
export const pathShape: Shape<PeerInfo['path']> = objectOf({
  kind: oneOf(['direct', 'relay', 'none']),
  address: optional(text),
});

export const peerShape: Shape<PeerInfo> = objectOf({
  name: text,
  dnsName: text,
  nodeKey: text,
  addresses: listOf(text),
  allowedIps: listOf(text),
  online: flag,
  path: pathShape,
  rxBytes: number,
  txBytes: number,
  lastHandshakeUnixMs: number,
});

export const statusShape: Shape<StatusInfo> = objectOf({
  state: oneOf(STATE_NAMES),
  authUrl: optional(text),
  attempt: optional(number),
  error: optional(objectOf({ code: text, message: text })),
  context: text,
  pid: optional(number),
  version: text,
  startedUnixMs: number,
  name: text,
  dnsName: text,
  nodeKey: text,
  controlUrl: text,
  addresses: listOf(text),
  peerCount: number,
  relay: nullable(
    objectOf<RelayInfo>({
      regionId: number,
      code: text,
      isConnected: flag,
      error: optional(objectOf({ code: text, message: text })),
    }),
  ),
  proxy: nullable(text),
  forwards: listOf(text),
  serves: listOf(text),
  endpoints: listOf(text),
  peers: listOf(peerShape),
  counters: recordOf(number),
});
