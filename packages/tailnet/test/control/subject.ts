import type { Netmap } from '@heddle/proto/control/netmap';
import type { CryptoProvider } from '@heddle/proto/crypto/provider';
import { generatePrivateKey, type NodePrivateKey } from '@heddle/proto/keys/private-key';
import { expect, vi } from 'vitest';
import { ControlClient, type ControlClientOptions, type ControlState } from '../../src/control/control-client.ts';
import type { ControlTimings } from '../../src/control/timings.ts';
import { createNodeCryptoProvider, nodeRng } from '../../src/crypto/node-provider.ts';
import type { LogLine } from '../../src/types.ts';
import { FakeControl } from './fake-control.ts';

export const crypto: CryptoProvider = createNodeCryptoProvider();
export const AUTH_KEY = 'hskey-auth-thisIsTheSecret';
/** Timings that make failures quick. */
export const FAST: Partial<ControlTimings> = {
  backoffBaseMs: 1,
  refusedBackoffMaxMs: 20,
  followUpPauseMs: 1,
  dialMs: 2000,
  requestMs: 2000,
};
export const cleanups: (() => Promise<void>)[] = [];

/** Ends what a test started, last first. For `afterEach`. */
export async function cleanUp(): Promise<void> {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
}

/** A scripted server on loopback that ends with the test. */
export async function startServer(tls?: { key: string; cert: string }): Promise<FakeControl> {
  const server = new FakeControl(tls);
  await server.listen();
  cleanups.push(() => server.close());
  return server;
}

/** A started client with everything it said. It ends with the test. */
export class Subject {
  readonly states: ControlState[] = [];
  readonly netmaps: Netmap[] = [];
  readonly lines: LogLine[] = [];
  readonly newKeys: NodePrivateKey[] = [];
  readonly nodeKey = generatePrivateKey('node', crypto, nodeRng);
  readonly client: ControlClient;

  constructor(controlUrl: string, more: Partial<ControlClientOptions> = {}) {
    this.client = new ControlClient({
      controlUrl,
      machineKey: generatePrivateKey('machine', crypto, nodeRng),
      nodeKey: this.nodeKey,
      discoKey: generatePrivateKey('disco', crypto, nodeRng).publicKey,
      authKey: AUTH_KEY,
      hostname: 'subject',
      tlsCa: undefined,
      crypto,
      rng: nodeRng,
      log: (line) => this.lines.push(line),
      onState: (state) => this.states.push(state),
      onNetmap: (netmap) => this.netmaps.push(netmap),
      onNodeKeyChanged: async (nodeKey) => void this.newKeys.push(nodeKey),
      timings: FAST,
      ...more,
    });
    cleanups.push(() => this.client.close());
    this.client.start();
  }

  get kinds(): string[] {
    return this.states.map(({ kind }) => kind);
  }

  /** Everything it logged and told, errors and their causes included. */
  get words(): string {
    const describe = (value: unknown): string =>
      value instanceof Error
        ? `${value.stack} ${JSON.stringify(value)} ${describe(value.cause)}`
        : JSON.stringify(value);
    return [...this.lines, ...this.states, ...this.states.map((state) => ('error' in state ? state.error : ''))]
      .map(describe)
      .join();
  }

  async untilNetmap(count = 1): Promise<Netmap> {
    await until(() => this.netmaps.length >= count, `netmap ${count}`);
    return this.netmaps[count - 1]!;
  }

  async untilError(kind: 'failed' | 'reconnecting'): Promise<string> {
    await until(() => this.states.some((state) => state.kind === kind), kind);
    const state = this.states.find((candidate) => candidate.kind === kind)!;
    return 'error' in state ? state.error.code : '';
  }
}

/** Waits for real sockets to get somewhere; fails after five seconds. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  await vi.waitFor(() => expect(condition(), what).toBe(true), { timeout: 5000, interval: 2 });
}
