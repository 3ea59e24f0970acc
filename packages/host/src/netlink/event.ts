/** What the kernel tells those who listen: the messages of a dump, one at a time, whenever somebody changed an entry. Pure. */

import { type Address, decodeAddress } from './address.ts';
import { decodeLink, type Link } from './link.ts';
import { decodeMessages, type NetlinkMessage } from './message.ts';
import { decodeRoutes, type Route } from './route.ts';

/** One change. `isGone` is false for a new entry and for a changed one; the entry is as it was right then. */
export type NetlinkEvent =
  /** `isPartial`: it comes from the bridge that the link is a port of, and lacks most of what a link has. */
  | { readonly kind: 'link'; readonly isGone: boolean; readonly isPartial: boolean; readonly link: Link }
  | { readonly kind: 'address'; readonly isGone: boolean; readonly address: Address }
  /** One event for each next hop. */
  | { readonly kind: 'route'; readonly isGone: boolean; readonly route: Route };

const AF_UNSPEC = 0;
const RTM_NEWLINK = 0x10;
const RTM_DELLINK = 0x11;
const RTM_NEWADDR = 0x14;
const RTM_DELADDR = 0x15;
const RTM_NEWROUTE = 0x18;
const RTM_DELROUTE = 0x19;

/** Decodes the events of one datagram. The literal when any of them is cut off or inconsistent. */
export function decodeEvents(datagram: Uint8Array): NetlinkEvent[] | 'malformed' {
  const { messages, problem } = decodeMessages(datagram);
  if (problem !== undefined) return 'malformed';
  const events: NetlinkEvent[] = [];
  for (const message of messages) {
    const decoded = decodeEvent(message);
    if (typeof decoded === 'string') return 'malformed';
    events.push(...decoded);
  }
  return events;
}

// Messages of other types are none of the tables'.
function decodeEvent({ type, body }: NetlinkMessage): readonly NetlinkEvent[] | string {
  switch (type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      return decodeLinkEvent(body, type === RTM_DELLINK);
    case RTM_NEWADDR:
    case RTM_DELADDR:
      return decodeAddressEvent(body, type === RTM_DELADDR);
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      return decodeRouteEvents(body, type === RTM_DELROUTE);
    default:
      return [];
  }
}

// When a link leaves its bridge, the bridge says "deleted" in a family of its own (AF_BRIDGE); the link lives on.
function decodeLinkEvent(body: Uint8Array, isDeleted: boolean): readonly NetlinkEvent[] | string {
  const link = decodeLink(body);
  if (typeof link === 'string') return link;
  const isPartial = body[0] !== AF_UNSPEC;
  return [{ kind: 'link', isGone: isDeleted && !isPartial, isPartial, link }];
}

function decodeAddressEvent(body: Uint8Array, isGone: boolean): readonly NetlinkEvent[] | string {
  const address = decodeAddress(body);
  if (address === 'other-family') return [];
  return typeof address === 'string' ? address : [{ kind: 'address', isGone, address }];
}

function decodeRouteEvents(body: Uint8Array, isGone: boolean): readonly NetlinkEvent[] | string {
  const routes = decodeRoutes(body);
  return typeof routes === 'string' ? routes : routes.map((route) => ({ kind: 'route', isGone, route }));
}
