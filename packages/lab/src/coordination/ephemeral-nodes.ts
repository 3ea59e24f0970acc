import type { NodeChange, NodeRegistry } from './node-registry.ts';

/** Removes the nodes of ephemeral auth keys that have had no map stream for a while. One timer a node. */
export class EphemeralNodes {
  readonly #nodes: NodeRegistry;
  readonly #timeoutMs: number;
  readonly #timers = new Map<number, NodeJS.Timeout>();

  constructor(nodes: NodeRegistry, timeoutMs: number) {
    this.#nodes = nodes;
    this.#timeoutMs = timeoutMs;
  }

  /** To be called for every change of the registry. */
  handleChange(nodeId: number, change: NodeChange): void {
    if (change !== 'node' && change !== 'online' && change !== 'removed') return;
    this.#cancel(nodeId);
    const node = this.#nodes.byId(nodeId);
    if (node === undefined || !node.isEphemeral || node.streamCount > 0) return;
    const remove = () => {
      this.#timers.delete(nodeId);
      this.#nodes.remove(nodeId);
    };
    this.#timers.set(nodeId, setTimeout(remove, this.#timeoutMs));
  }

  close(): void {
    for (const nodeId of [...this.#timers.keys()]) this.#cancel(nodeId);
  }

  #cancel(nodeId: number): void {
    clearTimeout(this.#timers.get(nodeId));
    this.#timers.delete(nodeId);
  }
}
