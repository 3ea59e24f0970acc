/**
 * Whether anything changed in the tables since the last look, told by the kernel.
 *
 * What can be relied on: when a call that changed a link, address or route has returned, in whatever process, at least
 * one event of it is in the queue, and the next `drain()` tells it. Not every entry has its own: the IPv4 routes that
 * go with a link, or with its being switched off, go without a word, and only the event of the link stands for them.
 * So whoever keeps a copy of the tables throws away, at an event, whatever may have gone with it, and reads after
 * draining, not before. A new alias or group of a link that is switched off has no event at all.
 *
 * A change that is still going on may have sent its event before it is done with all its entries. The list of links
 * waits for such a change, so it is to be read first, then addresses and routes. Where staleness would do harm,
 * a copy taken right after an event is to be taken once more at the next look.
 */

import { decodeEvents, type NetlinkEvent } from './event.ts';
import { NetlinkError } from './netlink-error.ts';
import { BUFFER_BYTES, type NetlinkSocket, openRouteSocket, receiveFromKernel } from './route-socket.ts';

/** What happened since the last look. Nothing: no event, no overrun. */
export interface NetlinkChanges {
  /** In the order of the kernel; incomplete after an overrun. */
  readonly events: readonly NetlinkEvent[];
  /** There was more than the queue holds, or something unreadable, or the socket broke: everything may have changed. */
  readonly isOverrun: boolean;
}

const RTMGRP_LINK = 0x1;
const RTMGRP_IPV4_IFADDR = 0x10;
const RTMGRP_IPV4_ROUTE = 0x40;
const RTMGRP_IPV6_IFADDR = 0x100;
const RTMGRP_IPV6_ROUTE = 0x400;
const GROUPS = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE;

/** The kernel's queue of 208 KiB, as it is by default, is full before. */
const DATAGRAM_COUNT_MAX = 1024;
const NOTHING: NetlinkChanges = { events: [], isOverrun: false };

/** A subscription to the changes of the network namespace that it was opened in; whoever opens it closes it. */
export class NetlinkEvents {
  readonly #openSocket: () => NetlinkSocket;
  readonly #buffer: Uint8Array = new Uint8Array(BUFFER_BYTES);
  #socket: NetlinkSocket | undefined;
  #isClosed = false;

  private constructor(openSocket: () => NetlinkSocket) {
    this.#openSocket = openSocket;
    this.#socket = openSocket();
  }

  /**
   * Subscribes; needs no right. Changes from now on are told, also those of this process.
   * @throws {NetlinkError} `netlink/unsupported`, `netlink/failed`
   */
  static open(openSocket: () => NetlinkSocket = () => openRouteSocket(GROUPS)): NetlinkEvents {
    return new NetlinkEvents(openSocket);
  }

  /**
   * Takes all events out of the queue, without waiting: one system call when there is none. After an overrun the
   * subscription has begun anew, so that what is read after this call misses nothing.
   * @throws {NetlinkError} as `open()`, when it had to begin anew and cannot; the next call that can tells the overrun
   * @throws {TypeError} after `close()`
   */
  drain(): NetlinkChanges {
    if (this.#isClosed) throw new TypeError('This NetlinkEvents is closed');
    if (this.#socket === undefined) return this.#startAnew([]);
    const events: NetlinkEvent[] = [];
    for (let count = 0; count < DATAGRAM_COUNT_MAX; count++) {
      const received = this.#receive(this.#socket);
      if (received === 'empty') return events.length === 0 ? NOTHING : { events, isOverrun: false };
      if (received === 'overrun') break;
      events.push(...received);
    }
    return this.#startAnew(events);
  }

  /** Further calls do nothing; never throws. */
  close(): void {
    this.#isClosed = true;
    this.#dropSocket();
  }

  #receive(socket: NetlinkSocket): readonly NetlinkEvent[] | 'empty' | 'overrun' {
    try {
      const datagram = receiveFromKernel(socket, this.#buffer);
      if ('transient' in datagram) return datagram.transient === 'EAGAIN' ? 'empty' : 'overrun';
      const events = decodeEvents(datagram);
      return events === 'malformed' ? 'overrun' : events;
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error;
      return 'overrun';
    }
  }

  // Until its queue was empty once, the kernel drops further events on an overrun socket without saying so.
  #startAnew(events: readonly NetlinkEvent[]): NetlinkChanges {
    this.#dropSocket();
    this.#socket = this.#openSocket();
    return { events, isOverrun: true };
  }

  #dropSocket(): void {
    this.#socket?.close();
    this.#socket = undefined;
  }
}
