import { hostname as machineName } from 'node:os';
import type { Netmap } from '@heddle/proto/control/netmap';
import type { CryptoProvider } from '@heddle/proto/crypto/provider';
import { NameTable } from '@heddle/proto/dns/name-table';
import type { IpAddress } from '@heddle/proto/ip/address';
import { formatPrefix, isInPrefix } from '@heddle/proto/ip/prefix';
import { type DiscoPrivateKey, generatePrivateKey, type NodePrivateKey } from '@heddle/proto/keys/private-key';
import { ControlClient, type ControlState } from './control/control-client.ts';
import { createNodeCryptoProvider, nodeRng } from './crypto/node-provider.ts';
import { DataPlane } from './data-plane.ts';
import { type KeyStore, openKeyStore } from './state/key-store.ts';
import { describeStatus } from './status.ts';
import { TailnetError } from './tailnet-error.ts';
import type {
  JoinOptions,
  LogLine,
  PingResult,
  TailnetConnection,
  TailnetListener,
  TailnetNode,
  TailnetState,
  TailnetStatus,
  TailnetUdpSocket,
} from './types.ts';

const DIAL_TIMEOUT_MS = 15_000;
const PING_TIMEOUT_MS = 5_000;
/** A netmap is there and the home relay does not answer: the node is running all the same, by direct paths. */
const HOME_GRACE_MS = 3_000;

/** A listening port outlives the data plane: a new node key brings a new one. */
interface OpenPort {
  readonly onConnection: (connection: TailnetConnection) => void;
  listener: TailnetListener;
}

type StateListener = (state: TailnetState) => void;

/**
 * A node of one tailnet inside this process: no privilege, no interface, no other program.
 *
 * @example
 * await using tailnet = await Tailnet.join({ controlUrl: 'https://headscale.example.com', authKey });
 * const connection = await tailnet.dial('db', 5432);
 */
export class Tailnet implements TailnetNode {
  readonly #options: JoinOptions;
  readonly #crypto: CryptoProvider = createNodeCryptoProvider();
  readonly #discoKey: DiscoPrivateKey;
  readonly #listeners = new Set<StateListener>();
  readonly #ports = new Map<number, OpenPort>();
  readonly #log: (line: LogLine) => void;
  #state: TailnetState = { kind: 'starting' };
  #keys: KeyStore | undefined;
  #control: ControlClient | undefined;
  #plane: DataPlane | undefined;
  #planeKey: NodePrivateKey | undefined;
  #netmap: Netmap | undefined;
  #names: NameTable | undefined;
  #isOnline = false;
  #homeGrace: NodeJS.Timeout | undefined;
  #closing: Promise<void> | undefined;

  /** Joins and resolves when the node is running. @throws {TailnetError} when it cannot, or needs an interactive login. */
  static async join(options: JoinOptions): Promise<Tailnet> {
    const tailnet = Tailnet.create(options);
    const running = tailnet.#untilRunning();
    tailnet.start();
    try {
      await running;
      return tailnet;
    } catch (error) {
      await tailnet.close();
      throw error;
    }
  }

  /** A node that is not started yet, for callers that want every state from the first. */
  static create(options: JoinOptions): Tailnet {
    return new Tailnet(options);
  }

  private constructor(options: JoinOptions) {
    this.#options = options;
    this.#log = options.log ?? (() => {});
    this.#discoKey = generatePrivateKey('disco', this.#crypto, nodeRng);
  }

  get state(): TailnetState {
    return this.#state;
  }

  /** Begins to join. Failures arrive as the state `error`. Call it once. */
  start(): void {
    this.#options.signal?.addEventListener('abort', () => void this.close(), { once: true });
    this.#start().catch((error: unknown) => this.#fail(error));
  }

