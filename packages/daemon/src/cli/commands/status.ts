import { existsSync } from 'node:fs';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { listOf } from '../../schema/shape.ts';
import type { RelayInfo, StatusInfo } from '../../schema/status.ts';
import { type TeamInfo, teamInfoShape } from '../../schema/team-info.ts';
import { ControlClient } from '../../socket/control-client.ts';
import type { CommandContext } from '../cli-context.ts';
import { formatAge, printable, writeJson } from '../terminal.ts';
import { formatPeers } from './peers.ts';

/**
 * `heddle status`: everything about the engine on one screen, and the teams where the teams daemon runs. No engine is an
 * answer, not a failure.
 */
export async function status(context: CommandContext): Promise<void> {
  const { terminal, world } = context;
  const teams = existsSync(context.supervisorPath) ? await fetchTeams(context) : undefined;
  const info = await fetchEngine(context);
  if (terminal.isJson) {
    writeJson(terminal, { ...(info ?? notRunning(context)), ...(teams === undefined ? {} : { teams }) });
    return;
  }
  if (info !== undefined || teams === undefined) {
    terminal.out(info === undefined ? 'VPN: not running\n' : formatStatus(info, world.unixMs()));
  }
  if (teams !== undefined) {
    const { formatTeams } = await import('./teams.ts');
    const text = teams.length === 0 ? 'No teams\n' : formatTeams(teams, world.unixMs());
    terminal.out(info === undefined ? text : `\n${text}`);
  }
}

/** Undefined when there is none. A daemon that does not answer must not hide the engine. */
async function fetchTeams({ supervisorPath }: CommandContext): Promise<readonly TeamInfo[] | undefined> {
  try {
    const client = await ControlClient.connect(supervisorPath);
    try {
      const teams = listOf(teamInfoShape)(((await client.ask({ action: 'list' })) as { teams?: unknown }).teams);
      return teams.kind === 'ok' ? teams.value : undefined;
    } finally {
      client.close();
    }
  } catch (error) {
    if (error instanceof TailnetError) return undefined;
    throw error;
  }
}

/** Undefined when none runs. @throws {TailnetError} `ipc/*`. */
async function fetchEngine({
  target,
  supervisorPath,
}: CommandContext): Promise<(StatusInfo & { pid: number }) | undefined> {
  // The one socket that was named is the daemon's or an engine's; both may be asked.
  try {
    return await fetchStatus(target.socketPath);
  } catch (error) {
    if (!(error instanceof TailnetError)) throw error;
    const isDaemon = target.socketPath === supervisorPath && error.code === 'ipc/bad-reply';
    if (error.code === 'ipc/not-running' || isDaemon) return undefined;
    throw error;
  }
}

/** @throws {TailnetError} `ipc/*`. */
export async function fetchStatus(socketPath: string): Promise<StatusInfo & { readonly pid: number }> {
  const client = await ControlClient.connect(socketPath);
  try {
    const { ok: _ok, message: _message, ...info } = await client.request({ action: 'status' });
    return info;
  } finally {
    client.close();
  }
}

function notRunning({ target, world }: CommandContext): Readonly<Record<string, unknown>> {
  const none = { addresses: [], peerCount: 0, relay: null, proxy: null, peers: [] };
  return { state: 'stopped', context: target.context, version: world.version, ...none };
}

function formatStatus(info: StatusInfo & { readonly pid: number }, nowUnixMs: number): string {
  const lines = [
    `VPN: ${describe(info)}`,
    `  context   ${info.context} (process ${info.pid}, started ${formatAge(info.startedUnixMs, nowUnixMs)})`,
    `  server    ${info.controlUrl}`,
  ];
  if (info.dnsName !== '') lines.push(`  name      ${info.dnsName}`);
  if (info.addresses.length > 0) lines.push(`  address   ${info.addresses.join(', ')}`);
  if (info.relay !== null) lines.push(`  relay     ${formatRelay(info.relay)}`);
  if (info.proxy !== null) lines.push(`  proxy     ${info.proxy}`);
  for (const spec of info.forwards) lines.push(`  forward   ${spec}`);
  for (const spec of info.serves) lines.push(`  serve     ${spec}`);
  const head = `${lines.map(printable).join('\n')}\n`;
  return info.peers.length === 0 ? head : `${head}\n${formatPeers(info.peers, nowUnixMs)}`;
}

function formatRelay({ code, regionId, isConnected, error }: RelayInfo): string {
  const name = code || String(regionId);
  if (isConnected) return name;
  return error === undefined ? `${name} (not connected)` : `${name} (not connected: ${error.message} [${error.code}])`;
}

function describe(info: StatusInfo): string {
  switch (info.state) {
    case 'running':
      return `running, ${info.peerCount} ${info.peerCount === 1 ? 'peer' : 'peers'}`;
    case 'needs_login':
      return `needs a login: ${info.authUrl ?? ''}`;
    case 'reconnecting':
      return `reconnecting, attempt ${info.attempt ?? 1}`;
    case 'error':
      return `failed: ${info.error?.message ?? 'unknown'} (${info.error?.code ?? ''})`;
    default:
      return info.state.replace('_', ' ');
  }
}
