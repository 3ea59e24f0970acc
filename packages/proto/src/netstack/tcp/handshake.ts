import { TIMESTAMP_OPTION_BYTES } from './options.ts';
import { RECEIVE_WINDOW_INITIAL } from './receive-window.ts';
import { FLAG_ACK, FLAG_SYN, type Segment } from './segment.ts';
import { advance } from './sequence.ts';

/** Enough for 8 MiB (RFC 7323 §2.2). */
export const WINDOW_SHIFT = 7;
/** RFC 9293 §3.7.1, when the peer's SYN does not say. */
const MSS_DEFAULT_IPV4 = 536;
const MSS_DEFAULT_IPV6 = 1220;
/** A smaller one would drown the payload in headers. */
const MSS_MIN = 64;
const RETRY_MS = 1000;
const SYN_RETRIES = 6;
const SYN_ACK_RETRIES = 5;
/** IP and TCP header without options: the MSS option never counts those (RFC 6691). */
const HEADER_BYTES_IPV4 = 40;
const HEADER_BYTES_IPV6 = 60;

/** What a connection brings into its handshake. */
export interface HandshakeOptions {
  readonly family: 4 | 6;
  readonly mtuBytes: number;
  readonly initialSequence: number;
  readonly timestampOffset: number;
}

/**
 * The SYN exchange: our offer, the peer's, and the retries. Passive ends begin with {@link takeSyn}.
 * Lost SYNs are sent again after 1 s, doubled each time.
 */
export class Handshake {
  readonly #headerBytes: number;
  readonly #mss: number;
  readonly #mssDefault: number;
  #retriesLeft = 0;
  #retryMs: number = RETRY_MS;
  #sentAtMs = 0;
  #sentCount = 0;
  readonly initialSequence: number;
  readonly timestampOffset: number;
  /** IRS: sequence of the peer's SYN. */
  remoteSequence = 0;
  /** Largest payload with constant options taken off; what both MSS values allow. */
  segmentBytes = 0;
  /** Shift of the peer's window field, and of ours: both 0 unless both offered. */
  sendShift = 0;
  receiveShift = 0;
  hasSack = false;
  hasTimestamps = false;
  remoteTimestamp = 0;
  isSynDue = false;
  /** When to give up or send again, or infinity. */
  deadlineMs: number = Number.POSITIVE_INFINITY;

  constructor(options: HandshakeOptions) {
    this.#headerBytes = options.family === 4 ? HEADER_BYTES_IPV4 : HEADER_BYTES_IPV6;
    this.#mss = options.mtuBytes - this.#headerBytes;
    this.#mssDefault = options.family === 4 ? MSS_DEFAULT_IPV4 : MSS_DEFAULT_IPV6;
    this.initialSequence = options.initialSequence;
    this.timestampOffset = options.timestampOffset;
  }

  /** The SYN, or the answer to the peer's, is to be sent now and repeated until `stop`. */
  start(isAnswer: boolean): void {
    this.#retriesLeft = isAnswer ? SYN_ACK_RETRIES : SYN_RETRIES;
    this.isSynDue = true;
  }

  /** Takes the peer's offer from its SYN or SYN-ACK (RFC 9293 §3.7.1, RFC 7323 §1.3 and §2.2, RFC 2018 §2). */
  takeSyn(segment: Segment): void {
    const { options } = segment;
    this.remoteSequence = segment.sequence;
    this.hasSack = options.isSackPermitted;
    this.hasTimestamps = options.hasTimestamps;
    this.remoteTimestamp = options.hasTimestamps ? options.timestamp : 0;
    const isScaled = options.windowShift >= 0;
    this.sendShift = isScaled ? options.windowShift : 0;
    this.receiveShift = isScaled ? WINDOW_SHIFT : 0;
    const offered = options.mss === 0 ? this.#mssDefault : Math.max(MSS_MIN, options.mss);
    this.segmentBytes = Math.min(this.#mss, offered) - (this.hasTimestamps ? TIMESTAMP_OPTION_BYTES : 0);
  }

  /** Payload of a full segment on a path of `mtuBytes`. */
  segmentBytesFor(mtuBytes: number): number {
    const headers = this.#headerBytes + (this.hasTimestamps ? TIMESTAMP_OPTION_BYTES : 0);
    return Math.max(MSS_MIN, mtuBytes - headers);
  }

  /** Fills a SYN, or a SYN-ACK with the agreed options only. */
  fill(out: Segment, isAnswer: boolean, timestamp: number): void {
    out.sequence = this.initialSequence;
    out.acknowledgment = isAnswer ? advance(this.remoteSequence, 1) : 0;
    out.flags = isAnswer ? FLAG_SYN | FLAG_ACK : FLAG_SYN;
    out.window = RECEIVE_WINDOW_INITIAL;
    out.payloadLength = 0;
    const { options } = out;
    options.reset();
    options.mss = this.#mss;
    options.isSackPermitted = !isAnswer || this.hasSack;
    options.hasTimestamps = !isAnswer || this.hasTimestamps;
    options.timestamp = timestamp;
    options.timestampEcho = isAnswer ? this.remoteTimestamp : 0;
    options.windowShift = !isAnswer || this.receiveShift > 0 ? WINDOW_SHIFT : -1;
  }

  noteSent(nowMs: number): void {
    this.isSynDue = false;
    this.#sentCount++;
    this.#sentAtMs = nowMs;
    this.deadlineMs = nowMs + this.#retryMs;
  }

  /** The peer has not answered in time: false when the retries are used up. */
  handleTimeout(nowMs: number): boolean {
    if (nowMs < this.deadlineMs) return true;
    this.deadlineMs = Number.POSITIVE_INFINITY;
    if (this.#retriesLeft === 0) return false;
    this.#retriesLeft--;
    this.#retryMs *= 2;
    this.isSynDue = true;
    return true;
  }

  /** Our SYN was sent once: its answer gives a valid RTT sample (Karn). */
  get isRttValid(): boolean {
    return this.#sentCount === 1;
  }

  rttMs(nowMs: number): number {
    return nowMs - this.#sentAtMs;
  }
}
