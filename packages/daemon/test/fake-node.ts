import { TailnetError } from '@heddle/tailnet/tailnet-error';
import type { PeerStatus, TailnetNode, TailnetState, TailnetStatus } from '@heddle/tailnet/types';
import type { EngineNode, ProxyServices } from '../src/engine/services.ts';

export const DB: PeerStatus = {
  name: 'db',
  dnsName: 'db.lab.test',
  nodeKey: 'nodekey:00',
  addresses: ['100.64.0.3', 'fd7a:115c:a1e0::3'],
  allowedIps: ['100.64.0.3/32', 'fd7a:115c:a1e0::3/128', '10.1.0.0/16', '0.0.0.0/0'],
  online: true,
  path: { kind: 'relay', address: 'lab' },
  rxBytes: 1_234_567,
  txBytes: 12,
  lastHandshakeUnixMs: 1_700_000_000_000,
};

export const RUNNING: TailnetState = {
  kind: 'running',
  addresses: ['100.64.0.2', 'fd7a:115c:a1e0::2'],
  peerCount: 1,
  derpHome: 900,
};

/** A node that goes where the test sends it. */
export class FakeNode implements EngineNode {
  readonly #listeners = new Set<(state: TailnetState) => void>();
  state: TailnetState = { kind: 'starting' };
  isStarted = false;
  isClosed = false;
  relay: TailnetStatus['relay'] = { regionId: 900, code: 'lab', isConnected: true };
  closing: Promise<void> = Promise.resolve();

  start(): void {
    this.isStarted = true;
  }

  onState(listener: (state: TailnetState) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  go(state: TailnetState): void {
    this.state = state;
    for (const listener of [...this.#listeners]) listener(state);
  }

  readonly status = (): TailnetStatus => {
    const isRunning = this.state.kind === 'running';
    return {
      state: this.state,
      name: 'me',
      dnsName: 'me.lab.test',
      nodeKey: 'nodekey:11',
      controlUrl: 'http://ok.test',
      addresses: isRunning ? ['100.64.0.2'] : [],
      peerCount: isRunning ? 1 : 0,
      relay: isRunning ? this.relay : undefined,
      endpoints: [],
      peers: isRunning ? [DB] : [],
      counters: { 'filter/no-rule': 2 },
    };
  };

  readonly ping: TailnetNode['ping'] = async (host) => {
    if (host === 'silent') throw new TailnetError('ping/timeout', 'silent did not answer', { isRetryable: true });
    if (host !== 'db') throw new TailnetError('dial/unknown-host', `no node of this tailnet is called "${host}"`);
    return { address: '100.64.0.3', roundTripMs: 1.24, path: { kind: 'direct', address: '192.0.2.1:41641' } };
  };

  readonly dial: TailnetNode['dial'] = async () => {
    throw new TailnetError('dial/closed', 'a fake');
  };
  readonly resolve: TailnetNode['resolve'] = () => [];
  readonly listen: TailnetNode['listen'] = (port) => ({ port, close: () => {} });
  readonly createUdpSocket: TailnetNode['createUdpSocket'] = () => {
    throw new TailnetError('dial/closed', 'a fake');
  };

  async close(): Promise<void> {
    await this.closing;
    this.isClosed = true;
  }
}

/** Services that only note what is open. */
export function createFakeServices(): { readonly services: ProxyServices; readonly open: Set<string> } {
  const open = new Set<string>();
  const note = (name: string): { close(): Promise<void> } => {
    open.add(name);
    return {
      close: async () => {
        open.delete(name);
      },
    };
  };
  const record = { kind: 'socks5', target: 'db:5432', outcome: 'closed' };
  const services: ProxyServices = {
    startProxy: async (_node, { listen }) => {
      if (listen.endsWith(':1')) throw new TailnetError('proxy/port-in-use', `Port 1 of "${listen}" is in use`);
      return {
        ...note(`proxy ${listen}`),
        address: listen,
        recentConnections: (max) => Array(3).fill(record).slice(0, max),
      };
    },
    startForward: async (_node, spec) => note(`forward ${spec.listen} ${spec.host}:${spec.port}`),
    startServe: async (node, spec) => {
      node.listen(spec.port, () => {});
      if (spec.port === 1) throw new TailnetError('listen/port-in-use', 'Port 1 is in use');
      return note(`serve ${spec.port}`);
    },
  };
  return { services, open };
}
