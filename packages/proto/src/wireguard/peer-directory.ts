import type { NodePublicKey } from '../keys/public-key.ts';

/**
 * Who may speak WireGuard with this node: the netmap's view, asked at every handshake. Its size bounds the peers that
 * a `WireGuard` keeps.
 */
export interface PeerDirectory {
  /** Handle of the peer whose node key is the 32 bytes at offset, or -1. Expired and unknown peers are -1. */
  lookup(bytes: Uint8Array, offset: number): number;
  publicKey(handle: number): NodePublicKey | undefined;
  /** 32 bytes mixed into the handshake; absent or `undefined` is none. Asked when the peer is first used. */
  presharedKey?(handle: number): Uint8Array | undefined;
  /** Milliseconds between unasked keepalives; absent or 0 is never, which is what a tailnet uses. */
  persistentKeepaliveMs?(handle: number): number;
}
