import { z } from 'zod';

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
  readonly relay: { readonly regionId: number; readonly code: string; readonly isConnected: boolean } | null;
  /** `host:port` of the local proxy; null when it is off. */
  readonly proxy: string | null;
  /** As given: `127.0.0.1:15432:db:5432`. */
  readonly forwards: readonly string[];
  readonly serves: readonly string[];
  readonly endpoints: readonly string[];
  readonly peers: readonly PeerInfo[];
  readonly counters: Readonly<Record<string, number>>;
}

export const peerSchema: z.ZodType<PeerInfo> = z.object({
  name: z.string(),
  dnsName: z.string(),
  nodeKey: z.string(),
  addresses: z.array(z.string()),
  allowedIps: z.array(z.string()),
  online: z.boolean(),
  path: z.object({ kind: z.enum(['direct', 'relay', 'none']), address: z.string().optional() }),
  rxBytes: z.number(),
  txBytes: z.number(),
  lastHandshakeUnixMs: z.number(),
});

export const statusSchema: z.ZodType<StatusInfo> = z.object({
  state: z.enum(STATE_NAMES),
  authUrl: z.string().optional(),
  attempt: z.number().optional(),
  error: z.object({ code: z.string(), message: z.string() }).optional(),
  context: z.string(),
  pid: z.number().optional(),
  version: z.string(),
  startedUnixMs: z.number(),
  name: z.string(),
  dnsName: z.string(),
  nodeKey: z.string(),
  controlUrl: z.string(),
  addresses: z.array(z.string()),
  peerCount: z.number(),
  relay: z.object({ regionId: z.number(), code: z.string(), isConnected: z.boolean() }).nullable(),
  proxy: z.string().nullable(),
  forwards: z.array(z.string()),
  serves: z.array(z.string()),
  endpoints: z.array(z.string()),
  peers: z.array(peerSchema),
  counters: z.record(z.string(), z.number()),
});
