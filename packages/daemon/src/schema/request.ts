/**
 * What a client may ask an engine, one JSON value a line. Two forms mean the same (docs/spec/control-socket.md#requests):
 *
 *   {"action":"recent_connections","max":20}        object with an action
 *   {"recent_connections":{"max":20}}  "status"     the action as the only key, or as a bare string
 */

import {
  either,
  type FieldShapes,
  integerOf,
  listOf,
  number,
  objectOf,
  oneOf,
  optional,
  type Shape,
  textLike,
  textOf,
} from './shape.ts';
import { TEAM_NAME_PATTERN } from './team-name.ts';

/** Longest request line without its newline. */
export const REQUEST_BYTES_MAX = 131_072;
/** Entries `recent_connections` can return. */
export const RECENT_CONNECTION_COUNT_MAX = 256;
/** Lines `logs` can return. */
export const LOG_LINE_COUNT_MAX = 1000;

export interface CommonFields {
  /** Returned unchanged in the answer. */
  readonly id?: string | number | undefined;
  readonly team?: string | undefined;
  /** Why, for the log. */
  readonly reason?: string | undefined;
  /** Unix seconds; informational. */
  readonly request_ts?: number | undefined;
}

export type EventTopic = 'state' | 'log';

export type ControlRequest = CommonFields &
  (
    | { readonly action: 'status' | 'peers' | 'routes' | 'version' | 'reconnect' | 'stop' }
    | { readonly action: 'ping'; readonly peer: string; readonly timeout_ms?: number | undefined }
    | { readonly action: 'recent_connections' | 'logs'; readonly max?: number | undefined }
    | { readonly action: 'subscribe'; readonly events?: readonly EventTopic[] | undefined }
  );

export type ControlAction = ControlRequest['action'];

export type RequestResult<R = ControlRequest> =
  | { readonly kind: 'ok'; readonly request: R }
  | { readonly kind: 'bad'; readonly code: 'ipc/bad-request' | 'ipc/unknown-action'; readonly message: string };

export const commonFields: FieldShapes<CommonFields> = {
  id: optional(either(textOf(0, 128), number)),
  team: optional(textLike(TEAM_NAME_PATTERN, 'a name of letters, digits, "-" and "_"')),
  reason: optional(textOf(0, 256)),
  request_ts: optional(number),
};

const SHAPES: { readonly [A in ControlAction]: Shape<ControlRequest> } = {
  status: objectOf({ action: oneOf(['status']), ...commonFields }),
  peers: objectOf({ action: oneOf(['peers']), ...commonFields }),
  routes: objectOf({ action: oneOf(['routes']), ...commonFields }),
  version: objectOf({ action: oneOf(['version']), ...commonFields }),
  reconnect: objectOf({ action: oneOf(['reconnect']), ...commonFields }),
  stop: objectOf({ action: oneOf(['stop']), ...commonFields }),
  ping: objectOf({
    action: oneOf(['ping']),
    peer: textOf(1, 253),
    timeout_ms: optional(integerOf(100, 9000)),
    ...commonFields,
  }),
  recent_connections: objectOf({
    action: oneOf(['recent_connections']),
    max: optional(integerOf(1, RECENT_CONNECTION_COUNT_MAX)),
    ...commonFields,
  }),
  logs: objectOf({ action: oneOf(['logs']), max: optional(integerOf(1, LOG_LINE_COUNT_MAX)), ...commonFields }),
  subscribe: objectOf({
    action: oneOf(['subscribe']),
    events: optional(listOf(oneOf(['state', 'log']), 8)),
    ...commonFields,
  }),
};

/** Needs no right beyond being a local user. */
const READ_ACTIONS: ReadonlySet<ControlAction> = new Set<ControlAction>([
  'status',
  'peers',
  'routes',
  'version',
  'recent_connections',
  'logs',
  'subscribe',
]);

export function isReadRequest(request: ControlRequest): boolean {
  return READ_ACTIONS.has(request.action);
}

/** Checks one parsed line. Unknown fields are ignored, so that a newer client can talk to an older engine. */
export function parseRequest(json: unknown): RequestResult {
  return parseByAction(json, SHAPES);
}

/** Checks a line of any protocol that has a shape for every action. */
export function parseByAction<R>(json: unknown, shapes: Readonly<Record<string, Shape<R>>>): RequestResult<R> {
  const fields = toActionObject(json);
  if (fields === undefined) {
    return { kind: 'bad', code: 'ipc/bad-request', message: 'Expected {"action": …} or the name of an action' };
  }
  const action = fields['action'];
  const shape = typeof action === 'string' && Object.hasOwn(shapes, action) ? shapes[action] : undefined;
  if (shape === undefined) {
    const shown = JSON.stringify(action)?.slice(0, 64) ?? 'nothing';
    return { kind: 'bad', code: 'ipc/unknown-action', message: `Unknown action ${shown}` };
  }
  const result = shape(fields);
  if (result.kind === 'ok') return { kind: 'ok', request: result.value };
  return { kind: 'bad', code: 'ipc/bad-request', message: `Bad "${result.path}": expected ${result.expected}` };
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
