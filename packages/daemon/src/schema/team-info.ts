import { flag, listOf, number, objectOf, oneOf, optional, type Shape, taggedBy, text } from './shape.ts';

export const TEAM_STATES = ['stopped', 'starting', 'up', 'backoff', 'failed', 'stopping'] as const;

export type TeamStateName = (typeof TEAM_STATES)[number];

/** One team as `list` and `status` show it. */
export interface TeamInfo {
  readonly name: string;
  readonly kind: 'nebula' | 'tailnet';
  readonly state: TeamStateName;
  /** What it should be, also after the next start of the machine. */
  readonly desired: 'up' | 'down';
  /** The team of the last `switch`. */
  readonly active: boolean;
  readonly pid?: number | undefined;
  /** ISO 8601, UTC: when it came into this state. */
  readonly since: string;
  /** Since the last command. */
  readonly restarts: number;
  readonly interface?: string | undefined;
  readonly addresses: readonly string[];
  readonly networks: readonly string[];
  readonly listen_port?: number | undefined;
  /** `host:port`. */
  readonly proxy?: string | undefined;
  /** ISO 8601, UTC. */
  readonly cert_not_after?: string | undefined;
  /** What a person has to do first, while `starting`. */
  readonly waits_for?: string | undefined;
  /** Works, and somebody should know. */
  readonly warning?: { readonly code: string; readonly message: string } | undefined;
  /** Why the last child ended, or none could be started. */
  readonly last_error?: { readonly code: string; readonly message: string } | undefined;
  /** ISO 8601, UTC: next attempt, while `backoff`. */
  readonly retry_at?: string | undefined;
  /** Of the external program that runs it, while `up`. */
  readonly version?: string | undefined;
  readonly config: string;
}

const reasonShape = optional(objectOf({ code: text, message: text }));

export const teamInfoShape: Shape<TeamInfo> = objectOf<TeamInfo>({
  name: text,
  kind: oneOf(['nebula', 'tailnet']),
  state: oneOf(TEAM_STATES),
  desired: oneOf(['up', 'down']),
  active: flag,
  pid: optional(number),
  since: text,
  restarts: number,
  interface: optional(text),
  addresses: listOf(text),
  networks: listOf(text),
  listen_port: optional(number),
  proxy: optional(text),
  cert_not_after: optional(text),
  waits_for: optional(text),
  warning: reasonShape,
  last_error: reasonShape,
  retry_at: optional(text),
  version: optional(text),
  config: text,
});

/** What a subscriber of the supervisor receives: everything at first, then each change; `seq` has no gaps. */
export type TeamEvent =
  | { readonly event: 'snapshot'; readonly seq: number; readonly teams: readonly TeamInfo[] }
  | { readonly event: 'team'; readonly seq: number; readonly team: TeamInfo }
  | { readonly event: 'removed'; readonly seq: number; readonly name: string };

export const teamEventShape: Shape<TeamEvent> = taggedBy<TeamEvent>('event', {
  snapshot: objectOf({ event: oneOf(['snapshot']), seq: number, teams: listOf(teamInfoShape) }),
  team: objectOf({ event: oneOf(['team']), seq: number, team: teamInfoShape }),
  removed: objectOf({ event: oneOf(['removed']), seq: number, name: text }),
});
