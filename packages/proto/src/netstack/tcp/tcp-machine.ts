import type { Endpoint } from '../../ip/endpoint.ts';
import {
  EVENT_CLOSED,
  EVENT_CONNECTED,
  EVENT_INCOMING,
  EVENT_READABLE,
  EVENT_REMOTE_END,
  EVENT_WRITABLE,
  type EventSource,
} from '../events.ts';
import type { TcpCloseReason } from './connection.ts';
import type { Flow } from './flow.ts';
import type { Handshake } from './handshake.ts';
import { FLAG_ACK, FLAG_RST, FLAG_SYN, type Segment } from './segment.ts';
import { advance, isAfter, isBefore } from './sequence.ts';
import { NO_SLOT, NOTHING_TO_SEND, Stream, type StreamHost } from './stream.ts';
import type { Timed } from './timer-heap.ts';

/** RFC 9293 §3.6.1 with an MSL of 15 s. */
const TIME_WAIT_MS = 30_000;
/** An incoming connection that nobody accepts or rejects is refused. */
const DEFERRED_MS = 60_000;

/** The states of RFC 9293 §3.3.2; `deferred` is a connection of LISTEN that waits for `accept`. */
export type TcpState =
  | 'deferred'
  | 'syn-sent'
  | 'syn-received'
  | 'established'
  | 'fin-wait-1'
  | 'fin-wait-2'
  | 'close-wait'
  | 'closing'
  | 'last-ack'
  | 'time-wait'
  | 'closed';

/** What a connection needs from the stack around it. */
export interface TcpHost extends StreamHost {
  /** It may have something to send, or an earlier deadline. */
  touch(machine: TcpMachine): void;
  raise(machine: TcpMachine, event: number): void;
  /** The state has changed: tables that count states follow it, and drop what is closed. */
  noteState(machine: TcpMachine, from: TcpState): void;
  /** Answers a segment that fits no connection with the RST of RFC 9293 §3.5.2. */
  refuse(flow: Flow, segment: Segment): void;
}

/**
 * One TCP connection (RFC 9293 §3.10). The state chart is figure 5 of that RFC, with `deferred` before SYN-RECEIVED;
 * FIN-WAIT-1 and LAST-ACK begin when the application ends the stream, though the FIN may still wait for a window.
 *
 * Invariants: `#stream` exists from ESTABLISHED on; the state changes in `#enter` only; once `closed` no table of the
 * stack holds the machine, and only a RST it owes keeps it ready.
 * Errors: a peer's bad segment is counted and answered as the RFC says; nothing here throws.
 */
export class TcpMachine implements EventSource, Timed {
  readonly #host: TcpHost;
  readonly #handshake: Handshake;
  #stream: Stream | undefined = undefined;
  #state: TcpState = 'closed';
  /** The application knows it: it asked for it, or an event told. */
  #isAnnounced: boolean;
  #isShutdownEarly = false;
  #isNoDelay = false;
  #isKeptAlive = false;
  #isWriteShort = false;
  #isResetDue = false;
  #waitUntilMs: number = Number.POSITIVE_INFINITY;
  readonly id: number;
  readonly flow: Flow;
  /** The peer began it. */
  readonly isPassive: boolean;
  closeReason: TcpCloseReason = 'finished';
  userData: unknown = undefined;
  // Each of these belongs to the table of the stack that it links.
  pendingEvents = 0;
  heapIndex = -1;
  armedAtMs = 0;
  isReady = false;
  nextInBucket: TcpMachine | undefined = undefined;

  constructor(host: TcpHost, options: { id: number; flow: Flow; handshake: Handshake; isPassive: boolean }) {
    this.#host = host;
    this.#handshake = options.handshake;
    this.isPassive = options.isPassive;
    this.#isAnnounced = !options.isPassive;
    this.id = options.id;
    this.flow = options.flow;
  }

  get state(): TcpState {
    return this.#state;
  }

  get local(): Endpoint {
    return this.flow.local;
  }

  get remote(): Endpoint {
    return this.flow.remote;
  }

  get readableBytes(): number {
    return this.#stream?.receiver.readableBytes ?? 0;
  }

  get writableBytes(): number {
    return this.#mayWrite ? (this.#stream?.sender.writableBytes ?? 0) : 0;
  }

  /** Text is missing, and what came behind it has not been reported yet. */
  get isAckUrgent(): boolean {
    const receiver = this.#stream?.receiver;
    return receiver?.isAckOwed === true && receiver.hasBlocks;
  }