  /** Calls the listener at every change of state, until the returned function is called. */
  onState(listener: StateListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  status(): TailnetStatus {
    return describeStatus({
      state: this.#state,
      controlUrl: this.#options.controlUrl,
      nodeKey: this.#keys?.nodeKey.publicKey,
      netmap: this.#netmap,
      plane: this.#plane,
    });
  }

  resolve(host: string): readonly string[] {
    return (this.#names?.resolve(host) ?? []).map((address) => address.text);
  }

  async dial(
    host: string,
    port: number,
    options: { readonly timeoutMs?: number; readonly signal?: AbortSignal } = {},
  ): Promise<TailnetConnection> {
    if (!Number.isInteger(port) || port < 1 || port > 65535) throw new RangeError(`port ${port} is not within 1–65535`);
    const { address, plane } = this.#findPeer(host);
    return plane.sockets.dial({
      address,
      port,
      timeoutMs: options.timeoutMs ?? DIAL_TIMEOUT_MS,
      signal: options.signal,
    });
  }

  listen(port: number, onConnection: (connection: TailnetConnection) => void): TailnetListener {
    const listener = this.#runningPlane().sockets.listen(port, onConnection);
    this.#ports.set(port, { onConnection, listener });
    return {
      port,
      close: () => {
        if (this.#ports.get(port)?.onConnection !== onConnection) return;
        this.#ports.get(port)?.listener.close();
        this.#ports.delete(port);
      },
    };
  }

  createUdpSocket(port?: number): TailnetUdpSocket {
    return this.#runningPlane().sockets.openUdp(port);
  }

  async ping(
    host: string,
    options: { readonly timeoutMs?: number; readonly signal?: AbortSignal } = {},
  ): Promise<PingResult> {
    const { address, plane, peer } = this.#findPeer(host);
    plane.probe(peer);
    const roundTripMs = await plane.sockets.ping(address, options.timeoutMs ?? PING_TIMEOUT_MS, options.signal);
    if (roundTripMs === undefined) {
      throw new TailnetError('ping/timeout', `${address.text} did not answer`, { isRetryable: true });
    }
    const path = this.status().peers.find((status) => status.addresses.includes(address.text))?.path ?? {
      kind: 'none',
    };
    return { address: address.text, roundTripMs, path };
  }

  /** Ends the login of this node at the server; the keys stay, and the next join needs a key or a login. */
  async logout(): Promise<void> {
    await this.#control?.logout();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #start(): Promise<void> {
    const { controlUrl, stateDir } = this.#options;
    this.#keys = openKeyStore({ stateDir, controlUrl, crypto: this.#crypto, rng: nodeRng, log: this.#log });
    const plane = await this.#openPlane(this.#keys.nodeKey);
    if (this.#closing !== undefined) {
      await plane.close();
      return;
    }
    this.#plane = plane;
    this.#planeKey = this.#keys.nodeKey;
    this.#control = new ControlClient({
      controlUrl,
      machineKey: this.#keys.machineKey,
      nodeKey: this.#keys.nodeKey,
      discoKey: this.#discoKey.publicKey,
      authKey: this.#options.authKey,
      hostname: this.#options.hostname ?? machineName(),
      tlsCa: this.#options.tlsCa,
      crypto: this.#crypto,
      rng: nodeRng,
      log: this.#log,
      onState: (state) => this.#handleControlState(state),
      onNetmap: (netmap) => this.#handleNetmap(netmap),
      onNodeKeyChanged: async (nodeKey) => this.#keys?.saveNodeKey(nodeKey),
    });
    this.#control.setEndpoints(plane.endpoints);
    this.#control.start();
  }

  #openPlane(nodeKey: NodePrivateKey): Promise<DataPlane> {
    return DataPlane.open({
      crypto: this.#crypto,
      rng: nodeRng,
      nodeKey,
      discoKey: this.#discoKey,
      controlUrl: this.#options.controlUrl,
      tlsCa: this.#options.tlsCa,
      udpPort: this.#options.udpPort ?? 0,
      isUdpEnabled: this.#options.isUdpEnabled ?? true,
      acceptsRoutes: this.#options.acceptsRoutes ?? false,
      log: this.#log,
      onEndpoints: (endpoints) => this.#control?.setEndpoints(endpoints),
      onHome: (regionId) => this.#control?.setHomeDerp(regionId),
      onRelayChange: () => this.#updateRunning(),
    });
  }

