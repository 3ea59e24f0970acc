import type { TailnetState, TailnetStatus } from '@heddle/tailnet/types';
import type { StateEvent } from '../schema/event.ts';
import type { RouteInfo } from '../schema/reply.ts';
import type { StatusInfo } from '../schema/status.ts';

/** The state as subscribers see it. */
export function describeState(state: TailnetState): StateEvent {
  const event = { event: 'state', state: state.kind } as const;
  switch (state.kind) {
    case 'needs_login':
      return { ...event, auth_url: state.authUrl };
    case 'running':
      return { ...event, addresses: state.addresses, peer_count: state.peerCount, derp_home: state.derpHome };
    case 'reconnecting':
      return { ...event, attempt: state.attempt };
    case 'error':
      return { ...event, message: state.message, code: state.code };
    default:
      return event;
  }
}

/** What the engine knows beside its node. */
export interface EngineFacts {
  readonly context: string;
  readonly version: string;
  readonly startedUnixMs: number;
  readonly controlUrl: string;
  readonly proxy: string | null;
  readonly forwards: readonly string[];
  readonly serves: readonly string[];
}

export function describeStatus(state: TailnetState, status: TailnetStatus | undefined, facts: EngineFacts): StatusInfo {
  return {
    state: state.kind,
    ...(state.kind === 'needs_login' ? { authUrl: state.authUrl } : {}),
    ...(state.kind === 'reconnecting' ? { attempt: state.attempt } : {}),
    ...(state.kind === 'error' ? { error: { code: state.code, message: state.message } } : {}),
    ...facts,
    name: status?.name ?? '',
    dnsName: status?.dnsName ?? '',
    nodeKey: status?.nodeKey ?? '',
    addresses: status?.addresses ?? [],
    peerCount: status?.peerCount ?? 0,
    relay: status?.relay ?? null,
    endpoints: status?.endpoints ?? [],
    peers: status?.peers ?? [],
    counters: status?.counters ?? {},
  };
}

/** Which prefixes lead to which peer, and which a peer only offers. */
export function describeRoutes(status: TailnetStatus | undefined, acceptsRoutes: boolean): RouteInfo[] {
  return (status?.peers ?? []).flatMap((peer) =>
    peer.allowedIps.map((prefix) => {
      const kind = kindOf(prefix, peer.addresses);
      const used = kind === 'address' || (kind === 'subnet' && acceptsRoutes);
      return { prefix, peer: peer.name, kind, used, online: peer.online };
    }),
  );
}

function kindOf(prefix: string, addresses: readonly string[]): RouteInfo['kind'] {
  if (prefix === '0.0.0.0/0' || prefix === '::/0') return 'exit';
  return addresses.includes(prefix.split('/', 1)[0] ?? '') ? 'address' : 'subnet';
}

/** One sentence for people. */
export function formatState(state: TailnetState): string {
  switch (state.kind) {
    case 'needs_login':
      return `log in at ${state.authUrl}`;
    case 'running':
      return `running, ${state.addresses.join(', ')}, ${state.peerCount} ${state.peerCount === 1 ? 'peer' : 'peers'}`;
    case 'reconnecting':
      return `reconnecting, attempt ${state.attempt}`;
    case 'error':
      return `error: ${state.message}`;
    default:
      return state.kind.replace('_', ' ');
  }
}
