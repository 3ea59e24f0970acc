/**
 * A copy of the kernel's tables that is never older than the last change: before each use the events in the queue are
 * taken, which costs one system call when there are none, and put into the copy. So nothing is read twice, however many
 * links there are.
 *
 * What an event does not tell is read anew: IPv4 routes that go with an address or with a link that is switched off, and
 * routes of others than the kernel, which may silently take the place of older ones. Such a change may still be going on
 * when its event is there, so what is read then counts until the next look only.
 *
 * The kernel says nothing of a new alias, group or carrier of a link that is switched off, and of a new carrier of others up
 * to a second late: they may be those it had before.
 */

import type { Address } from '@heddle/host/netlink/address';
import type { NetlinkEvent } from '@heddle/host/netlink/event';
import type { Link } from '@heddle/host/netlink/link';
import type { Netlink } from '@heddle/host/netlink/netlink';
import type { NetlinkEvents } from '@heddle/host/netlink/netlink-events';
import type { Route } from '@heddle/host/netlink/route';

type Reader = Pick<Netlink, 'links' | 'addresses' | 'routes'>;

export class LinuxTables {
  readonly #netlink: Reader;
  readonly #events: Pick<NetlinkEvents, 'drain'>;
  /** By index. */
  #links: Map<number, Link> | undefined;
  #addresses: Map<string, Address> | undefined;
  #routes: Map<string, Route> | undefined;
  /** False: the routes were read when the last change may not have been over. */
  #areRoutesSettled = true;
  #version = 0;

  constructor(netlink: Reader, events: Pick<NetlinkEvents, 'drain'>) {
    this.#netlink = netlink;
    this.#events = events;
  }

  /** Another number whenever something may have changed. */
  get version(): number {
    return this.#version;
  }

  /** Brings the copy up to date. Call it once before the tables are asked: they then agree with each other. */
  refresh(): void {
    const { events, isOverrun } = this.#events.drain();
    if (!this.#areRoutesSettled) this.#routes = undefined;
    this.#areRoutesSettled = true;
    if (events.length === 0 && !isOverrun) return;
    this.#version++;
    if (isOverrun) this.#forget();
    else this.#apply(events);
  }

  findLink(index: number): Link | undefined {
    return this.#linkMap().get(index);
  }

  links(): Iterable<Link> {
    return this.#linkMap().values();
  }

  addresses(): Iterable<Address> {
    this.#addresses ??= new Map(this.#netlink.addresses().map((address) => [addressKey(address), address]));
    return this.#addresses.values();
  }

  routes(): Iterable<Route> {
    this.#routes ??= new Map(this.#netlink.routes().map((route) => [routeKey(route), route]));
    return this.#routes.values();
  }

  #linkMap(): Map<number, Link> {
    this.#links ??= new Map(this.#netlink.links().map((link) => [link.index, link]));
    return this.#links;
  }

  #forget(): void {
    this.#links = undefined;
    this.#addresses = undefined;
    this.#forgetRoutes();
  }

  #forgetRoutes(): void {
    this.#routes = undefined;
    this.#areRoutesSettled = false;
  }

  #apply(events: readonly NetlinkEvent[]): void {
    const goneLinks = new Set(
      events.flatMap((event) => (event.kind === 'link' && event.isGone ? [event.link.index] : [])),
    );
    for (const event of events) {
      if (event.kind === 'link') this.#applyLink(event);
      else if (event.kind === 'address') this.#applyAddress(event, goneLinks);
      else this.#applyRoute(event);
    }
    if (goneLinks.size > 0) this.#dropLinks(goneLinks);
  }

  #applyLink({ link, isGone, isPartial }: Extract<NetlinkEvent, { kind: 'link' }>): void {
    if (isPartial) this.#links = undefined;
    else if (isGone) this.#links?.delete(link.index);
    else {
      if (!link.isUp && this.#mayHaveBeenUp(link.index)) this.#forgetRoutes();
      this.#links?.set(link.index, link);
    }
  }

  #mayHaveBeenUp(index: number): boolean {
    return this.#links === undefined || this.#links.get(index)?.isUp === true;
  }

  #applyAddress(event: Extract<NetlinkEvent, { kind: 'address' }>, goneLinks: ReadonlySet<number>): void {
    const { address, isGone } = event;
    if (!isGone) this.#addresses?.set(addressKey(address), address);
    else {
      this.#addresses?.delete(addressKey(address));
      if (!goneLinks.has(address.linkIndex)) this.#forgetRoutes();
    }
  }

  #applyRoute({ route, isGone }: Extract<NetlinkEvent, { kind: 'route' }>): void {
    if (route.protocol !== PROTOCOL_KERNEL) this.#forgetRoutes();
    else if (isGone) this.#routes?.delete(routeKey(route));
    else this.#routes?.set(routeKey(route), route);
  }

  /** Everything that a link had goes with it, not all of it with a word of its own. */
  #dropLinks(indexes: ReadonlySet<number>): void {
    for (const [key, { linkIndex }] of this.#addresses ?? []) if (indexes.has(linkIndex)) this.#addresses?.delete(key);
    for (const [key, { linkIndex }] of this.#routes ?? []) {
      if (linkIndex !== undefined && indexes.has(linkIndex)) this.#routes?.delete(key);
    }
  }
}

/** RTPROT_KERNEL. */
const PROTOCOL_KERNEL = 2;

function addressKey({ linkIndex, address, prefixBits }: Address): string {
  return `${linkIndex} ${address}/${prefixBits}`;
}

function routeKey({ family, table, prefix, metric, linkIndex, gateway, type, source }: Route): string {
  return `${family} ${table} ${prefix} ${metric} ${linkIndex} ${gateway} ${type} ${source}`;
}