  #handleControlState(state: ControlState): void {
    this.#isOnline = state.kind === 'streaming';
    switch (state.kind) {
      case 'streaming':
        this.#updateRunning();
        return;
      case 'failed':
        this.#fail(state.error);
        return;
      case 'reconnecting':
        this.#setState({ kind: 'reconnecting', attempt: state.attempt });
        return;
      default:
        this.#setState(state);
    }
  }

  #handleNetmap(netmap: Netmap): void {
    this.#netmap = netmap;
    this.#names = new NameTable(netmap);
    if (this.#keys !== undefined && this.#planeKey !== this.#keys.nodeKey) {
      void this.#replacePlane(this.#keys.nodeKey);
      return;
    }
    this.#plane?.setNetmap(netmap);
    this.#updateRunning();
  }

  /** The server made us take a new node key: peers know us by nothing else, so every connection ends here. */
  async #replacePlane(nodeKey: NodePrivateKey): Promise<void> {
    const old = this.#plane;
    this.#plane = undefined;
    this.#planeKey = nodeKey;
    await old?.close();
    const plane = await this.#openPlane(nodeKey);
    if (this.#closing !== undefined || this.#planeKey !== nodeKey) return plane.close();
    this.#plane = plane;
    for (const [port, open] of this.#ports) open.listener = plane.sockets.listen(port, open.onConnection);
    this.#control?.setEndpoints(plane.endpoints);
    if (this.#netmap !== undefined) plane.setNetmap(this.#netmap);
    this.#updateRunning();
  }

  /** Running means: the map stream is up and peers can reach us by our home relay, if there is any. */
  #updateRunning(): void {
    if (!this.#isOnline || this.#netmap === undefined || this.#plane === undefined) return;
    const hasRelay = this.#netmap.derpMap.regions.size > 0;
    if (this.#state.kind !== 'running' && hasRelay && !this.#plane.isHomeConnected) {
      this.#homeGrace ??= setTimeout(() => this.#setRunning(), HOME_GRACE_MS);
      return;
    }
    this.#setRunning();
  }

  #setRunning(): void {
    clearTimeout(this.#homeGrace);
    this.#homeGrace = undefined;
    if (!this.#isOnline || this.#netmap === undefined || this.#plane === undefined) return;
    const addresses = this.#netmap.self.addresses.map((prefix) => prefix.address.text);
    const peerCount = this.#netmap.peers.size;
    this.#setState({ kind: 'running', addresses, peerCount, derpHome: this.#plane.home });
  }

  #setState(state: TailnetState): void {
    if (this.#state.kind === 'error' || this.#state.kind === 'stopped') return;
    if (this.#state.kind === 'shutting_down' && state.kind !== 'stopped') return;
    if (JSON.stringify(state) === JSON.stringify(this.#state)) return;
    this.#state = state;
    for (const listener of [...this.#listeners]) listener(state);
  }

  #fail(error: unknown): void {
    const code = error instanceof TailnetError ? error.code : 'tailnet/internal';
    const message = error instanceof Error ? error.message : String(error);
    this.#log({ level: 'error', message, fields: { code } });
    this.#setState({ kind: 'error', message, code });
    void this.#release();
  }

  async #untilRunning(): Promise<void> {
    return new Promise((resolve, reject) => {
      const stop = this.onState((state) => {
        if (state.kind === 'running') resolve();
        else if (state.kind === 'error') reject(new TailnetError(state.code, state.message));
        else if (state.kind === 'needs_login')
          reject(new TailnetError('control/auth-key-required', `log in at ${state.authUrl}, or join with an auth key`));
        else if (state.kind === 'stopped')
          reject(new TailnetError('tailnet/closed', 'the node was closed while it joined'));
        else return;
        stop();
      });
    });
  }

  async #close(): Promise<void> {
    this.#setState({ kind: 'shutting_down' });
    await this.#release();
    this.#setState({ kind: 'stopped' });
  }

  async #release(): Promise<void> {
    clearTimeout(this.#homeGrace);
    const [control, plane, keys] = [this.#control, this.#plane, this.#keys];
    this.#control = undefined;
    this.#plane = undefined;
    await Promise.all([control?.close(), plane?.close()]);
    keys?.close();
  }

  #runningPlane(): DataPlane {
    if (this.#plane === undefined || this.#netmap === undefined) {
      throw new TailnetError('tailnet/not-running', `the node is ${this.#state.kind}`, { isRetryable: true });
    }
    return this.#plane;
  }

  #explainNoRoute(address: IpAddress): string {
    for (const node of this.#netmap?.peers.values() ?? []) {
      const offer = node.allowedIps.find((prefix) => isInPrefix(prefix, address));
      if (offer === undefined) continue;
      const reason = offer.bits === 0 ? 'exit nodes are not used' : 'subnets are not accepted';
      return `${address.text} lies in ${formatPrefix(offer)} of ${node.name || node.hostname}, but ${reason}`;
    }
    return `no node of this tailnet has the address ${address.text}`;
  }

  #findPeer(host: string) {
    const plane = this.#runningPlane();
    const addresses = this.#names?.resolve(host) ?? [];
    const address = addresses.find((candidate) => plane.node.routeOf(candidate) >= 0) ?? addresses[0];
    if (address === undefined)
      throw new TailnetError('dial/unknown-host', `no node of this tailnet is called "${host}"`);
    const peer = plane.node.routeOf(address);
    if (peer < 0) throw new TailnetError('dial/no-route', this.#explainNoRoute(address));
    return { address, plane, peer };
  }
}
