import type { MessageError } from './messages.ts';
import type { TransportDrop } from './transport.ts';

/** Why a datagram or a packet went no further; docs/spec/wireguard.md#drops explains each. */
export type WireGuardDrop =
  | MessageError
  | TransportDrop
  | HandshakeDrop
  // Received transport messages.
  | 'unknown-session'
  | 'bad-inner-packet'
  // Packets to send.
  | 'bad-outbound-packet'
  | 'staging-full'
  | 'handshake-gave-up'
  | 'session-zeroed'
  | 'peer-removed'
  // Own limits.
  | 'no-slot'
  | 'event-queue-full';

/** Why a handshake message or a cookie reply was dropped. */
export type HandshakeDrop =
  | 'bad-mac1'
  | 'cookie-demanded'
  | 'rate-limited'
  | 'unauthentic-initiation'
  | 'unknown-peer'
  | 'replayed-initiation'
  | 'initiation-flood'
  | 'unexpected-response'
  | 'unauthentic-response'
  | 'unexpected-cookie'
  | 'unauthentic-cookie';
