import type { PacketArena } from '@heddle/proto/bytes/packet-arena';
import type { DerpNode, DerpRegion } from '@heddle/proto/control/derp-map';
import type { CryptoProvider, Rng } from '@heddle/proto/crypto/provider';
import { DerpClient, type DerpEvent } from '@heddle/proto/derp/derp-client';
import type { NodePrivateKey } from '@heddle/proto/keys/private-key';
import type { NodePublicKey } from '@heddle/proto/keys/public-key';
import { Counters } from '@heddle/proto/time/counters';
import { TailnetError } from '../tailnet-error.ts';
import type { LogLine } from '../types.ts';
import { DerpStream } from './derp-stream.ts';
import { type DerpConnection, dialDerp } from './dial-derp.ts';
import { ReconnectDelay } from './reconnect-delay.ts';

/** A region that is not the home and to which nothing was sent for so long is disconnected. */
export const IDLE_CLOSE_MS = 60_000;
/** All nodes of a region together, to the end of the login. */
const DIAL_TIMEOUT_MS = 10_000;
/** Packets that wait for a connection; beyond it the oldest is dropped. */
const WAITING_PACKETS_MAX = 32;
/** A node that failed is tried after the others for so long. */
const NODE_PENALTY_MS = 60_000;
/** A relay that announces its restart cannot keep us away longer. */
const RESTART_DELAY_MS_MAX = 60_000;

/** What all links of a node share. */
export interface DerpLinkOptions {
  readonly arena: PacketArena;
  readonly nodeKey: NodePrivateKey;
  readonly crypto: CryptoProvider;
  readonly rng: Rng;
  readonly controlUrl: string;
  readonly tlsCa: string | undefined;
  readonly log: (line: LogLine) => void;
  readonly onPacket: (regionId: number, slot: number, source: Uint8Array) => void;
  readonly onChange: () => void;
}

interface WaitingPacket {
  readonly to: NodePublicKey;
  readonly bytes: Uint8Array;
}

type State =
  | { readonly kind: 'idle' }
  | { readonly kind: 'waiting'; readonly timer: NodeJS.Timeout }
  | { readonly kind: 'dialling'; readonly abort: AbortController; readonly done: Promise<void> }
  | { readonly kind: 'connected'; readonly stream: DerpStream; readonly idleTimer: NodeJS.Timeout | undefined }
  | { readonly kind: 'closed' };

/**
 * The connection to one region, made when it is wanted and kept as long as it is.
 *
 * ```
 * idle ──send, home──▶ dialling ──▶ connected ──60 s without a send, not home──▶ idle
 *                        ▲  │            │ lost
 *                        │  └─ failed ─▶ waiting (wanted: home, or sent to lately) else idle
 *                        └── delay over ──┘
 * ```
 * Only the owner of the current state may end it: callbacks of an earlier dial or stream find another state and do
 * nothing. Packets wait while there is no connection (32, the oldest is dropped). Nothing here throws for what a
 * relay or the network does; failures are logged with their code.
 */
export class DerpLink {
  readonly #o: DerpLinkOptions;
  readonly #counters = new Counters<string>();
  readonly #delay: ReconnectDelay;
  readonly #failedAtMs = new Map<string, number>();
  #region: DerpRegion;
  #isHome = false;
  #state: State = { kind: 'idle' };
  #waiting: WaitingPacket[] = [];
  #lastWantedAtMs = Number.NEGATIVE_INFINITY;
  /** No dial before this time, after a failure. */
  #notBeforeMs = Number.NEGATIVE_INFINITY;
  #restartDelayMs: number | undefined;
  #failure: TailnetError | undefined;

  constructor(region: DerpRegion, o: DerpLinkOptions) {
    this.#region = region;
    this.#o = o;
    this.#delay = new ReconnectDelay(o.rng);
  }

  get isConnected(): boolean {
    return this.#state.kind === 'connected';
  }

  /** Why there is no connection: the last attempt's failure, until one succeeds. */
  get failure(): TailnetError | undefined {
    return this.#failure;
  }

