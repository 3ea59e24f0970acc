/**
 * One tailnet with its proxy, forwards and serves, driven by the control socket.
 *
 *   start() ─▶ [local listeners] ─▶ node starts ─▶ … running … ─▶ stop()
 *                                      ▲   │ reconnect: the node is closed and made anew, listeners stay
 *                                      └───┘
 *
 * Error contract: start() rejects when a local port cannot be had, with everything closed again; later failures are the
 * state `error`, in which the engine still answers. answer() rejects with a TailnetError.
 */

import { parseForwardSpec, parseServeSpec } from '@heddle/tailnet/proxy/listen-spec';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import type { JoinOptions, TailnetState, TailnetStatus } from '@heddle/tailnet/types';
import { type EngineConfig, PROXY_OFF } from '../schema/engine-config.ts';
import { type ControlRequest, LOG_LINE_COUNT_MAX, RECENT_CONNECTION_COUNT_MAX } from '../schema/request.ts';
import { describeRoutes, describeState, describeStatus, formatState } from './describe.ts';
import type { EngineLog } from './engine-log.ts';
import { NodeSlot } from './node-slot.ts';
import type { EngineNode, NodeFactory, ProxyServices, RunningProxy, RunningRelay } from './services.ts';

export interface EngineOptions {
  readonly config: EngineConfig;
  readonly createNode: NodeFactory;
  readonly services: ProxyServices;
  readonly log: EngineLog;
  readonly version: string;
  readonly unixMs: () => number;
  /** Called for `stop`, after the answer is on its way. */
  readonly onStopRequest: () => void;
}

type Reply = Readonly<Record<string, unknown>> & { readonly message: string };
type Send = (event: Readonly<Record<string, unknown>>) => void;

const NODE_CLOSE_TIMEOUT_MS = 5000;
const PING_TIMEOUT_MS = 5000;

export class Engine {
  readonly #options: EngineOptions;
  readonly #slot = new NodeSlot<EngineNode>();
  readonly #startedUnixMs: number;
  readonly #listeners = new Set<(state: TailnetState) => void>();
  readonly #forwards: RunningRelay[] = [];
  #serves: RunningRelay[] = [];
  #proxy: RunningProxy | undefined;
  #state: TailnetState = { kind: 'starting' };
  #unlisten: (() => void) | undefined;
  #reconnecting: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;

  constructor(options: EngineOptions) {
    this.#options = options;
    this.#startedUnixMs = options.unixMs();
  }

  get state(): TailnetState {
    return this.#state;
  }

  /** @throws {TailnetError} of a listener that cannot start, `proxy/bad-*` for a bad address. */
  async start(): Promise<void> {
    try {
      await this.#startListeners();
    } catch (error) {
      await this.#closeListeners();
      throw error;
    }
    this.#startNode();
  }

