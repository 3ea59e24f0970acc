import {
  anything,
  either,
  flag,
  listOf,
  number,
  objectOf,
  oneOf,
  optional,
  recordOf,
  type Shape,
  taggedBy,
  text,
} from './shape.ts';
import { type PeerInfo, pathShape, peerShape, type StatusInfo, statusShape } from './status.ts';

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
  /** Of the engine; with the supervisor that of the team, if it has a process. */
  readonly pid?: number | undefined;
  readonly id?: string | number | undefined;
}

export type ReplyHead = FailureReply | SuccessReply;

export interface RouteInfo {
  readonly prefix: string;
  /** First label of the peer's name. */
  readonly peer: string;
  readonly kind: 'address' | 'subnet' | 'exit';
  /** False for a subnet that is not accepted, and for an exit node. */
  readonly used: boolean;
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

const idShape = optional(either(text, number));

const failureShape: Shape<FailureReply> = objectOf({
  ok: oneOf([false]),
  message: text,
  code: text,
  id: idShape,
  pid: optional(number),
  retry_after_ms: optional(number),
});

const successShape: Shape<SuccessReply> = objectOf({
  ok: oneOf([true]),
  message: text,
  pid: optional(number),
  id: idShape,
});

export const replyHeadShape: Shape<ReplyHead> = taggedBy<ReplyHead>('ok', { false: failureShape, true: successShape });

export const logRecordShape: Shape<LogRecord> = objectOf({
  time: text,
  level: oneOf(['debug', 'info', 'warn', 'error']),
  message: text,
  fields: optional(recordOf(either(text, either(number, flag)))),
});

export const replyBodyShapes: { readonly [A in keyof ReplyBodies]: Shape<ReplyBodies[A]> } = {
  status: statusShape,
  peers: objectOf({ peers: listOf(peerShape) }),
  routes: objectOf({
    routes: listOf(
      objectOf<RouteInfo>({
        prefix: text,
        peer: text,
        kind: oneOf(['address', 'subnet', 'exit']),
        used: flag,
        online: flag,
      }),
    ),
  }),
  ping: objectOf({ peer: text, address: text, roundTripMs: number, path: pathShape }),
  recent_connections: objectOf({ connections: listOf(recordOf(anything)) }),
  logs: objectOf({ lines: listOf(logRecordShape) }),
  version: objectOf({ version: text, node: text }),
};
