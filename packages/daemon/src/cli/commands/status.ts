import { TailnetError } from '@heddle/tailnet/tailnet-error';
import type { RelayInfo, StatusInfo } from '../../schema/status.ts';
import { ControlClient } from '../../socket/control-client.ts';
import type { CommandContext } from '../cli-context.ts';
import { formatAge, printable, writeJson } from '../terminal.ts';
import { formatPeers } from './peers.ts';

/** `heddle status`: everything about the engine on one screen. No engine is an answer, not a failure. */
export async function status(context: CommandContext): Promise<void> {
  const { terminal, target, world } = context;
  let info: StatusInfo & { readonly pid: number };
  try {
    info = await fetchStatus(target.socketPath);
  } catch (error) {
    if (!(error instanceof TailnetError) || error.code !== 'ipc/not-running') throw error;
    printNotRunning(context);
    return;
  }
  if (terminal.isJson) writeJson(terminal, info);
  else terminal.out(formatStatus(info, world.unixMs()));
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

function printNotRunning({ terminal, target, world }: CommandContext): void {
  if (!terminal.isJson) {
    terminal.out('VPN: not running\n');
    return;
  }
  const none = { addresses: [], peerCount: 0, relay: null, proxy: null, peers: [] };
  writeJson(terminal, { state: 'stopped', context: target.context, version: world.version, ...none });
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
