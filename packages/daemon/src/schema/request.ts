/**
 * What a client may ask an engine, one JSON value a line. Two forms mean the same (docs/spec/control-socket.md#requests):
 *
 *   {"action":"recent_connections","max":20}        object with an action
 *   {"recent_connections":{"max":20}}  "status"     the action as the only key, or as a bare string
 */

import { z } from 'zod';

/** Longest request line without its newline. */
export const REQUEST_BYTES_MAX = 131_072;
/** Entries `recent_connections` can return. */
export const RECENT_CONNECTION_COUNT_MAX = 256;
/** Lines `logs` can return. */
export const LOG_LINE_COUNT_MAX = 1000;

interface Common {
  /** Returned unchanged in the answer. */
  readonly id?: string | number | undefined;
  readonly team?: string | undefined;
  /** Why, for the log. */
  readonly reason?: string | undefined;
  /** Unix seconds; informational. */
  readonly request_ts?: number | undefined;
}

export type EventTopic = 'state' | 'log';

export type ControlRequest = Common &
  (
    | { readonly action: 'status' | 'peers' | 'routes' | 'version' | 'reconnect' | 'stop' }
    | { readonly action: 'ping'; readonly peer: string; readonly timeout_ms?: number | undefined }
    | { readonly action: 'recent_connections' | 'logs'; readonly max?: number | undefined }
    | { readonly action: 'subscribe'; readonly events?: readonly EventTopic[] | undefined }
  );

export type ControlAction = ControlRequest['action'];

export type RequestResult =
  | { readonly kind: 'ok'; readonly request: ControlRequest }
  | { readonly kind: 'bad'; readonly code: 'ipc/bad-request' | 'ipc/unknown-action'; readonly message: string };

const common = {
  id: z.union([z.string().max(128), z.number()]).optional(),
  team: z
    .string()
    .regex(/^[A-Za-z0-9](?:[A-Za-z0-9_-]{0,62}[A-Za-z0-9])?$/)
    .optional(),
  reason: z.string().max(256).optional(),
  request_ts: z.number().optional(),
};

const plain = <A extends string>(action: A) => z.object({ action: z.literal(action), ...common });

const requestSchema: z.ZodType<ControlRequest> = z.discriminatedUnion('action', [
  plain('status'),
  plain('peers'),
  plain('routes'),
  plain('version'),
  plain('reconnect'),
  plain('stop'),
  plain('ping').extend({
    peer: z.string().min(1).max(253),
    timeout_ms: z.number().int().min(100).max(9000).optional(),
  }),
  plain('recent_connections').extend({ max: z.number().int().min(1).max(RECENT_CONNECTION_COUNT_MAX).optional() }),
  plain('logs').extend({ max: z.number().int().min(1).max(LOG_LINE_COUNT_MAX).optional() }),
  plain('subscribe').extend({
    events: z
      .array(z.enum(['state', 'log']))
      .max(8)
      .optional(),
  }),
]);

const ACTIONS: ReadonlySet<string> = new Set<ControlAction>([
  'status',
  'peers',
  'routes',
  'version',
  'reconnect',
  'stop',
  'ping',
  'recent_connections',
  'logs',
  'subscribe',
]);

/** Checks one parsed line. Unknown fields are ignored, so that a newer client can talk to an older engine. */
export function parseRequest(json: unknown): RequestResult {
  const fields = toActionObject(json);
  if (fields === undefined) {
    return { kind: 'bad', code: 'ipc/bad-request', message: 'Expected {"action": …} or the name of an action' };
  }
  const action = fields['action'];
  if (typeof action !== 'string' || !ACTIONS.has(action)) {
    const shown = JSON.stringify(action)?.slice(0, 64) ?? 'nothing';
    return { kind: 'bad', code: 'ipc/unknown-action', message: `Unknown action ${shown}` };
  }
  const result = requestSchema.safeParse(fields);
  if (result.success) return { kind: 'ok', request: result.data };
  const issue = result.error.issues[0];
  const where = issue?.path.join('.') || action;
  return { kind: 'bad', code: 'ipc/bad-request', message: `Bad "${where}": ${issue?.message ?? 'invalid'}` };
}

function toActionObject(json: unknown): Readonly<Record<string, unknown>> | undefined {
  if (typeof json === 'string') return { action: json };
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return undefined;
  if (Object.hasOwn(json, 'action')) return json as Readonly<Record<string, unknown>>;
  const [key, ...others] = Object.keys(json);
  if (key === undefined || others.length > 0) return undefined;
  const parameters = (json as Readonly<Record<string, unknown>>)[key];
  if (parameters === null || parameters === undefined) return { action: key };
  if (typeof parameters !== 'object' || Array.isArray(parameters)) return undefined;
  return { ...parameters, action: key };
}
