import { z } from 'zod';
import { type PeerInfo, peerSchema, type StatusInfo, statusSchema } from './status.ts';

/** What every failed request gets. `code` is stable (docs/guide/errors.md). */
export interface FailureReply {
  readonly ok: false;
  readonly message: string;
  readonly code: string;
  readonly id?: string | number | undefined;
  readonly pid?: number | undefined;
  /** With `ipc/rate-limited`: when the next request passes. */
  readonly retry_after_ms?: number | undefined;
}

/** What every answered request gets, beside the fields of its action. */
export interface SuccessReply {
  readonly ok: true;
  readonly message: string;
  readonly pid: number;
  readonly id?: string | number | undefined;
}

export type ReplyHead = FailureReply | SuccessReply;

export interface RouteInfo {
  readonly prefix: string;
  /** First label of the peer's name. */
  readonly peer: string;
  readonly kind: 'address' | 'subnet' | 'exit';
  readonly online: boolean;
}

export interface PingInfo {
  readonly peer: string;
  readonly address: string;
  readonly roundTripMs: number;
  readonly path: PeerInfo['path'];
}

export interface LogRecord {
  /** ISO 8601, UTC. */
  readonly time: string;
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly message: string;
  readonly fields?: Readonly<Record<string, string | number | boolean>> | undefined;
}

/** One connection through the proxy, a forward or a serve; the fields are those of the tailnet's proxy. */
export type ConnectionInfo = Readonly<Record<string, unknown>>;

/** The bodies of the answers, by action. */
export interface ReplyBodies {
  readonly status: StatusInfo;
  readonly peers: { readonly peers: readonly PeerInfo[] };
  readonly routes: { readonly routes: readonly RouteInfo[] };
  readonly ping: PingInfo;
  readonly recent_connections: { readonly connections: readonly ConnectionInfo[] };
  readonly logs: { readonly lines: readonly LogRecord[] };
  readonly version: { readonly version: string; readonly node: string };
}

const failure = z.object({
  ok: z.literal(false),
  message: z.string(),
  code: z.string(),
  id: z.union([z.string(), z.number()]).optional(),
  pid: z.number().optional(),
  retry_after_ms: z.number().optional(),
});

const success = z.object({
  ok: z.literal(true),
  message: z.string(),
  pid: z.number(),
  id: z.union([z.string(), z.number()]).optional(),
});

export const replyHeadSchema: z.ZodType<ReplyHead> = z.discriminatedUnion('ok', [failure, success]);

export const logRecordSchema: z.ZodType<LogRecord> = z.object({
  time: z.string(),
  level: z.enum(['debug', 'info', 'warn', 'error']),
  message: z.string(),
  fields: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional(),
});

const pathSchema = z.object({ kind: z.enum(['direct', 'relay', 'none']), address: z.string().optional() });

export const replyBodySchemas: { readonly [A in keyof ReplyBodies]: z.ZodType<ReplyBodies[A]> } = {
  status: statusSchema,
  peers: z.object({ peers: z.array(peerSchema) }),
  routes: z.object({
    routes: z.array(
      z.object({
        prefix: z.string(),
        peer: z.string(),
        kind: z.enum(['address', 'subnet', 'exit']),
        online: z.boolean(),
      }),
    ),
  }),
  ping: z.object({ peer: z.string(), address: z.string(), roundTripMs: z.number(), path: pathSchema }),
  recent_connections: z.object({ connections: z.array(z.record(z.string(), z.unknown())) }),
  logs: z.object({ lines: z.array(logRecordSchema) }),
  version: z.object({ version: z.string(), node: z.string() }),
};
