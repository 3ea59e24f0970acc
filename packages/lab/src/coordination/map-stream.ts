import type { Writable } from 'node:stream';
import { encodeMapMessage } from './map-frame.ts';
import {
  buildFilter,
  buildNetmap,
  buildNode,
  buildPatch,
  buildSelf,
  type MapResponse,
  type TailnetSettings,
} from './map-response.ts';
import type { NodeChange, NodeRegistry } from './node-registry.ts';

export interface MapStreamOptions {
  readonly nodeId: number;
  readonly nodes: NodeRegistry;
  /** Asked for every message, since the settings may change. */
  readonly settings: () => TailnetSettings;
  readonly output: Writable;
  readonly isZstd: boolean;
  readonly isOmittingPeers: boolean;
  readonly keepAliveMs: number;
}

/**
 * One long poll: the netmap at once, then whatever changes, and a keep-alive after each quiet period.
 *
 * Changes are not queued: per node the stream remembers *what* changed, and builds the message from the registry when
 * the connection can take it. So a stalled reader costs a set of at most one entry a node and gets the latest state.
 */
export class MapStream {
  readonly nodeId: number;
  readonly #options: MapStreamOptions;
  readonly #changes = new Map<number, Set<NodeChange>>();
  #hasNewFilter = false;
  #isFlushDue = false;
  #isBlocked = false;
  #isClosed = false;
  #keepAlive: NodeJS.Timeout | undefined;

  constructor(options: MapStreamOptions) {
    this.nodeId = options.nodeId;
    this.#options = options;
    options.output.on('drain', () => {
      this.#isBlocked = false;
      this.#armKeepAlive();
      this.#flush();
    });
  }

  /** Sends the whole netmap. Ends at once when the node is gone. */
  start(): void {
    const { nodes, settings, isOmittingPeers } = this.#options;
    const self = nodes.byId(this.nodeId);
    if (self === undefined) this.close();
    else this.#send(buildNetmap(self, nodes, settings(), isOmittingPeers));
  }

  noteChange(nodeId: number, change: NodeChange): void {
    const changes = this.#changes.get(nodeId);
    if (changes === undefined) this.#changes.set(nodeId, new Set([change]));
    else changes.add(change);
    this.#scheduleFlush();
  }

  noteNewFilter(): void {
    this.#hasNewFilter = true;
    this.#scheduleFlush();
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#keepAlive);
    this.#options.output.end();
  }

  /** Gathers all changes of this turn of the event loop in one message. */
  #scheduleFlush(): void {
    if (this.#isFlushDue || this.#isClosed) return;
    this.#isFlushDue = true;
    setImmediate(() => {
      this.#isFlushDue = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#isBlocked || this.#isClosed || (this.#changes.size === 0 && !this.#hasNewFilter)) return;
    const message = this.#buildDelta();
    this.#changes.clear();
    this.#hasNewFilter = false;
    if (message === undefined) this.close();
    else this.#send(message);
  }

  /** `undefined` when the node itself is gone. */
  #buildDelta(): MapResponse | undefined {
    const { nodes, settings } = this.#options;
    const self = nodes.byId(this.nodeId);
    if (self === undefined) return undefined;
    const message: MapResponse = { ControlTime: new Date().toISOString() };
    if (this.#changes.delete(this.nodeId)) message['Node'] = buildSelf(self, settings());
    if (this.#hasNewFilter) Object.assign(message, buildFilter(self, settings()));
    if (!this.#options.isOmittingPeers) this.#addPeers(message);
    return message;
  }

  #addPeers(message: MapResponse): void {
    const { nodes, settings } = this.#options;
    const changed: MapResponse[] = [];
    const patches: MapResponse[] = [];
    const removed: number[] = [];
    for (const [nodeId, changes] of this.#changes) {
      const node = nodes.byId(nodeId);
      if (node === undefined) removed.push(nodeId);
      else if (changes.has('node')) changed.push(buildNode(node, settings()));
      else patches.push(buildPatch(node, changes));
    }
    if (removed.length > 0) message['PeersRemoved'] = removed;
    if (changed.length > 0) message['PeersChanged'] = changed;
    if (patches.length > 0) message['PeersChangedPatch'] = patches;
  }

  #send(message: MapResponse): void {
    const { output, isZstd } = this.#options;
    this.#isBlocked = !output.write(encodeMapMessage(message, isZstd));
    this.#armKeepAlive();
  }

  /** A reader that takes nothing for the whole period is given up. */
  #armKeepAlive(): void {
    clearTimeout(this.#keepAlive);
    if (this.#isClosed) return;
    this.#keepAlive = setTimeout(() => {
      if (this.#isBlocked) this.#options.output.destroy();
      else this.#send({ KeepAlive: true });
    }, this.#options.keepAliveMs);
  }
}
