import type { ClientHttp2Stream } from 'node:http2';
import { MapFrameReader } from '@heddle/proto/control/map-frames';
import type { Netmap } from '@heddle/proto/control/netmap';
import { NetmapBuilder } from '@heddle/proto/control/netmap-builder';
import type { PingRequest } from '@heddle/proto/control/ping-request';
import { ControlError } from './control-error.ts';
import { decompressZstd } from './zstd.ts';

/** Longest wait that a Node.js timer can hold. */
const TIMER_MS_MAX = 2 ** 31 - 1;

export interface MapStreamOptions {
  readonly watchdogMs: number;
  readonly onNetmap: (netmap: Netmap) => void;
  readonly onPing: (ping: PingRequest) => void;
}

/**
 * Reads one long poll to its end: bytes to messages to netmaps. A chunk with several messages makes one netmap. State
 * lives for one stream only, as the protocol wants it.
 */
export class MapStream {
  readonly #options: MapStreamOptions;
  readonly #builder = new NetmapBuilder(Date.now);
  readonly #reader = new MapFrameReader(decompressZstd);
  #watchdog: NodeJS.Timeout | undefined;
  #expiryTimer: NodeJS.Timeout | undefined;
  #hasNetmap = false;
  #fail: (error: unknown) => void = () => undefined;

  constructor(options: MapStreamOptions) {
    this.#options = options;
  }

  /** Takes a paused stream. Returns never. @throws {ControlError} when the stream has ended, or what `onNetmap` threw. */
  async run(stream: ClientHttp2Stream): Promise<never> {
    try {
      await this.#read(stream);
    } finally {
      clearTimeout(this.#watchdog);
      clearTimeout(this.#expiryTimer);
      stream.destroy();
    }
    throw this.#endError();
  }

  #read(stream: ClientHttp2Stream): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#fail = reject;
      this.#feedWatchdog();
      stream.on('data', (chunk: Buffer) => this.#guard(() => this.#handleChunk(stream, chunk)));
      stream.on('end', resolve);
      stream.on('close', resolve);
      stream.on('error', reject);
      // A stream that broke before this will not tell it again.
      if (stream.destroyed) resolve();
      stream.resume();
    });
  }

  #guard(task: () => void): void {
    try {
      task();
    } catch (error) {
      this.#fail(error);
    }
  }

  #handleChunk(stream: ClientHttp2Stream, chunk: Buffer): void {
    this.#reader.handleBytes(chunk);
    let isChanged = false;
    let sleepMs = 0;
    for (let message = this.#reader.pollMessage(); message !== undefined; message = this.#reader.pollMessage()) {
      const update = this.#builder.apply(message);
      this.#feedWatchdog();
      isChanged ||= update.isChanged;
      sleepMs = Math.max(sleepMs, update.sleepMs);
      if (update.ping !== undefined) this.#options.onPing(update.ping);
    }
    if (this.#reader.failure !== undefined) throw damaged(this.#reader.failure);
    if (isChanged) this.#publish();
    if (sleepMs > 0) this.#pause(stream, sleepMs);
  }

  #publish(): void {
    const netmap = this.#builder.build();
    if (netmap === undefined) throw damaged('the first message has no usable node');
    this.#hasNetmap = true;
    clearTimeout(this.#expiryTimer);
    const next = this.#builder.nextExpiryUnixMs();
    if (next !== undefined) {
      const waitMs = Math.min(Math.max(next - Date.now(), 0) + 1, TIMER_MS_MAX);
      this.#expiryTimer = setTimeout(() => this.#guard(() => this.#expire()), waitMs);
    }
    this.#options.onNetmap(netmap);
  }

  #expire(): void {
    this.#builder.handleTimeout();
    this.#publish();
  }

  /** The server wants to be left alone: nothing is read, and its silence is no reason to end. */
  #pause(stream: ClientHttp2Stream, sleepMs: number): void {
    stream.pause();
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => {
      stream.resume();
      this.#feedWatchdog();
    }, sleepMs);
  }

  #feedWatchdog(): void {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => {
      this.#fail(new ControlError('control/timeout', 'The server has been silent for too long', { isRetryable: true }));
    }, this.#options.watchdogMs);
  }

  #endError(): ControlError {
    if (this.#reader.isMidFrame) return damaged('it ended inside a message');
    // Headscale before 0.29 reports its own failures as an empty stream, and a node deleted meanwhile as an end.
    const code = this.#hasNetmap ? 'control/stream-ended' : 'control/unknown-node';
    const message = this.#hasNetmap ? 'The server ended the map stream' : 'The server ended the map stream at once';
    return new ControlError(code, message, { isRetryable: true });
  }
}

function damaged(reason: string): ControlError {
  return new ControlError('control/stream-damaged', `The map stream is damaged: ${reason}`, { isRetryable: true });
}
