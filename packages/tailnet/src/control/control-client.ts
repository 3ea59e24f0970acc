import { setTimeout as sleep } from 'node:timers/promises';
import type { Netmap } from '@heddle/proto/control/netmap';
import type { LocalEndpoint } from '@heddle/proto/control/requests';
import type { CryptoProvider, Rng } from '@heddle/proto/crypto/provider';
import type { MachinePrivateKey, NodePrivateKey } from '@heddle/proto/keys/private-key';
import type { DiscoPublicKey } from '@heddle/proto/keys/public-key';
import type { TailnetError } from '../tailnet-error.ts';
import type { LogLine } from '../types.ts';
import { ControlError, toControlError } from './control-error.ts';
import { withDeadline } from './deadline.ts';
import { ControlDialer } from './dialer.ts';
import { ControlSession } from './h2-session.ts';
import { LocalNode } from './local-node.ts';
import { MapStream } from './map-stream.ts';
import { MapUpdater, mapStatusError } from './map-updater.ts';
import { type ControlPingResult, PingResponder } from './ping-responder.ts';
import { Registration } from './registration.ts';
import { backoffMs, type ControlTimings, DEFAULT_TIMINGS } from './timings.ts';

/** The phases of a client. `failed` is final: somebody has to change something and start anew. */
export type ControlState =
  | { readonly kind: 'connecting' }
  | { readonly kind: 'handshaking' }
  | { readonly kind: 'registering' }
  | { readonly kind: 'needs_login'; readonly authUrl: string }
  | { readonly kind: 'streaming' }
  | { readonly kind: 'reconnecting'; readonly attempt: number; readonly error: TailnetError }
  | { readonly kind: 'failed'; readonly error: TailnetError };

export interface ControlClientOptions {
  /** `https://host[:port]` or `http://host[:port]`; a path is ignored. */
  readonly controlUrl: string;
  readonly machineKey: MachinePrivateKey;
  readonly nodeKey: NodePrivateKey;
  readonly discoKey: DiscoPublicKey;
  readonly authKey: string | undefined;
  readonly hostname: string;
  /** PEM of a CA besides those of the system. */
  readonly tlsCa: string | undefined;
  readonly crypto: CryptoProvider;
  readonly rng: Rng;
  readonly log: (line: LogLine) => void;
  /** Every change of phase. While a lost session is replaced there is only `reconnecting`. */
  readonly onState: (state: ControlState) => void;
  /** The old netmap stays in force until the first one of a new stream arrives. */
  readonly onNetmap: (netmap: Netmap) => void;
  /** The server accepted a new node key in place of an expired one; awaited before the key is used further. */
  readonly onNodeKeyChanged: (nodeKey: NodePrivateKey, old: NodePrivateKey) => Promise<void>;
  readonly onPing?: ((types: readonly string[], ip: string) => Promise<ControlPingResult>) | undefined;
  /** For tests. */
  readonly timings?: Partial<ControlTimings> | undefined;
}

/**
 * Keeps one node in touch with its coordination server: connects, registers, streams the netmap, tells what changes
 * here, and starts over when anything breaks. Callbacks must not throw.
 *
 * ```text
 * connecting -> handshaking -> registering -> streaming
 *      ^             |      needs_login <-'       |
 *      '-- reconnecting (n² x 10 ms, at most 30 s) <-'      any -> failed
 * ```
 */
export class ControlClient {
  readonly #options: ControlClientOptions;
  readonly #timings: ControlTimings;
  readonly #host: string;
  readonly #dialer: ControlDialer;
  readonly #local: LocalNode;
  readonly #registration: Registration;
  readonly #pings: PingResponder;
  readonly #stop = new AbortController();
  #session: ControlSession | undefined;
  #updater: MapUpdater | undefined;
  #running: Promise<void> | undefined;
  /** Failures since the last stable stream; 0 at first. */
  #attempt = 0;
  #hasStreamed = false;
  #phase: ControlState['kind'] | undefined;
  #streamingSinceMs = Number.POSITIVE_INFINITY;