  /** Closes the node, at most 5 s, and every listener. Safe to call more than once. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  onState(listener: (state: TailnetState) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The event stream of one subscriber: the current state first. */
  subscribe(request: ControlRequest, send: Send): () => void {
    const topics = (request.action === 'subscribe' ? request.events : undefined) ?? ['state'];
    const stops: (() => void)[] = [];
    if (topics.includes('log')) {
      stops.push(this.#options.log.onRecord((line) => send({ event: 'log', line })));
    }
    if (topics.includes('state')) {
      send({ ...describeState(this.#state) });
      stops.push(this.onState((state) => send({ ...describeState(state) })));
    }
    return () => {
      for (const stop of stops) stop();
    };
  }

  async answer(request: ControlRequest): Promise<Reply> {
    switch (request.action) {
      case 'status':
        return { message: formatState(this.#state), ...this.#describeStatus() };
      case 'peers':
        return { message: 'peers', peers: this.#describeStatus().peers };
      case 'routes':
        return {
          message: 'routes',
          routes: describeRoutes(this.#nodeStatus(), this.#options.config.acceptsRoutes ?? false),
        };
      case 'version':
        return { message: `heddle ${this.#options.version}`, version: this.#options.version, node: process.version };
      case 'ping':
        return this.#ping(request.peer, request.timeout_ms ?? PING_TIMEOUT_MS);
      case 'recent_connections':
        return this.#recentConnections(request.max ?? RECENT_CONNECTION_COUNT_MAX);
      case 'logs':
        return { message: 'logs', lines: this.#options.log.recent(request.max ?? LOG_LINE_COUNT_MAX) };
      case 'subscribe':
        return { message: 'subscribed' };
      case 'reconnect':
        return this.#handleReconnect(request.reason);
      case 'stop':
        this.#info('stop requested', request.reason);
        setImmediate(this.#options.onStopRequest);
        return { message: 'stopping' };
    }
  }

  async #startListeners(): Promise<void> {
    const { config, services, log } = this.#options;
    const forwards = config.forwards.map(parseForwardSpec);
    config.serves.map(parseServeSpec);
    if (config.proxy !== PROXY_OFF) {
      const options = { listen: config.proxy, user: config.proxyUser, token: config.proxyToken, log: log.add };
      this.#proxy = await services.startProxy(this.#slot, options);
    }
    for (const spec of forwards) this.#forwards.push(await services.startForward(this.#slot, spec, log.add));
  }

  #startNode(): void {
    const node = this.#options.createNode(this.#joinOptions());
    this.#slot.set(node);
    this.#unlisten = node.onState((state) => this.#handleState(state));
    node.start();
  }

  #joinOptions(): JoinOptions {
    const { controlUrl, authKey, hostname, stateDir, tlsCa, udpPort, isUdpEnabled, acceptsRoutes } =
      this.#options.config;
    return {
      controlUrl,
      authKey,
      hostname,
      stateDir,
      tlsCa,
      udpPort,
      isUdpEnabled,
      acceptsRoutes,
      log: this.#options.log.add,
    };
  }

  #handleState(state: TailnetState): void {
    const hasStarted = state.kind === 'running' && this.#state.kind !== 'running';
    this.#setState(state);
    if (hasStarted && this.#serves.length === 0) void this.#startServes();
  }

  #setState(next: TailnetState): void {
    const state = next.kind === 'error' ? { ...next, message: this.#options.log.redact(next.message) } : next;
    this.#state = state;
    const level = state.kind === 'error' ? 'error' : 'info';
    const code = state.kind === 'error' ? { code: state.code } : {};
    this.#options.log.add({ level, message: formatState(state), fields: { state: state.kind, ...code } });
    for (const listener of [...this.#listeners]) listener(state);
  }

  // A tailnet port can only be opened on a running node, long after `connect` could be told that it is taken.
  async #startServes(): Promise<void> {
    const { config, services, log } = this.#options;
    for (const text of config.serves) {
      try {
        this.#serves.push(await services.startServe(this.#slot, parseServeSpec(text), log.add));
      } catch (error) {
        const code = error instanceof TailnetError ? error.code : 'serve/failed';
        log.add({ level: 'error', message: `Cannot serve ${text}: ${messageOf(error)}`, fields: { code } });
      }
    }
  }

  #handleReconnect(reason: string | undefined): Reply {
    this.#info('reconnect requested', reason);
    this.#reconnecting ??= this.#reconnect().finally(() => {
      this.#reconnecting = undefined;
    });
    return { message: 'reconnecting' };
  }

  async #reconnect(): Promise<void> {
    this.#unlisten?.();
    await this.#closeServes();
    this.#setState({ kind: 'starting' });
    await this.#closeNode();
    if (this.#stopping === undefined) this.#startNode();
  }

  async #ping(peer: string, timeoutMs: number): Promise<Reply> {
    const result = await this.#slot.ping(peer, { timeoutMs });
    const ms = Math.round(result.roundTripMs * 10) / 10;
    return { message: `pong from ${peer} in ${ms} ms`, peer, ...result };
  }

  #recentConnections(max: number): Reply {
    const connections = this.#proxy?.recentConnections(max) ?? [];
    return { message: `${connections.length} connections`, connections };
  }

  #describeStatus(): ReturnType<typeof describeStatus> {
    const { config, version } = this.#options;
    return describeStatus(this.#state, this.#nodeStatus(), {
      context: config.context,
      version,
      startedUnixMs: this.#startedUnixMs,
      controlUrl: config.controlUrl,
      proxy: this.#proxy?.address ?? null,
      forwards: config.forwards,
      serves: config.serves,
    });
  }

  #nodeStatus(): TailnetStatus | undefined {
    return this.#slot.node?.status();
  }

  #info(message: string, reason: string | undefined): void {
    this.#options.log.add({ level: 'info', message, ...(reason === undefined ? {} : { fields: { reason } }) });
  }

  async #stop(): Promise<void> {
    this.#unlisten?.();
    this.#setState({ kind: 'shutting_down' });
    await this.#closeListeners();
    await this.#reconnecting;
    await this.#closeNode();
    this.#setState({ kind: 'stopped' });
  }

  async #closeListeners(): Promise<void> {
    const running = [this.#proxy, ...this.#forwards.splice(0)];
    this.#proxy = undefined;
    await Promise.allSettled([this.#closeServes(), ...running.map((listener) => listener?.close())]);
  }

  async #closeServes(): Promise<void> {
    const serves = this.#serves;
    this.#serves = [];
    await Promise.allSettled(serves.map((serve) => serve.close()));
  }

  async #closeNode(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), NODE_CLOSE_TIMEOUT_MS);
    });
    try {
      if ((await Promise.race([this.#slot.close(), deadline])) === 'late') {
        this.#options.log.add({ level: 'warn', message: 'The node did not close within 5 s' });
      }
    } catch (error) {
      this.#options.log.add({ level: 'warn', message: `The node did not close cleanly: ${messageOf(error)}` });
    } finally {
      clearTimeout(timer);
    }
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
