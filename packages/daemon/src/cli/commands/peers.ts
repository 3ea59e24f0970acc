import type { PeerInfo } from '../../schema/status.ts';
import { ControlClient } from '../../socket/control-client.ts';
import type { CommandContext } from '../cli-context.ts';
import { formatAge, formatBytes, formatTable, writeJson } from '../terminal.ts';

/** `heddle peers`: who is in the tailnet and by which path. */
export async function peers({ asked, terminal, world }: CommandContext): Promise<void> {
  const client = await ControlClient.connect(asked.socketPath);
  try {
    const answer = await client.request({ action: 'peers', team: asked.team });
    if (terminal.isJson) writeJson(terminal, { peers: answer.peers });
    else terminal.out(answer.peers.length === 0 ? 'No peers\n' : formatPeers(answer.peers, world.unixMs()));
  } finally {
    client.close();
  }
}

/** A table, the ones that are online first. */
export function formatPeers(list: readonly PeerInfo[], nowUnixMs: number): string {
  const sorted = [...list].sort((a, b) => Number(b.online) - Number(a.online) || a.name.localeCompare(b.name));
  const rows = sorted.map((peer) => [
    peer.name,
    peer.addresses.join(', '),
    peer.online ? 'online' : 'offline',
    formatPath(peer.path),
    formatAge(peer.lastHandshakeUnixMs, nowUnixMs),
    formatBytes(peer.rxBytes),
    formatBytes(peer.txBytes),
  ]);
  return formatTable([['PEER', 'ADDRESSES', 'STATE', 'PATH', 'HANDSHAKE', 'RECEIVED', 'SENT'], ...rows]);
}

/** `direct 192.0.2.1:41641`, `relay fra`, `-`. */
export function formatPath(path: PeerInfo['path']): string {
  if (path.kind === 'none') return '-';
  return path.address === undefined ? path.kind : `${path.kind} ${path.address}`;
}