  /** @throws {TypeError} when `controlUrl` is no http(s) URL. */
  constructor(options: ControlClientOptions) {
    const { machineKey, nodeKey, discoKey, authKey, hostname, tlsCa, crypto, rng, log } = options;
    const controlUrl = new URL(options.controlUrl);
    if (controlUrl.protocol !== 'http:' && controlUrl.protocol !== 'https:') {
      throw new TypeError(`control URL "${options.controlUrl}" is neither http nor https`);
    }
    const timings = { ...DEFAULT_TIMINGS, ...options.timings };
    this.#options = options;
    this.#timings = timings;
    this.#host = controlUrl.host;
    const { rememberedKeyMs } = timings;
    this.#dialer = new ControlDialer({ controlUrl, tlsCa, machineKey, crypto, rng, rememberedKeyMs });
    this.#local = new LocalNode({ hostname, machineKey: machineKey.publicKey, discoKey, crypto });
    const onNeedsLogin = (authUrl: string): void => options.onState({ kind: 'needs_login', authUrl });
    const { onNodeKeyChanged } = options;
    const local = this.#local;
    this.#registration = new Registration({
      nodeKey,
      authKey,
      local,
      crypto,
      rng,
      timings,
      onNeedsLogin,
      onNodeKeyChanged,
    });
    this.#pings = new PingResponder({ onPing: options.onPing, log });
  }

  /** Begins; harmless when repeated. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** Tells where we can be reached by UDP. May be called before `start`, which spares an update. */
  setEndpoints(endpoints: readonly LocalEndpoint[]): void {
    if (this.#local.setEndpoints(endpoints)) this.#updater?.request();
  }

  /** Tells the region of our home relay. Call it before the relay connection moves: peers send where we say. */
  setHomeDerp(regionId: number): void {
    if (this.#local.setHomeDerp(regionId)) this.#updater?.request();
  }

  /** Makes the server forget our key, then closes. Bounded by the time of one dial and one request. */
  async logout(): Promise<void> {
    const session = this.#session;
    try {
      if (session !== undefined) await this.#registration.logout(session, session.signal);
      else await this.#logoutOnNewSession();
    } finally {
      await this.close();
    }
  }

  /** Ends everything; no callback comes after it. Harmless when repeated. */
  async close(): Promise<void> {
    this.#stop.abort();
    this.#session?.close();
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      this.#streamingSinceMs = Number.POSITIVE_INFINITY;
      try {
        await this.#runSession();
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        const failure = toControlError(error, this.#host);
        if (this.#isFinal(failure)) {
          this.#options.log({ level: 'error', message: failure.message, fields: { code: failure.code } });
          this.#options.onState({ kind: 'failed', error: failure });
          return;
        }
        if (performance.now() - this.#streamingSinceMs > this.#timings.stableMs) this.#attempt = 0;
        await this.#backOff(failure);
      }
    }
  }

  /** Before the first netmap a wrong URL or certificate is the user's to mend; later it may be a captive portal. */
  #isFinal(failure: ControlError): boolean {
    return failure.isAuthorization || (!failure.isRetryable && !this.#hasStreamed);
  }

  async #backOff(failure: ControlError): Promise<void> {
    this.#attempt += 1;
    const { backoffBaseMs, backoffMaxMs, refusedBackoffMaxMs } = this.#timings;
    const maxMs = failure.isRefused ? refusedBackoffMaxMs : backoffMaxMs;
    const waitMs = failure.retryAfterMs ?? backoffMs(this.#attempt, backoffBaseMs, maxMs, this.#options.rng);
    const fields = { code: failure.code, attempt: this.#attempt, waitMs: Math.round(waitMs) };
    this.#options.log({ level: 'warn', message: failure.message, fields });
    this.#options.onState({ kind: 'reconnecting', attempt: this.#attempt, error: failure });
    await sleep(waitMs, undefined, { signal: this.#stop.signal }).catch(() => undefined);
  }

  /** One connection from dial to end. Throws always. */
  async #runSession(): Promise<never> {
    this.#enter({ kind: 'connecting' });
    const session = await this.#connect(() => this.#enter({ kind: 'handshaking' }));
    this.#session = session;
    try {
      if (!this.#registration.isRegistered) {
        this.#enter({ kind: 'registering' });
        await this.#registration.run(session, session.signal);
      }
      return await this.#runMap(session);
    } catch (error) {
      const failure = toControlError(error, this.#host);
      if (failure.needsRegistration) this.#registration.forget();
      // The cause behind "aborted" is why the connection went away.
      throw session.signal.aborted && failure.code === 'control/connection-lost' ? session.signal.reason : failure;
    } finally {
      this.#session = undefined;
      session.close();
    }
  }

  async #connect(onHandshake: () => void): Promise<ControlSession> {
    const options = {
      timeoutMs: this.#timings.dialMs,
      signal: this.#stop.signal,
      what: `a connection to ${this.#host}`,
    };
    const duplex = await withDeadline(options, (signal) => this.#dialer.connect(signal, onHandshake));
    return new ControlSession(duplex, this.#host, this.#timings);
  }

  /** The update and the stream go out together: each says everything, so servers may take them in either order. */
  async #runMap(session: ControlSession): Promise<never> {
    const { signal } = session;
    const nodeKey = this.#registration.nodeKey.publicKey;
    const createRequest = (): Uint8Array => this.#local.mapRequest(nodeKey, false);
    const updater = new MapUpdater({ session, createRequest, timings: this.#timings, signal });
    this.#updater = updater;
    try {
      const streaming = this.#runStream(session, this.#local.mapRequest(nodeKey, true));
      const updating = updater.run();
      // Whichever loses the race ends with the session, and nobody waits for its error.
      updating.catch(() => undefined);
      return await Promise.race([streaming, updating]);
    } finally {
      this.#updater = undefined;
      session.close();
    }
  }

  async #runStream(session: ControlSession, body: Uint8Array): Promise<never> {
    const { requestMs, watchdogMs } = this.#timings;
    const request = {
      method: 'POST',
      path: '/machine/map',
      body,
      timeoutMs: requestMs,
      signal: session.signal,
    } as const;
    const stream = await session.openStream(request);
    if ('status' in stream) throw mapStatusError(stream.status, stream.body.toString('utf8'));
    const onNetmap = (netmap: Netmap): void => this.#handleNetmap(netmap, session);
    const mapStream = new MapStream({ watchdogMs, onNetmap, onPing: (ping) => this.#pings.handle(ping, session) });
    return mapStream.run(stream);
  }

  #handleNetmap(netmap: Netmap, session: ControlSession): void {
    if (session.signal.aborted) return;
    this.#enterStreaming();
    this.#options.onNetmap(netmap);
    if (netmap.self.isExpired) {
      throw new ControlError('control/key-expired', 'The key of this node has expired', { isRetryable: true });
    }
  }

  #enterStreaming(): void {
    if (this.#phase === 'streaming') return;
    this.#phase = 'streaming';
    this.#hasStreamed = true;
    this.#streamingSinceMs = performance.now();
    this.#options.onState({ kind: 'streaming' });
  }

  #enter(state: ControlState): void {
    this.#phase = state.kind;
    if (this.#attempt === 0) this.#options.onState(state);
  }

  async #logoutOnNewSession(): Promise<void> {
    const session = await this.#connect(() => undefined);
    try {
      await this.#registration.logout(session, session.signal);
    } finally {
      session.close();
    }
  }
}
