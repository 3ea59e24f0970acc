/** What a client may ask the supervisor, one JSON value a line, in the same two forms as an engine (`request.ts`). */

import {
  type CommonFields,
  commonFields,
  LOG_LINE_COUNT_MAX,
  parseByAction,
  RECENT_CONNECTION_COUNT_MAX,
  type RequestResult,
} from './request.ts';
import { type FieldShapes, integerOf, objectOf, oneOf, optional, type Shape, textOf } from './shape.ts';

type WithTeam = CommonFields & { readonly team: string };

export type SupervisorRequest =
  | (CommonFields & { readonly action: 'teams' | 'list' | 'status' | 'plan' | 'provision' | 'version' | 'subscribe' })
  | (WithTeam & { readonly action: 'start' | 'stop' | 'restart' | 'reload' | 'switch' | 'delete' })
  | (WithTeam & { readonly action: 'logs'; readonly max?: number | undefined })
  | TailnetQuestion;

/** What only the engine of a tailnet can answer. */
export type TailnetQuestion =
  | (WithTeam & { readonly action: 'peers' | 'routes' | 'netcheck' })
  | (WithTeam & { readonly action: 'recent_connections'; readonly max?: number | undefined })
  | (WithTeam & { readonly action: 'ping'; readonly peer: string; readonly timeout_ms?: number | undefined });

export type SupervisorAction = SupervisorRequest['action'];

const withTeam: FieldShapes<WithTeam> = { ...commonFields, team: requiredTeam };

function requiredTeam(value: unknown): ReturnType<Shape<string>> {
  const result = commonFields.team(value);
  if (result.kind === 'ok' && result.value !== undefined) return { kind: 'ok', value: result.value };
  return { kind: 'bad', path: '', expected: 'the name of a team' };
}

const anyTeam = (action: SupervisorAction): Shape<SupervisorRequest> =>
  objectOf({ ...commonFields, action: oneOf([action]) }) as Shape<SupervisorRequest>;
const oneTeam = (action: SupervisorAction): Shape<SupervisorRequest> =>
  objectOf({ ...withTeam, action: oneOf([action]) }) as Shape<SupervisorRequest>;

const SHAPES: { readonly [A in SupervisorAction]: Shape<SupervisorRequest> } = {
  teams: anyTeam('teams'),
  list: anyTeam('list'),
  status: anyTeam('status'),
  plan: anyTeam('plan'),
  provision: anyTeam('provision'),
  version: anyTeam('version'),
  subscribe: anyTeam('subscribe'),
  start: oneTeam('start'),
  stop: oneTeam('stop'),
  restart: oneTeam('restart'),
  reload: oneTeam('reload'),
  switch: oneTeam('switch'),
  delete: oneTeam('delete'),
  peers: oneTeam('peers'),
  routes: oneTeam('routes'),
  netcheck: oneTeam('netcheck'),
  recent_connections: objectOf({
    ...withTeam,
    action: oneOf(['recent_connections']),
    max: optional(integerOf(1, RECENT_CONNECTION_COUNT_MAX)),
  }),
  logs: objectOf({ ...withTeam, action: oneOf(['logs']), max: optional(integerOf(1, LOG_LINE_COUNT_MAX)) }),
  ping: objectOf({
    ...withTeam,
    action: oneOf(['ping']),
    peer: textOf(1, 253),
    timeout_ms: optional(integerOf(100, 9000)),
  }),
};

/** What every local user may ask: which teams there are, how they are, and whom they lead to. */
const OPEN_ACTIONS: ReadonlySet<SupervisorAction> = new Set([
  'teams',
  'list',
  'status',
  'plan',
  'version',
  'subscribe',
  'peers',
  'routes',
]);

/**
 * False for what needs a right beyond being a local user: every change, what makes packets, and what others have done (logs,
 * connections).
 */
export function isSupervisorRead({ action }: SupervisorRequest): boolean {
  return OPEN_ACTIONS.has(action);
}

export function parseSupervisorRequest(json: unknown): RequestResult<SupervisorRequest> {
  return parseByAction(json, SHAPES);
}
