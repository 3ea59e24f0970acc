import { sanitizeHostname } from '@heddle/proto/control/hostname';
import type { HostinfoUpdate, LabHostinfo } from './hostinfo.ts';

/** Nodes at one time; a further one is refused. */
export const NODE_COUNT_MAX = 1_024;

/** Ids ever given out: the last two bytes of the addresses. Ids are never used twice. */
const NODE_ID_MAX = 65_535;
const LABEL_LENGTH_MAX = 63;

/** One machine of the tailnet. Immutable: a change makes a new record. Keys are in their text forms. */
export interface NodeRecord {
  readonly id: number;
  readonly machineKey: string;
  readonly nodeKey: string;
  readonly discoKey: string | undefined;
  /** What the node calls itself. */
  readonly hostname: string;
  /** What the tailnet calls it: unique. */
  readonly label: string;
  readonly hostinfo: LabHostinfo;
  readonly ipv4: string;
  readonly ipv6: string;
  readonly endpoints: readonly string[];
  readonly homeDerp: number;
  readonly capabilityVersion: number;
  readonly isEphemeral: boolean;
  /** Open map streams. */
  readonly streamCount: number;
  readonly createdUnixMs: number;
  readonly lastSeenUnixMs: number;
  readonly keyExpiryUnixMs: number | undefined;
}

/** What differs: `node` stands for anything that the other kinds do not say. */
export type NodeChange = 'node' | 'endpoints' | 'home' | 'online' | 'removed';

/** What a map request may change. `undefined` leaves a field as it is. */
export interface NodeUpdate {
  readonly discoKey: string | undefined;
  readonly endpoints: readonly string[] | undefined;
  readonly hostinfo: HostinfoUpdate | undefined;
  readonly capabilityVersion: number;
}

export interface NewNode {
  readonly machineKey: string;
  readonly nodeKey: string;
  readonly isEphemeral: boolean;
  readonly hostinfo: HostinfoUpdate;
  readonly capabilityVersion: number;
}

/**
 * All nodes of the tailnet, in memory. Every change is announced to the one listener with the id of the node and what
 * changed, after the registry has it.
 */
export class NodeRegistry {
  readonly #nodes = new Map<number, NodeRecord>();
  readonly #onChange: (nodeId: number, change: NodeChange) => void;
  #lastId = 0;

  constructor(onChange: (nodeId: number, change: NodeChange) => void) {
    this.#onChange = onChange;
  }

  all(): IterableIterator<NodeRecord> {
    return this.#nodes.values();
  }

  byId(id: number): NodeRecord | undefined {
    return this.#nodes.get(id);
  }

