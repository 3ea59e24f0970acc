import type { IpAddress } from '../ip/address.ts';
import { Fifo } from './fifo.ts';
import type { TcpCloseReason, TcpConnection } from './tcp/connection.ts';
import type { UdpPort } from './udp.ts';

/** What a stack tells its owner. Of one connection they come in this order. */
export type NetstackEvent =
  /** A deferred listener's SYN, to be accepted or rejected, or any other listener's finished handshake. */
  | { readonly kind: 'tcp-incoming'; readonly connection: TcpConnection }
  | { readonly kind: 'tcp-connected'; readonly connection: TcpConnection }
  /** Bytes have arrived since the last such event. */
  | { readonly kind: 'tcp-readable'; readonly connection: TcpConnection }
  /** There is room again after a short write. */
  | { readonly kind: 'tcp-writable'; readonly connection: TcpConnection }
  /** The peer's FIN: what is readable now is the rest. */
  | { readonly kind: 'tcp-remote-end'; readonly connection: TcpConnection }
  | { readonly kind: 'tcp-closed'; readonly connection: TcpConnection; readonly reason: TcpCloseReason }
  | { readonly kind: 'udp-readable'; readonly port: UdpPort }
  | {
      readonly kind: 'echo-reply';
      readonly remote: IpAddress;
      readonly identifier: number;
      readonly sequence: number;
      readonly payload: Uint8Array;
    };

/** Bits of {@link EventSource.pendingEvents}, the lowest delivered first. */
export const EVENT_INCOMING = 1;
export const EVENT_CONNECTED = 2;
export const EVENT_READABLE = 4;
export const EVENT_WRITABLE = 8;
export const EVENT_REMOTE_END = 16;
export const EVENT_CLOSED = 32;

/** A connection as the queue sees it. */
export interface EventSource extends TcpConnection {
  pendingEvents: number;
  readonly closeReason: TcpCloseReason;
}

/** Events that carry data wait here, and only so many; the rest is one bit per connection or one entry per port. */
export const ECHO_EVENTS_MAX = 64;

/** The events of a stack, coalesced: a connection or port is in the queue once, whatever happened to it. */
export class EventQueue {
  readonly #connections: Fifo<EventSource> = new Fifo<EventSource>();
  readonly #others: Fifo<NetstackEvent> = new Fifo<NetstackEvent>();

  get isEmpty(): boolean {
    return this.#connections.length === 0 && this.#others.length === 0;
  }

  raise(source: EventSource, event: number): void {
    if (source.pendingEvents === 0) this.#connections.push(source);
    source.pendingEvents |= event;
  }

  /** The port keeps itself from being queued twice. */
  raiseUdp(port: UdpPort): void {
    this.#others.push({ kind: 'udp-readable', port });
  }

  /** False when {@link ECHO_EVENTS_MAX} wait: the reply is dropped. */
  raiseEcho(event: NetstackEvent & { readonly kind: 'echo-reply' }): boolean {
    if (this.#others.length >= ECHO_EVENTS_MAX) return false;
    this.#others.push(event);
    return true;
  }

  poll(): NetstackEvent | undefined {
    const source = this.#connections.peek();
    if (source === undefined) return this.#others.shift();
    const event = source.pendingEvents & -source.pendingEvents;
    source.pendingEvents &= ~event;
    if (source.pendingEvents === 0) this.#connections.shift();
    return toEvent(source, event);
  }
}

function toEvent(connection: EventSource, event: number): NetstackEvent {
  switch (event) {
    case EVENT_INCOMING:
      return { kind: 'tcp-incoming', connection };
    case EVENT_CONNECTED:
      return { kind: 'tcp-connected', connection };
    case EVENT_READABLE:
      return { kind: 'tcp-readable', connection };
    case EVENT_WRITABLE:
      return { kind: 'tcp-writable', connection };
    case EVENT_REMOTE_END:
      return { kind: 'tcp-remote-end', connection };
    default:
      return { kind: 'tcp-closed', connection, reason: connection.closeReason };
  }
}
