import type { TeamClaims } from '../plan/claims.ts';
import type { TeamInfo } from '../schema/team-info.ts';
import type { TeamRecord } from '../store/records.ts';
import type { Team } from '../team/team.ts';

export interface TeamSources {
  readonly record: TeamRecord;
  readonly team: Team;
  /** What it took when it was started last; undefined before. */
  readonly claims: TeamClaims | undefined;
  readonly activeTeam: string | undefined;
}

/** A team as clients see it. Fields that say nothing are left out. */
export function describeTeam({ record, team, claims, activeTeam }: TeamSources): TeamInfo {
  const { state } = team;
  const facts = state.kind === 'up' ? state.facts : undefined;
  return withoutUndefined<TeamInfo>({
    name: record.name,
    kind: record.kind,
    state: state.kind,
    desired: record.desired,
    active: record.name === activeTeam,
    pid: team.child?.identity.pid,
    since: toIso(team.sinceUnixMs),
    restarts: team.restartCount,
    interface: facts?.device,
    addresses: facts?.addresses ?? [],
    networks: facts?.networks ?? claims?.networks ?? record.networks,
    listen_port: team.isActive && record.listenPort !== 0 ? record.listenPort : undefined,
    proxy: facts?.proxy,
    version: facts?.version,
    cert_not_after: record.certNotAfterUnixMs === undefined ? undefined : toIso(record.certNotAfterUnixMs),
    waits_for: state.kind === 'starting' ? state.waitsFor : undefined,
    warning: state.kind === 'up' ? state.warning : undefined,
    last_error: lastError(team),
    retry_at: state.kind === 'backoff' ? toIso(state.retryUnixMs) : undefined,
    config: record.configPath,
  });
}

/** One sentence for people. */
export function formatTeam(info: TeamInfo): string {
  switch (info.state) {
    case 'up':
      return `team ${info.name} is up${info.interface === undefined ? '' : ` on ${info.interface}`}`;
    case 'starting':
      return `team ${info.name} is starting${info.waits_for === undefined ? '' : `, it needs ${info.waits_for}`}`;
    case 'backoff':
      return `team ${info.name} is tried again at ${info.retry_at}: ${info.last_error?.message ?? 'it ended'}`;
    case 'failed':
      return `team ${info.name} has failed: ${info.last_error?.message ?? 'it ended'}`;
    default:
      return `team ${info.name} is ${info.state}`;
  }
}

function lastError({ state, lastFailure }: Team): TeamInfo['last_error'] {
  const failure = state.kind === 'failed' || state.kind === 'backoff' ? state.failure : lastFailure;
  return failure === undefined ? undefined : { code: failure.code, message: failure.message };
}

function toIso(unixMs: number): string {
  return new Date(unixMs).toISOString();
}

function withoutUndefined<T extends object>(fields: T): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T;
}