  /** The next time `handleTimeout` has something to do, infinity for never. */
  get deadlineMs(): number {
    if (this.#state === 'closed') return Number.POSITIVE_INFINITY;
    const streamAtMs = this.#stream === undefined ? this.#handshake.deadlineMs : this.#stream.deadlineMs;
    return Math.min(streamAtMs, this.#waitUntilMs);
  }

  /** Sends the first SYN. */
  connect(): void {
    this.#handshake.start(false);
    this.#enter('syn-sent');
  }

  /** Takes the SYN a listener got; answers now, or after `accept` when deferred. */
  listen(segment: Segment, isDeferred: boolean, nowMs: number): void {
    this.#handshake.takeSyn(segment);
    if (!isDeferred) {
      this.#handshake.start(true);
      this.#enter('syn-received');
      return;
    }
    this.#waitUntilMs = nowMs + DEFERRED_MS;
    this.#enter('deferred');
    this.#isAnnounced = true;
    this.#host.raise(this, EVENT_INCOMING);
  }

  accept(_nowMs: number): void {
    if (this.#state !== 'deferred') return;
    this.#waitUntilMs = Number.POSITIVE_INFINITY;
    this.#handshake.start(true);
    this.#enter('syn-received');
  }

  reject(_nowMs: number): void {
    if (this.#state !== 'deferred') return;
    this.#isResetDue = true;
    this.#close('aborted');
  }

  write(data: Uint8Array, _nowMs: number): number {
    const stream = this.#stream;
    if (stream === undefined || !this.#mayWrite) return 0;
    const length = stream.sender.write(data);
    this.#isWriteShort = length < data.length;
    if (length > 0) this.#host.touch(this);
    return length;
  }

  read(out: Uint8Array, nowMs: number): number {
    const stream = this.#stream;
    if (stream === undefined) return 0;
    const length = stream.receiver.read(out, nowMs, stream.smoothedRttMs);
    if (this.#state === 'closed' || this.#state === 'time-wait') stream.receiver.release(false);
    else if (stream.receiver.isAckOwed) this.#host.touch(this);
    return length;
  }

  shutdown(nowMs: number): void {
    switch (this.#state) {
      case 'deferred':
        this.reject(nowMs);
        return;
      case 'syn-sent':
      case 'syn-received':
        this.#isShutdownEarly = true;
        return;
      case 'established':
        this.#finish('fin-wait-1');
        return;
      case 'close-wait':
        this.#finish('last-ack');
        return;
      case 'fin-wait-1':
      case 'fin-wait-2':
      case 'closing':
      case 'last-ack':
      case 'time-wait':
      case 'closed':
        return;
    }
  }

  abort(_nowMs: number): void {
    if (this.#state === 'closed') return;
    // The peer of a SYN-SENT has nothing to reset, and a TIME-WAIT is over for the application.
    this.#isResetDue = this.#state !== 'syn-sent' && this.#state !== 'time-wait';
    this.#close('aborted');
  }

  setNoDelay(isOn: boolean): void {
    this.#isNoDelay = isOn;
    if (this.#stream === undefined) return;
    this.#stream.sender.isNoDelay = isOn;
    this.#host.touch(this);
  }

  setKeepAlive(isOn: boolean, nowMs: number): void {
    this.#isKeptAlive = isOn;
    if (this.#stream === undefined) return;
    this.#stream.keepAlive.set(isOn, nowMs);
    this.#host.touch(this);
  }

  /** Processes a segment of this flow whose checksum is right. */
  handleSegment(segment: Segment, nowMs: number): void {
    switch (this.#state) {
      case 'deferred':
        this.#handleDeferred(segment);
        break;
      case 'syn-sent':
        this.#handleSynSent(segment, nowMs);
        break;
      case 'syn-received':
        this.#handleSynReceived(segment, nowMs);
        break;
      case 'time-wait':
        // RFC 1337: a RST must not end the wait.
        if ((segment.flags & FLAG_RST) === 0 && this.#stream !== undefined) {
          this.#stream.handleSegment(segment, nowMs);
          if (this.#stream.receiver.isAckOwed) this.#waitUntilMs = nowMs + TIME_WAIT_MS;
        }
        break;
      case 'closed':
        return;
      default:
        if (this.#stream !== undefined) this.#handleSynchronized(this.#stream, segment, nowMs);
    }
    this.#host.touch(this);
  }

  /** RFC 6191 §2, RFC 9293 §3.6.1: this SYN is newer than the connection that TIME-WAIT remembers. */
  mayReopen(segment: Segment): boolean {
    const receiver = this.#stream?.receiver;
    if (this.#state !== 'time-wait' || receiver === undefined) return false;
    if ((segment.flags & (FLAG_SYN | FLAG_ACK | FLAG_RST)) !== FLAG_SYN) return false;
    const isTimed = this.#handshake.hasTimestamps && segment.options.hasTimestamps;
    if (isTimed && segment.options.timestamp !== receiver.recentTimestamp) {
      return isAfter(segment.options.timestamp, receiver.recentTimestamp);
    }
    return isAfter(segment.sequence, receiver.next);
  }

  /** Ends TIME-WAIT early: a newer connection needs the 4-tuple, or the table is full. */
  expire(): void {
    if (this.#state === 'time-wait') this.#close('finished');
  }

  /** Builds its next packet: a slot, {@link NOTHING_TO_SEND} or {@link NO_SLOT}. */
  buildNext(nowMs: number): number {
    switch (this.#state) {
      case 'deferred':
        return NOTHING_TO_SEND;
      case 'syn-sent':
        return this.#handshake.isSynDue ? this.#buildSyn(false, nowMs) : NOTHING_TO_SEND;
      case 'syn-received':
        return this.#handshake.isSynDue ? this.#buildSyn(true, nowMs) : NOTHING_TO_SEND;
      case 'closed':
        return this.#isResetDue ? this.#buildReset() : NOTHING_TO_SEND;
      default:
        return this.#stream === undefined ? NOTHING_TO_SEND : this.#stream.build(this.flow, nowMs);
    }
  }

  handleTimeout(nowMs: number): void {
    if (nowMs >= this.#waitUntilMs) {
      this.#waitUntilMs = Number.POSITIVE_INFINITY;
      this.#isResetDue = this.#state === 'deferred';
      this.#close(this.#state === 'deferred' ? 'timeout' : 'finished');
      return;
    }
    const isAlive =
      this.#stream === undefined ? this.#handshake.handleTimeout(nowMs) : this.#stream.handleTimeout(nowMs);
    if (isAlive) return;
    this.#isResetDue = this.#stream !== undefined;
    this.#close('timeout');
  }

  /** The local address is gone: nothing can be sent from it any more. */
  handleAddressRemoved(): void {
    if (this.#state !== 'closed') this.#close('address-removed');
  }

  /** An ICMP error about a segment in flight: final only while connecting (RFC 5461 §4). */
  handleUnreachable(quotedSequence: number, isPort: boolean): void {
    if (this.#state !== 'syn-sent' || quotedSequence !== this.#handshake.initialSequence) return;
    this.#close(isPort ? 'refused' : 'unreachable');
  }

  /** The path takes at most `segmentBytes` of payload; believed only for a sequence in flight (RFC 5927 §4). */
  handleSmallerPath(quotedSequence: number, mtuBytes: number): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    const { sender } = stream;
    if (isBefore(quotedSequence, sender.una) || !isBefore(quotedSequence, sender.nxt)) return;
    const segmentBytes = this.#handshake.segmentBytesFor(mtuBytes);
    if (segmentBytes < sender.segmentBytes) sender.setSegmentBytes(segmentBytes);
    this.#host.touch(this);
  }

  get #mayWrite(): boolean {
    return this.#state === 'established' || this.#state === 'close-wait';
  }

  #handleDeferred(segment: Segment): void {
    const isReset = (segment.flags & FLAG_RST) !== 0;
    if (isReset && segment.sequence === advance(this.#handshake.remoteSequence, 1)) this.#close('reset');
  }

  /** RFC 9293 §3.10.7.3. */
  #handleSynSent(segment: Segment, nowMs: number): void {
    const handshake = this.#handshake;
    const hasAck = (segment.flags & FLAG_ACK) !== 0;
    const isReset = (segment.flags & FLAG_RST) !== 0;
    const isAnswer = hasAck && segment.acknowledgment === advance(handshake.initialSequence, 1);
    if (hasAck && !isAnswer) {
      this.#host.count('tcp-bad-ack');
      if (!isReset) this.#host.refuse(this.flow, segment);
      return;
    }
    if (isReset) {
      if (hasAck) this.#close('refused');
      return;
    }
    if ((segment.flags & FLAG_SYN) === 0) return;
    handshake.takeSyn(segment);
    if (isAnswer) {
      this.#establish(segment, nowMs);
      this.#stream?.receiver.oweAck();
    } else {
      handshake.start(true);
      this.#enter('syn-received');
    }
  }

  #handleSynReceived(segment: Segment, nowMs: number): void {
    const handshake = this.#handshake;
    const next = advance(handshake.remoteSequence, 1);
    if ((segment.flags & FLAG_RST) !== 0) {
      if (segment.sequence === next) this.#close(this.isPassive ? 'reset' : 'refused');
      return;
    }
    const isSyn = (segment.flags & FLAG_SYN) !== 0;
    if (isSyn && segment.sequence === handshake.remoteSequence && (segment.flags & FLAG_ACK) === 0) {
      handshake.isSynDue = true;
      return;
    }
    if ((segment.flags & FLAG_ACK) === 0) return;
    if (segment.acknowledgment !== advance(handshake.initialSequence, 1)) {
      this.#host.count('tcp-bad-ack');
      this.#host.refuse(this.flow, segment);
      return;
    }
    this.#establish(segment, nowMs);
    // A SYN-ACK ends a simultaneous open: there is no text in it, and it must not look like a new SYN.
    if (!isSyn && this.#stream !== undefined) this.#handleSynchronized(this.#stream, segment, nowMs);
  }

  #establish(segment: Segment, nowMs: number): void {
    const stream = new Stream(this.#host, this.#handshake, segment, nowMs);
    stream.sender.isNoDelay = this.#isNoDelay;
    if (this.#isKeptAlive) stream.keepAlive.set(true, nowMs);
    this.#stream = stream;
    this.#enter('established');
    this.#host.raise(this, this.#isAnnounced ? EVENT_CONNECTED : EVENT_INCOMING);
    this.#isAnnounced = true;
    if (this.#isShutdownEarly) this.shutdown(nowMs);
  }

  #handleSynchronized(stream: Stream, segment: Segment, nowMs: number): void {
    const { sender, receiver } = stream;
    const next = receiver.next;
    const wasFinished = receiver.isFinished;
    const fate = stream.handleSegment(segment, nowMs);
    if (fate === 'reset') {
      this.#close('reset');
      return;
    }
    if (fate === 'dropped') return;
    const finBytes = receiver.isFinished && !wasFinished ? 1 : 0;
    if (receiver.next !== advance(next, finBytes)) this.#host.raise(this, EVENT_READABLE);
    if (finBytes > 0) this.#host.raise(this, EVENT_REMOTE_END);
    if (sender.isFinAcknowledged) this.#onFinAcknowledged(nowMs);
    if (finBytes > 0) this.#onRemoteFin(nowMs);
    if (this.#isWriteShort && 2 * sender.writableBytes >= sender.queuedBytes && this.#mayWrite) {
      this.#isWriteShort = false;
      this.#host.raise(this, EVENT_WRITABLE);
    }
  }

  #onFinAcknowledged(nowMs: number): void {
    if (this.#state === 'fin-wait-1') this.#enter('fin-wait-2');
    else if (this.#state === 'closing') this.#wait(nowMs);
    else if (this.#state === 'last-ack') this.#close('finished');
  }

  #onRemoteFin(nowMs: number): void {
    if (this.#state === 'established') this.#enter('close-wait');
    else if (this.#state === 'fin-wait-1') this.#enter('closing');
    else if (this.#state === 'fin-wait-2') this.#wait(nowMs);
  }

  #finish(state: 'fin-wait-1' | 'last-ack'): void {
    this.#stream?.sender.finish();
    this.#enter(state);
  }

  /** TIME-WAIT: for the application the connection is over. */
  #wait(nowMs: number): void {
    this.#waitUntilMs = nowMs + TIME_WAIT_MS;
    this.#stream?.keepAlive.set(false, nowMs);
    this.#stream?.release(false);
    this.#enter('time-wait');
    this.#host.raise(this, EVENT_CLOSED);
  }

  #close(reason: TcpCloseReason): void {
    const wasWaiting = this.#state === 'time-wait';
    this.closeReason = reason;
    this.#waitUntilMs = Number.POSITIVE_INFINITY;
    if (!wasWaiting) this.#stream?.release(reason !== 'finished');
    this.#enter('closed');
    if (this.#isAnnounced && !wasWaiting) this.#host.raise(this, EVENT_CLOSED);
  }

  #enter(state: TcpState): void {
    const from = this.#state;
    this.#state = state;
    this.#host.noteState(this, from);
    this.#host.touch(this);
  }

  #buildSyn(isAnswer: boolean, nowMs: number): number {
    const out = this.#host.outgoing;
    const timestamp = (Math.floor(nowMs) + this.#handshake.timestampOffset) | 0;
    this.#handshake.fill(out, isAnswer, timestamp);
    const slot = this.#host.writer.write(this.flow, out, undefined);
    if (slot < 0) return NO_SLOT;
    this.#handshake.noteSent(nowMs);
    return slot;
  }

  /** RFC 9293 §3.10.5. */
  #buildReset(): number {
    const out = this.#host.outgoing;
    const stream = this.#stream;
    out.sequence = stream === undefined ? advance(this.#handshake.initialSequence, 1) : stream.sender.nxt;
    out.acknowledgment = stream === undefined ? advance(this.#handshake.remoteSequence, 1) : stream.receiver.next;
    out.flags = FLAG_RST | FLAG_ACK;
    out.window = 0;
    out.payloadLength = 0;
    out.options.reset();
    const slot = this.#host.writer.write(this.flow, out, undefined);
    if (slot < 0) return NO_SLOT;
    this.#isResetDue = false;
    return slot;
  }
}
