import type { Endpoint } from '../../ip/endpoint.ts';

/** Why a connection has ended. */
export type TcpCloseReason =
  | 'finished'
  | 'reset'
  | 'refused'
  | 'timeout'
  | 'unreachable'
  | 'aborted'
  | 'address-removed';

/**
 * A TCP connection as its application sees it. What happens to it arrives as events of the stack; a method called after
 * the end does nothing, apart from `read`, which still hands out what had arrived when the end was `'finished'`.
 */
export interface TcpConnection {
  /** Unique within the stack. */
  readonly id: number;
  readonly local: Endpoint;
  readonly remote: Endpoint;
  /** Bytes that `read` would move now. */
  readonly readableBytes: number;
  /** Bytes that `write` would take now; 0 before the handshake is done and after `shutdown`. */
  readonly writableBytes: number;
  /** Answers the SYN of an incoming connection of a deferred listener; 'tcp-connected' follows. */
  accept(nowMs: number): void;
  /** Refuses it with a RST. */
  reject(nowMs: number): void;
  /** Copies what fits and returns how much. After a short write 'tcp-writable' tells when there is room. */
  write(data: Uint8Array, nowMs: number): number;
  /** Moves at most `out.length` bytes out, returns how many, and opens the window. */
  read(out: Uint8Array, nowMs: number): number;
  /** Sends a FIN behind the queued data; reading goes on until the peer's FIN. */
  shutdown(nowMs: number): void;
  /** Ends the connection with a RST; both queues are lost. 'tcp-closed' follows with reason `'aborted'`. */
  abort(nowMs: number): void;
  /** True sends small segments at once; false (the default) holds one back while another is unacknowledged. */
  setNoDelay(isOn: boolean): void;
  /** Probes a silent peer after a minute, then each 15 s; after five without an answer the connection times out. */
  setKeepAlive(isOn: boolean, nowMs: number): void;
  /** The application's own; the stack never looks at it. */
  userData: unknown;
}
