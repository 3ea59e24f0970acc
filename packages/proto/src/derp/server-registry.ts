import { KeyMap } from '../keys/key-map.ts';
import type { NodePublicKey } from '../keys/public-key.ts';

/** Peers that one key has sent to and that must hear when it leaves. Full: further ones do not hear it. */
const DESTINATIONS_MAX = 4096;

/** What is known about one node key while at least one of its connections is open. */
export interface RegistryEntry<C> {
  readonly key: NodePublicKey;
  /** The last one receives: the newest login, until another one sends a frame. */
  readonly connections: C[];
  readonly destinations: Set<RegistryEntry<C>>;
}

/**
 * Finds the connection that receives for a node key. The same key may be connected several times (a cloned state
 * folder): then whoever spoke last receives (docs/spec/derp.md#server).
 */
export class ServerRegistry<C> {
  readonly #entries = new KeyMap<'node', RegistryEntry<C>>();

  add(key: NodePublicKey, connection: C): RegistryEntry<C> {
    const known = this.#entries.get(key);
    if (known !== undefined) {
      known.connections.push(connection);
      return known;
    }
    const entry = { key, connections: [connection], destinations: new Set<RegistryEntry<C>>() };
    this.#entries.set(key, entry);
    return entry;
  }

  /** The entry of the 32 bytes at `offset`, or `undefined`. */
  lookup(bytes: Uint8Array, offset: number): RegistryEntry<C> | undefined {
    return this.#entries.lookup(bytes, offset);
  }

  /** Makes a connection that has just spoken the receiving one. */
  noteSpoke(entry: RegistryEntry<C>, connection: C): void {
    if (entry.connections.at(-1) === connection) return;
    entry.connections.splice(entry.connections.indexOf(connection), 1);
    entry.connections.push(connection);
  }

  noteSent(from: RegistryEntry<C>, to: RegistryEntry<C>): void {
    if (from !== to && from.destinations.size < DESTINATIONS_MAX) from.destinations.add(to);
  }

  /** Removes a connection; when it was the key's last, returns who must be told that the key has left. */
  remove(entry: RegistryEntry<C>, connection: C): readonly RegistryEntry<C>[] {
    entry.connections.splice(entry.connections.indexOf(connection), 1);
    if (entry.connections.length > 0) return [];
    this.#entries.delete(entry.key);
    for (const other of this.#entries.values()) other.destinations.delete(entry);
    return [...entry.destinations];
  }
}