  byNodeKey(nodeKey: string): NodeRecord | undefined {
    for (const node of this.#nodes.values()) if (node.nodeKey === nodeKey) return node;
    return undefined;
  }

  byMachineKey(machineKey: string): NodeRecord | undefined {
    for (const node of this.#nodes.values()) if (node.machineKey === machineKey) return node;
    return undefined;
  }

  /** Gives the machine its node: a new one, or its old one with the new node key. `undefined` when the tailnet is full. */
  admit(node: NewNode): NodeRecord | undefined {
    const known = this.byMachineKey(node.machineKey);
    if (known !== undefined) return this.#renew(known, node);
    if (this.#nodes.size >= NODE_COUNT_MAX || this.#lastId >= NODE_ID_MAX) return undefined;
    const id = ++this.#lastId;
    const { hostname, hostinfo, homeDerp } = node.hostinfo;
    const nowUnixMs = Date.now();
    return this.#put('node', {
      id,
      machineKey: node.machineKey,
      nodeKey: node.nodeKey,
      discoKey: undefined,
      hostname,
      label: this.#freeLabel(hostname, id),
      hostinfo,
      ipv4: `100.64.${id >> 8}.${id & 0xff}`,
      ipv6: `fd7a:115c:a1e0::${id.toString(16)}`,
      endpoints: [],
      homeDerp: homeDerp ?? 0,
      capabilityVersion: node.capabilityVersion,
      isEphemeral: node.isEphemeral,
      streamCount: 0,
      createdUnixMs: nowUnixMs,
      lastSeenUnixMs: nowUnixMs,
      keyExpiryUnixMs: undefined,
    });
  }

  /** Stores what a map request says; unknown ids are ignored. */
  update(id: number, update: NodeUpdate): void {
    const before = this.#nodes.get(id);
    if (before === undefined) return;
    const hostname = update.hostinfo?.hostname || before.hostname;
    const after: NodeRecord = {
      ...before,
      discoKey: update.discoKey ?? before.discoKey,
      endpoints: update.endpoints ?? before.endpoints,
      hostinfo: update.hostinfo?.hostinfo ?? before.hostinfo,
      homeDerp: update.hostinfo?.homeDerp ?? before.homeDerp,
      capabilityVersion: update.capabilityVersion,
      hostname,
      label: hostname === before.hostname ? before.label : this.#freeLabel(hostname, id),
    };
    for (const change of compareNodes(before, after)) this.#put(change, after);
  }

  /** Counts a map stream that begins (1) or ends (-1): the first and the last change whether the node is online. */
  countStream(id: number, step: 1 | -1): void {
    const node = this.#nodes.get(id);
    if (node === undefined) return;
    const after = { ...node, streamCount: node.streamCount + step, lastSeenUnixMs: Date.now() };
    if (node.streamCount > 0 === after.streamCount > 0) this.#nodes.set(id, after);
    else this.#put('online', after);
  }

  /** Makes the node key unusable from now on. False for an unknown id. */
  expire(id: number): boolean {
    const node = this.#nodes.get(id);
    if (node !== undefined) this.#put('node', { ...node, keyExpiryUnixMs: Date.now() - 1 });
    return node !== undefined;
  }

  remove(id: number): boolean {
    const isKnown = this.#nodes.delete(id);
    if (isKnown) this.#onChange(id, 'removed');
    return isKnown;
  }

  #renew(known: NodeRecord, node: NewNode): NodeRecord {
    const { isEphemeral, capabilityVersion, nodeKey } = node;
    this.update(known.id, { hostinfo: node.hostinfo, discoKey: undefined, endpoints: undefined, capabilityVersion });
    const updated = this.#nodes.get(known.id) ?? known;
    return this.#put('node', { ...updated, nodeKey, isEphemeral, keyExpiryUnixMs: undefined });
  }

  #put(change: NodeChange, node: NodeRecord): NodeRecord {
    this.#nodes.set(node.id, node);
    this.#onChange(node.id, change);
    return node;
  }

  /** The sanitised name, with `-1`, `-2` … behind it while another node has it. */
  #freeLabel(hostname: string, id: number): string {
    const wanted = sanitizeHostname(hostname) || 'node';
    const taken = new Set<string>();
    for (const node of this.#nodes.values()) if (node.id !== id) taken.add(node.label);
    let label = wanted;
    for (let i = 1; taken.has(label); i++) {
      const suffix = `-${i}`;
      label = wanted.slice(0, LABEL_LENGTH_MAX - suffix.length) + suffix;
    }
    return label;
  }
}

/** True when the node key must not be used any more. */
export function isExpired(node: NodeRecord): boolean {
  return node.keyExpiryUnixMs !== undefined && node.keyExpiryUnixMs <= Date.now();
}

function compareNodes(before: NodeRecord, after: NodeRecord): NodeChange[] {
  const isSame = (field: 'discoKey' | 'label' | 'hostname' | 'capabilityVersion') => before[field] === after[field];
  const isSameNode =
    isSame('discoKey') &&
    isSame('label') &&
    isSame('hostname') &&
    isSame('capabilityVersion') &&
    JSON.stringify(before.hostinfo) === JSON.stringify(after.hostinfo);
  if (!isSameNode) return ['node'];
  const changes: NodeChange[] = [];
  if (before.endpoints.join() !== after.endpoints.join()) changes.push('endpoints');
  if (before.homeDerp !== after.homeDerp) changes.push('home');
  return changes;
}
