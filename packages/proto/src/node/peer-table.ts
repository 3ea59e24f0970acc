import { isEqualBytes } from '../bytes/equal.ts';
import type { Netmap, NetmapNode } from '../control/netmap.ts';
import { KeyMap } from '../keys/key-map.ts';
import type { NodePublicKey } from '../keys/public-key.ts';
import type { PeerDirectory } from '../wireguard/peer-directory.ts';

/** What changed for one peer between two netmaps. */
export type PeerChange =
  | { readonly kind: 'added'; readonly handle: number; readonly node: NetmapNode }
  | { readonly kind: 'updated'; readonly handle: number; readonly node: NetmapNode; readonly isRestarted: boolean }
  | { readonly kind: 'removed'; readonly handle: number };

/**
 * Gives every peer of the netmap a small integer, its handle, for as long as node id and node key stay the same.
 *
 * A handle is used again only after its peer was removed. A peer whose key expired keeps its entry for display but has
 * no handle, so no handshake is answered and nothing is sent to it.
 */
export class PeerTable implements PeerDirectory {
  readonly #byKey = new KeyMap<'node', number>();
  readonly #byId = new Map<number, number>();
  readonly #nodes: (NetmapNode | undefined)[] = [];
  readonly #free: number[] = [];

  get size(): number {
    return this.#byId.size;
  }

  lookup(bytes: Uint8Array, offset: number): number {
    return this.#byKey.lookup(bytes, offset) ?? -1;
  }

  publicKey(handle: number): NodePublicKey | undefined {
    return this.#nodes[handle]?.key;
  }

  node(handle: number): NetmapNode | undefined {
    return this.#nodes[handle];
  }

  /** The handle of a netmap node id, or -1. */
  handleOf(id: number): number {
    return this.#byId.get(id) ?? -1;
  }

  /** Takes over a netmap and says what its owner has to change elsewhere: removals come first. */
  update(netmap: Netmap): PeerChange[] {
    const changes: PeerChange[] = [];
    for (const [id, handle] of this.#byId) {
      const next = netmap.peers.get(id);
      const known = this.#nodes[handle] as NetmapNode;
      if (next !== undefined && isUsable(next) && isEqualBytes(next.key, known.key)) continue;
      this.#remove(id, handle, known);
      changes.push({ kind: 'removed', handle });
    }
    for (const node of netmap.peers.values()) {
      if (!isUsable(node)) continue;
      changes.push(this.#byId.has(node.id) ? this.#replace(node) : this.#add(node));
    }
    return changes;
  }

  #remove(id: number, handle: number, node: NetmapNode): void {
    this.#byId.delete(id);
    this.#byKey.delete(node.key);
    this.#nodes[handle] = undefined;
    this.#free.push(handle);
  }

  #add(node: NetmapNode): PeerChange {
    const handle = this.#free.pop() ?? this.#nodes.length;
    this.#nodes[handle] = node;
    this.#byId.set(node.id, handle);
    this.#byKey.set(node.key, handle);
    return { kind: 'added', handle, node };
  }

  #replace(node: NetmapNode): PeerChange {
    const handle = this.#byId.get(node.id) as number;
    const known = this.#nodes[handle] as NetmapNode;
    this.#nodes[handle] = node;
    // A node that registered again may share its key with its old entry for a while, whose removal took the key along.
    this.#byKey.set(node.key, handle);
    return { kind: 'updated', handle, node, isRestarted: hasNewDiscoKey(known, node) };
  }
}

function isUsable(node: NetmapNode): boolean {
  return !node.isExpired;
}

/** A process draws its disco key at its start: another one means that the peer forgot its sessions. */
function hasNewDiscoKey(known: NetmapNode, next: NetmapNode): boolean {
  return known.discoKey !== undefined && next.discoKey !== undefined && !isEqualBytes(known.discoKey, next.discoKey);
}
