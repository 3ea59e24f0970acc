import type { Address } from '@heddle/host/netlink/address';
import type { Link } from '@heddle/host/netlink/link';
import type { Netlink } from '@heddle/host/netlink/netlink';
import type { NetlinkEvents } from '@heddle/host/netlink/netlink-events';
import type { Route } from '@heddle/host/netlink/route';

/**
 * A copy of the kernel's tables that is never older than the last change: before each use it looks whether an event is in
 * the queue, which costs one system call.
 *
 * A change may still be going on when its first event is there, so a copy that was taken after an event counts until the
 * next look only.
 */
export class LinuxTables {
  readonly #netlink: Pick<Netlink, 'links' | 'addresses' | 'routes'>;
  readonly #events: Pick<NetlinkEvents, 'drain'>;
  #links: readonly Link[] | undefined;
  #addresses: readonly Address[] | undefined;
  #routes: readonly Route[] | undefined;
  /** False: what is kept was read when the last change may not have been over. */
  #isSettled = false;

  constructor(netlink: Pick<Netlink, 'links' | 'addresses' | 'routes'>, events: Pick<NetlinkEvents, 'drain'>) {
    this.#netlink = netlink;
    this.#events = events;
  }

  /** Call it once before the tables are asked: they then agree with each other. True when they are read anew. */
  refresh(): boolean {
    const { events, isOverrun } = this.#events.drain();
    const hasChanged = isOverrun || events.length > 0;
    const isKept = !hasChanged && this.#isSettled;
    this.#isSettled = !hasChanged;
    if (isKept) return false;
    this.#links = undefined;
    this.#addresses = undefined;
    this.#routes = undefined;
    return true;
  }

  // The list of links waits for a change that is going on, so it is read first.
  get links(): readonly Link[] {
    this.#links ??= this.#netlink.links();
    return this.#links;
  }

  get addresses(): readonly Address[] {
    this.#addresses ??= this.#netlink.addresses();
    return this.#addresses;
  }

  get routes(): readonly Route[] {
    this.#routes ??= this.#netlink.routes();
    return this.#routes;
  }
}
