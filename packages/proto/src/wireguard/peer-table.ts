import type { CryptoProvider } from '../crypto/provider.ts';
import type { NodePublicKey } from '../keys/public-key.ts';
import type { IndexTable } from './index-table.ts';
import type { Noise } from './noise.ts';
import { type IndexOwner, Peer } from './peer.ts';
import type { PeerDirectory } from './peer-directory.ts';

const NO_PRESHARED_KEY = new Uint8Array(32);

/**
 * The peers in use, by handle, made on demand: by the first packet for one, or by an authentic initiation from one.
 * Bounded by the directory: only its peers get in, and the owner removes who leaves it.
 */
export class PeerTable {
  readonly #crypto: CryptoProvider;
  readonly #noise: Noise;
  readonly #directory: PeerDirectory;
  readonly #indices: IndexTable<IndexOwner>;
  readonly #peers = new Map<number, Peer>();

  constructor(crypto: CryptoProvider, noise: Noise, directory: PeerDirectory, indices: IndexTable<IndexOwner>) {
    this.#crypto = crypto;
    this.#noise = noise;
    this.#directory = directory;
    this.#indices = indices;
  }

  get(handle: number): Peer | undefined {
    return this.#peers.get(handle);
  }

  /** True while the directory still lists the peer under its key, unexpired. */
  isListed(peer: Peer): boolean {
    return this.#directory.lookup(peer.publicKey, 0) === peer.handle;
  }

  /** Finds or makes the peer; `undefined` when the directory has no key for the handle, or a low-order one. */
  obtain(handle: number, nowMs: number): Peer | undefined {
    const known = this.#peers.get(handle);
    if (known !== undefined) return known;
    const publicKey = this.#directory.publicKey(handle);
    const staticShared = publicKey && this.#noise.shareWith(publicKey);
    return publicKey && staticShared && this.add(handle, publicKey, staticShared, nowMs);
  }

  add(handle: number, publicKey: NodePublicKey, staticShared: Uint8Array, nowMs: number): Peer {
    const peer = new Peer(this.#crypto, this.#indices, {
      handle,
      publicKey,
      staticShared,
      presharedKey: this.#directory.presharedKey?.(handle) ?? NO_PRESHARED_KEY,
      persistentKeepaliveMs: this.#directory.persistentKeepaliveMs?.(handle) ?? 0,
      nowMs,
    });
    this.#peers.set(handle, peer);
    return peer;
  }

  delete(handle: number): void {
    this.#peers.delete(handle);
  }
}
