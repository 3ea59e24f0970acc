import { DISCO_SENDER_OFFSET } from '../disco/disco-box.ts';
import { KeyMap } from '../keys/key-map.ts';
import type { DiscoPublicKey } from '../keys/public-key.ts';
import type { PeerPath } from './peer-path.ts';

/** A disco key and the peers that have it. */
export interface DiscoSender {
  readonly key: DiscoPublicKey;
  /** Never empty. Several nodes may share a key: one process that changed its user. */
  readonly paths: PeerPath[];
}

/** Finds the peers that may have sent a disco datagram. As large as the netmap. */
export class SenderTable {
  readonly #senders = new KeyMap<'disco', DiscoSender>();

  /** Finds the sender named in a datagram that has a whole header. */
  lookup(datagram: Uint8Array): DiscoSender | undefined {
    return this.#senders.lookup(datagram, DISCO_SENDER_OFFSET);
  }

  add(key: DiscoPublicKey, path: PeerPath): void {
    const sender = this.#senders.get(key);
    if (sender === undefined) this.#senders.set(key, { key, paths: [path] });
    else sender.paths.push(path);
  }

  /** Returns true when no peer has the key any more. */
  remove(key: DiscoPublicKey, path: PeerPath): boolean {
    const sender = this.#senders.get(key);
    const at = sender?.paths.indexOf(path) ?? -1;
    if (sender === undefined || at < 0) return false;
    sender.paths.splice(at, 1);
    return sender.paths.length === 0 && this.#senders.delete(key);
  }
}