  /** Drops so far, by reason; of the live connection too. */
  snapshot(): Record<string, number> {
    const total = new Counters<string>();
    addAll(total, this.#counters.snapshot());
    if (this.#state.kind === 'connected') addAll(total, this.#state.stream.counters.snapshot());
    return total.snapshot();
  }

  /** Takes over a new definition: other nodes mean a new connection, if one is wanted. */
  setRegion(region: DerpRegion): void {
    const isSame = JSON.stringify(region.nodes) === JSON.stringify(this.#region.nodes);
    this.#region = region;
    if (isSame || this.#state.kind === 'closed') return;
    this.#failedAtMs.clear();
    this.#delay.reset();
    this.#notBeforeMs = Number.NEGATIVE_INFINITY;
    this.#redial();
  }

  setHome(isHome: boolean): void {
    if (isHome === this.#isHome || this.#state.kind === 'closed') return;
    this.#isHome = isHome;
    if (this.#state.kind === 'connected') {
      const { stream } = this.#state;
      stream.setHome(isHome);
      this.#enterConnected(stream);
    } else if (isHome) this.#want();
  }

  /** Sends a packet, or keeps a copy until there is a connection. */
  send(to: NodePublicKey, bytes: Uint8Array, offset: number, length: number): void {
    if (this.#state.kind === 'connected') {
      this.#state.stream.send(to, bytes, offset, length);
      return;
    }
    if (this.#state.kind === 'closed') return;
    if (this.#waiting.length === WAITING_PACKETS_MAX) {
      this.#waiting.shift();
      this.#counters.add('derp-tx-waiting-full');
    }
    this.#waiting.push({ to, bytes: bytes.slice(offset, offset + length) });
    this.#want();
  }

  /** The network changed: a connection that does not answer in 3 s is replaced, and a pending retry is made now. */
  probe(): void {
    if (this.#state.kind === 'connected') this.#state.stream.probe();
    if (this.#state.kind === 'waiting') this.#redial();
  }

  /** Resolves when its socket is closed. */
  async close(): Promise<void> {
    const state = this.#leave({ kind: 'closed' });
    this.#waiting = [];
    if (state.kind === 'connected') await state.stream.close();
    if (state.kind === 'dialling') await state.done;
  }

  #want(): void {
    this.#lastWantedAtMs = performance.now();
    if (this.#state.kind !== 'idle') return;
    const delayMs = this.#notBeforeMs - performance.now();
    if (delayMs > 0) this.#wait(delayMs);
    else this.#dial();
  }

  #isWanted(): boolean {
    return this.#isHome || performance.now() - this.#lastWantedAtMs < IDLE_CLOSE_MS;
  }

  #redial(): void {
    const wasConnected = this.isConnected;
    const state = this.#leave({ kind: 'idle' });
    if (state.kind === 'connected') void state.stream.close();
    if (this.#isWanted() && state.kind !== 'idle') this.#dial();
    if (wasConnected) this.#o.onChange();
  }

  #wait(delayMs: number): void {
    const timer = setTimeout(() => this.#dial(), delayMs);
    this.#leave({ kind: 'waiting', timer });
  }

  #dial(): void {
    const abort = new AbortController();
    const done = this.#runDial(abort);
    this.#leave({ kind: 'dialling', abort, done });
  }

  /** Never rejects. */
  async #runDial(abort: AbortController): Promise<void> {
    const { controlUrl, tlsCa } = this.#o;
    const isCurrent = () => this.#state.kind === 'dialling' && this.#state.abort === abort;
    try {
      const connection = await dialDerp({
        nodes: this.#nodesByPenalty(),
        idealNode: this.#region.nodes[0]?.name,
        controlUrl,
        tlsCa,
        environment: process.env,
        timeoutMs: DIAL_TIMEOUT_MS,
        createClient: () => new DerpClient({ ...this.#o, isHome: this.#isHome }),
        onNodeFailure: (node, error) => this.#noteNodeFailure(node, error),
        signal: abort.signal,
      });
      if (isCurrent()) this.#handleConnected(connection);
      else discard(connection);
    } catch (error) {
      if (isCurrent()) this.#handleFailure(toTailnetError(error), 0);
    }
  }

  #handleConnected(connection: DerpConnection): void {
    const { regionId } = this.#region;
    const stream: DerpStream = new DerpStream({
      connection,
      onPacket: (slot, source) => this.#o.onPacket(regionId, slot, source),
      onEvent: (event) => this.#handleEvent(event),
      onLost: (error) => this.#handleLost(stream, error),
    });
    this.#failedAtMs.delete(connection.node.name);
    this.#failure = undefined;
    this.#log('info', 'Relay connected', { node: connection.node.name });
    this.#enterConnected(stream);
    // The home may have changed while the dial was under way.
    stream.setHome(this.#isHome);
    for (const { to, bytes } of this.#waiting) stream.send(to, bytes, 0, bytes.length);
    this.#waiting = [];
    stream.start();
    this.#o.onChange();
  }

  #enterConnected(stream: DerpStream): void {
    const idleTimer = this.#isHome ? undefined : setTimeout(() => this.#closeIfIdle(stream), IDLE_CLOSE_MS);
    this.#leave({ kind: 'connected', stream, idleTimer });
  }

  #closeIfIdle(stream: DerpStream): void {
    const leftMs = stream.lastSendAtMs + IDLE_CLOSE_MS - performance.now();
    if (leftMs > 0) {
      const idleTimer = setTimeout(() => this.#closeIfIdle(stream), leftMs);
      this.#leave({ kind: 'connected', stream, idleTimer });
      return;
    }
    this.#leave({ kind: 'idle' });
    void stream.close();
    this.#log('debug', 'Idle relay connection closed', {});
    this.#o.onChange();
  }

  #handleEvent(event: DerpEvent): void {
    if (event.kind === 'health') this.#logHealth(event.problem);
    if (event.kind !== 'restarting') return;
    this.#restartDelayMs = Math.min(event.reconnectInMs, RESTART_DELAY_MS_MAX);
    this.#log('info', 'Relay announces a restart', { reconnectInMs: event.reconnectInMs });
  }

  #handleLost(stream: DerpStream, error: TailnetError): void {
    if (this.#state.kind !== 'connected' || this.#state.stream !== stream) return;
    this.#lastWantedAtMs = Math.max(this.#lastWantedAtMs, stream.lastSendAtMs);
    this.#handleFailure(error, performance.now() - stream.connectedAtMs);
    this.#o.onChange();
  }

  #handleFailure(error: TailnetError, lastedMs: number): void {
    let delayMs = this.#delay.afterFailure(error.code, lastedMs);
    if (this.#restartDelayMs !== undefined) delayMs = this.#delay.jitter(this.#restartDelayMs);
    this.#restartDelayMs = undefined;
    this.#notBeforeMs = performance.now() + delayMs;
    // One warning per trouble, not one per attempt: a relay may be away for hours.
    const level = error.code === this.#failure?.code ? 'debug' : 'warn';
    this.#failure = error;
    this.#log(level, error.message, { code: error.code, retryInMs: Math.round(delayMs) });
    if (this.#isWanted()) this.#wait(delayMs);
    else {
      this.#waiting = [];
      this.#leave({ kind: 'idle' });
    }
  }

  /** Enters the next state and ends what belonged to the last, which is returned. */
  #leave(next: State): State {
    const last = this.#state;
    if (last.kind === 'waiting') clearTimeout(last.timer);
    if (last.kind === 'dialling' && next.kind !== 'connected')
      last.abort.abort(new Error('The dial is not wanted any more'));
    if (last.kind === 'connected') {
      clearTimeout(last.idleTimer);
      const isKept = next.kind === 'connected' && next.stream === last.stream;
      if (!isKept) addAll(this.#counters, last.stream.counters.snapshot());
    }
    this.#state = next;
    return last;
  }

  #nodesByPenalty(): DerpNode[] {
    const now = performance.now();
    const penalty = (node: DerpNode) => {
      const failedAtMs = this.#failedAtMs.get(node.name);
      return failedAtMs === undefined || now - failedAtMs > NODE_PENALTY_MS ? 0 : failedAtMs;
    };
    return this.#region.nodes.filter((node) => !node.isStunOnly).sort((a, b) => penalty(a) - penalty(b));
  }

  #noteNodeFailure(node: DerpNode, error: TailnetError): void {
    this.#failedAtMs.set(node.name, performance.now());
    this.#log('debug', error.message, { code: error.code, node: node.name });
  }

  #logHealth(problem: string): void {
    if (problem === '') this.#log('info', 'Relay is healthy again', {});
    else this.#log('warn', 'Relay reports a problem', { problem });
  }

  #log(level: LogLine['level'], message: string, fields: Record<string, string | number>): void {
    this.#o.log({ level, message, fields: { region: this.#region.regionId, ...fields } });
  }
}

function addAll(counters: Counters<string>, snapshot: Record<string, number>): void {
  for (const [name, count] of Object.entries(snapshot)) counters.add(name, count);
}

function discard(connection: DerpConnection): void {
  connection.client.close();
  connection.socket.destroy();
}

function toTailnetError(error: unknown): TailnetError {
  if (error instanceof TailnetError) return error;
  return new TailnetError('derp/unreachable', 'Dialling the relay failed', { isRetryable: true, cause: error });
}
