import type { TailnetState } from '@heddle/tailnet/types';
import type { EngineConfig } from '../schema/engine-config.ts';
import type { LogRecord } from '../schema/reply.ts';
import { isReadRequest, parseRequest } from '../schema/request.ts';
import { startControlServer } from '../socket/control-server.ts';
import { Engine } from './engine.ts';
import { EngineLog } from './engine-log.ts';
import type { NodeFactory, ProxyServices } from './services.ts';

export interface RunOptions {
  readonly config: EngineConfig;
  readonly createNode: NodeFactory;
  readonly services: ProxyServices;
  readonly version: string;
  readonly unixMs: () => number;
  readonly writeLog: (record: LogRecord) => void;
  /** Called once the socket file is ours, and once it is gone again. */
  readonly onSocket: (path: string | undefined) => void;
  /** Called once the engine answers and its node is starting, with the state it has come to. */
  readonly onStarted: (state: TailnetState) => void;
  readonly onState: (state: TailnetState) => void;
  /** Ends the engine in good order. */
  readonly signal: AbortSignal;
  /** How long an engine that never came to run stays to be asked why; asked when it has failed. */
  readonly lingerMs: () => number;
}

export type EngineOutcome =
  | { readonly kind: 'stopped' }
  /** The node failed before it ever ran. */
  | { readonly kind: 'failed'; readonly code: string; readonly message: string };

/**
 * Runs one engine from its first listener to its last. The socket file is gone when this settles, however it ends.
 * @throws {TailnetError} when it cannot start: `ipc/*`, `usage/*`, or the code of a taken port.
 */
export async function runEngine(options: RunOptions): Promise<EngineOutcome> {
  const { config } = options;
  const end = new EndOfEngine(options.signal, options.lingerMs);
  const log = new EngineLog({
    write: options.writeLog,
    secrets: [config.authKey, config.proxyToken],
    isVerbose: config.isVerbose,
    unixMs: options.unixMs,
  });
  const engine = new Engine({ ...options, log, onStopRequest: () => end.finish({ kind: 'stopped' }) });
  const server = await startControlServer({
    socketPath: config.socketPath,
    parse: parseRequest,
    isRead: isReadRequest,
    requestCountMaxPerMinute: config.isSupervised ? Number.POSITIVE_INFINITY : undefined,
    answer: (request) => engine.answer(request),
    subscribe: (request, send) => {
      const unsubscribe = engine.subscribe(request, send);
      end.noteSubscriber(engine.state);
      return unsubscribe;
    },
  });
  options.onSocket(server.path);
  try {
    engine.onState((state) => end.noteState(state));
    engine.onState(options.onState);
    await engine.start();
    options.onStarted(engine.state);
    return await end.outcome;
  } finally {
    await engine.stop();
    await server.close();
    options.onSocket(undefined);
  }
}

/** Decides when an engine is over: asked to stop, or failed before it ran and somebody has been told. */
class EndOfEngine {
  readonly outcome: Promise<EngineOutcome>;
  readonly #lingerMs: () => number;
  #resolve: (outcome: EngineOutcome) => void = () => {};
  #hasRun = false;
  #hasSubscriber = false;
  #failure: EngineOutcome | undefined;

  constructor(signal: AbortSignal, lingerMs: () => number) {
    this.#lingerMs = lingerMs;
    this.outcome = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    if (signal.aborted) this.finish({ kind: 'stopped' });
    signal.addEventListener('abort', () => this.finish({ kind: 'stopped' }), { once: true });
  }

  finish(outcome: EngineOutcome): void {
    this.#resolve(outcome);
  }

  noteState(state: TailnetState): void {
    if (state.kind === 'running') this.#hasRun = true;
    if (state.kind === 'stopped') this.finish({ kind: 'stopped' });
    if (state.kind !== 'error' || this.#hasRun) return;
    const failure: EngineOutcome = { kind: 'failed', code: state.code, message: state.message };
    this.#failure = failure;
    setTimeout(() => this.finish(failure), this.#hasSubscriber ? 0 : this.#lingerMs()).unref();
  }

  noteSubscriber(state: TailnetState): void {
    this.#hasSubscriber = true;
    if (this.#failure !== undefined && state.kind === 'error') this.finish(this.#failure);
  }
}
