import type { Socket } from 'node:net';
import type { DerpClient, DerpEvent } from '@heddle/proto/derp/derp-client';
import type { NodePublicKey } from '@heddle/proto/keys/public-key';
import { TailnetError } from '../tailnet-error.ts';
import type { DerpConnection } from './dial-derp.ts';

/** Bytes that wait in the socket; beyond it the newest packet is dropped, as a full link would. */
export const WRITE_QUEUE_BYTES_MAX = 0x100000;

export interface DerpStreamOptions {
  readonly connection: DerpConnection;
  /** Takes the slot; the source is only borrowed. */
  readonly onPacket: (slot: number, source: Uint8Array) => void;
  readonly onEvent: (event: DerpEvent) => void;
  /** Once, when the stream ended by itself; not after {@link DerpStream.close}. */
  readonly onLost: (error: TailnetError) => void;
}

/**
 * One logged-in connection: its socket, its machine and its timer.
 *
 * Reading never pauses: a relay disconnects a client that does not read for 2 s, so whoever cannot take packets drops
 * them. Writing: frames of one turn of the event loop leave in one write.
 */
export class DerpStream {
  readonly connectedAtMs: number = performance.now();
  #lastSendAtMs = performance.now();
  readonly #o: DerpStreamOptions;
  readonly #socket: Socket;
  readonly #client: DerpClient;
  #state: 'open' | 'lost' | 'closed' = 'open';
  #isFlushPlanned = false;
  #timer: NodeJS.Timeout | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;

  constructor(o: DerpStreamOptions) {
    this.#o = o;
    this.#socket = o.connection.socket;
    this.#client = o.connection.client;
  }

  /** When something was last sent, on the clock of `performance.now()`. */
  get lastSendAtMs(): number {
    return this.#lastSendAtMs;
  }

  get counters(): DerpClient['counters'] {
    return this.#client.counters;
  }

  /** Begins to read; events and packets may come before this returns. */
  start(): void {
    const socket = this.#socket;
    socket.on('data', (chunk) => this.#handleData(chunk));
    socket.on('error', (error) => this.#lose('ended', error));
    socket.on('close', () => this.#lose('was closed by the relay', undefined));
    socket.resume();
    if (socket.destroyed) this.#lose('was closed by the relay', undefined);
    else this.#pump();
  }

  /** Queues a packet, copying it. False when it was dropped. */
  send(to: NodePublicKey, bytes: Uint8Array, offset: number, length: number): boolean {
    this.#lastSendAtMs = performance.now();
    if (this.#socket.writableLength > WRITE_QUEUE_BYTES_MAX) {
      this.#client.counters.add('derp-tx-queue-full');
      return false;
    }
    const isSent = this.#client.sendPacket(to, bytes, offset, length);
    this.#planFlush();
    return isSent;
  }

  setHome(isHome: boolean): void {
    this.#client.setHome(isHome);
    this.#lastSendAtMs = performance.now();
    this.#planFlush();
  }

  /** Asks the relay for a sign of life; without one in 3 s the stream is lost. */
  probe(): void {
    this.#client.probe(performance.now());
    this.#planFlush();
  }

  /** Resolves when the socket is closed. */
  async close(): Promise<void> {
    this.#release('closed');
    if (this.#socket.closed) return;
    await new Promise<void>((resolve) => {
      this.#socket.once('close', () => resolve());
      this.#socket.destroy();
    });
  }

  #handleData(chunk: Uint8Array): void {
    if (this.#state !== 'open') return;
    this.#client.handleBytes(chunk, performance.now());
    this.#pump();
  }

  #pump(): void {
    const client = this.#client;
    for (let slot = client.pollPacket(); slot >= 0; slot = client.pollPacket()) {
      this.#o.onPacket(slot, client.packetSource);
    }
    for (let event = client.pollEvent(); event !== undefined; event = client.pollEvent()) {
      if (event.kind === 'failed') this.#lose(`failed: ${event.reason}`, undefined);
      else this.#o.onEvent(event);
    }
    if (this.#state !== 'open') return;
    this.#flush();
    this.#arm();
  }

  /** A microtask runs when the caller's turn is over, so that everything it sends is in the same write. */
  #planFlush(): void {
    if (this.#isFlushPlanned) return;
    this.#isFlushPlanned = true;
    queueMicrotask(() => {
      this.#isFlushPlanned = false;
      if (this.#state === 'open') this.#flush();
      if (this.#state === 'open') this.#arm();
    });
  }

  #flush(): void {
    const first = this.#client.pollTransmit();
    if (first === undefined) return;
    const socket = this.#socket;
    socket.cork();
    for (let bytes: Uint8Array | undefined = first; bytes !== undefined; bytes = this.#client.pollTransmit()) {
      socket.write(bytes);
    }
    socket.uncork();
  }

  /** Every frame moves the watchdog: the timer is only moved to an earlier time, and checked when it fires. */
  #arm(): void {
    const wake = this.#client.pollTimeout();
    if (wake === undefined || wake.atMs >= this.#timerAtMs) return;
    clearTimeout(this.#timer);
    this.#timerAtMs = wake.atMs;
    this.#timer = setTimeout(() => this.#handleTimer(), Math.max(0, wake.atMs - performance.now()));
  }

  #handleTimer(): void {
    this.#timerAtMs = Number.POSITIVE_INFINITY;
    this.#client.handleTimeout(performance.now());
    this.#pump();
  }

  #lose(what: string, cause: unknown): void {
    if (this.#state !== 'open') return;
    this.#release('lost');
    this.#socket.destroy();
    const host = this.#o.connection.node.hostName;
    const message = `Connection to relay "${host}" ${what}`;
    this.#o.onLost(new TailnetError('derp/lost', message, { isRetryable: true, cause }));
  }

  #release(state: 'lost' | 'closed'): void {
    if (this.#state === 'open') this.#client.close();
    this.#state = state;
    clearTimeout(this.#timer);
  }
}
