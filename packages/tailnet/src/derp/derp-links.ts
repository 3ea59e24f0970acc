import type { DerpMap } from '@heddle/proto/control/derp-map';
import type { NodePublicKey } from '@heddle/proto/keys/public-key';
import { Counters } from '@heddle/proto/time/counters';
import type { TailnetError } from '../tailnet-error.ts';
import { DerpLink, type DerpLinkOptions } from './derp-link.ts';

/** `onPacket` takes the slot and borrows the source key; `onChange`: some region connected or disconnected. */
export type DerpLinksOptions = DerpLinkOptions;

/**
 * The relay connections of one node: the home region's is permanent, others are made when something is sent to them
 * and closed after 60 s without. Owns its sockets and timers. A region that the map does not have is not dialled;
 * what is sent to it is counted and dropped.
 */
export class DerpLinks {
  readonly #o: DerpLinksOptions;
  readonly #counters = new Counters<string>();
  readonly #links = new Map<number, DerpLink>();
  #map: DerpMap | undefined;
  #homeId = 0;
  #isClosed = false;

  constructor(o: DerpLinksOptions) {
    this.#o = o;
  }

  /**
   * Takes over the relay map. Changed regions are dialled anew, vanished ones closed. A map without regions is not
   * taken over: servers deliver one when their own reload failed, and without relays the node would be cut off.
   */
  setMap(map: DerpMap): void {
    if (this.#isClosed) return;
    if (map.regions.size === 0 && this.#map !== undefined) {
      this.#o.log({ level: 'warn', message: 'The new relay map is empty; the last one stays in use' });
      return;
    }
    this.#map = map;
    for (const [regionId, link] of this.#links) {
      const region = map.regions.get(regionId);
      if (region !== undefined) link.setRegion(region);
      else this.#remove(regionId, link);
    }
    this.#link(this.#homeId)?.setHome(true);
  }

  /** Makes a region the home, 0 none: its relay is told and dialled at once, the last one may become idle. */
  setHome(regionId: number): void {
    if (this.#isClosed || regionId === this.#homeId) return;
    this.#links.get(this.#homeId)?.setHome(false);
    this.#homeId = regionId;
    this.#link(regionId)?.setHome(true);
  }

  /** Sends a packet of at most 64 KiB to a peer, copying it. Loss is silent, as on any network, and counted. */
  send(regionId: number, to: NodePublicKey, bytes: Uint8Array, offset: number, length: number): void {
    const link = this.#links.get(regionId) ?? this.#link(regionId);
    if (link === undefined) this.#counters.add('derp-tx-unknown-region');
    else link.send(to, bytes, offset, length);
  }

  isConnected(regionId: number): boolean {
    return this.#links.get(regionId)?.isConnected ?? false;
  }

  /** Why a wanted region is not connected; undefined while it is, or was not tried. */
  failureOf(regionId: number): TailnetError | undefined {
    return this.#links.get(regionId)?.failure;
  }

  /** The network changed: every connection must prove itself in 3 s, and pending retries are made now. */
  probe(): void {
    for (const link of this.#links.values()) link.probe();
  }

  /** Drops so far, by reason. */
  snapshot(): Record<string, number> {
    const total = new Counters<string>();
    for (const source of [this.#counters, ...this.#links.values()]) {
      for (const [name, count] of Object.entries(source.snapshot())) total.add(name, count);
    }
    return total.snapshot();
  }

  /** Resolves when all sockets are closed; nothing is called back afterwards. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const links = [...this.#links.values()];
    this.#links.clear();
    await Promise.all(links.map((link) => link.close()));
  }

  /** The link of a region of the map, made on demand. */
  #link(regionId: number): DerpLink | undefined {
    const existing = this.#links.get(regionId);
    const region = this.#map?.regions.get(regionId);
    if (existing !== undefined || region === undefined || this.#isClosed) return existing;
    const link = new DerpLink(region, this.#o);
    this.#links.set(regionId, link);
    return link;
  }

  #remove(regionId: number, link: DerpLink): void {
    const wasConnected = link.isConnected;
    this.#links.delete(regionId);
    for (const [name, count] of Object.entries(link.snapshot())) this.#counters.add(name, count);
    void link.close();
    if (wasConnected) this.#o.onChange();
  }
}
