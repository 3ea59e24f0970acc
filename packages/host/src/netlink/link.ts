import { attributeNumber, attributeText, decodeAttributes, viewOf } from './message.ts';

/** A network interface. */
export interface Link {
  /** Never reused while the namespace lives; above 0. */
  readonly index: number;
  /** 1–15 bytes; the kernel allows anything in it but `/`, `:` and white space. */
  readonly name: string;
  /** The driver's word: `tun`, `dummy`, `bridge`, … `undefined` for hardware and `lo`. */
  readonly kind: string | undefined;
  /** Switched on (IFF_UP). */
  readonly isUp: boolean;
  /** Switched on and able to carry packets, as the kernel has noted it (IFF_RUNNING): up to a second late. */
  readonly isRunning: boolean;
  /** Something is at the other end, also while it is switched off: of a TUN device a process that has it open. At once. */
  readonly hasCarrier: boolean;
  /** In bytes. */
  readonly mtu: number;
  /** Free text that somebody gave it (`ip link set … alias`). */
  readonly alias: string | undefined;
  /** A number that somebody gave it when it was made or later (`ip link set … group`); 0 unless given. */
  readonly group: number;
  /** The bridge, or whatever else, that it is a port of. */
  readonly masterIndex: number | undefined;
}

/** ifinfomsg: family u8, pad u8, hardware type u16, index i32, flags u32, change mask u32. */
const HEADER_BYTES = 16;
const IFF_UP = 0x1;
const IFF_RUNNING = 0x40;
const IFF_LOWER_UP = 0x10000;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_MASTER = 10;
const IFLA_LINKINFO = 18;
const IFLA_IFALIAS = 20;
const IFLA_CARRIER = 33;
const IFLA_GROUP = 27;
const IFLA_INFO_KIND = 1;

/** Decodes the body of RTM_NEWLINK. The literal when it is cut off, inconsistent, or has no name. */
export function decodeLink(body: Uint8Array): Link | 'short' | 'bad-attribute' {
  if (body.length < HEADER_BYTES) return 'short';
  const attributes = decodeAttributes(body, HEADER_BYTES);
  if (attributes === 'bad-attribute') return attributes;
  const name = attributeText(attributes, IFLA_IFNAME);
  const info = decodeAttributes(attributes.get(IFLA_LINKINFO) ?? NOTHING, 0);
  if (name === undefined || info === 'bad-attribute') return 'bad-attribute';
  const flags = viewOf(body).getUint32(8, true);
  // The flag of old kernels is off while the link is.
  const carrier = attributes.get(IFLA_CARRIER);
  return {
    index: viewOf(body).getInt32(4, true),
    name,
    kind: attributeText(info, IFLA_INFO_KIND),
    isUp: (flags & IFF_UP) !== 0,
    isRunning: (flags & IFF_RUNNING) !== 0,
    hasCarrier: carrier === undefined ? (flags & IFF_LOWER_UP) !== 0 : carrier[0] !== 0,
    mtu: attributeNumber(attributes, IFLA_MTU) ?? 0,
    alias: attributeText(attributes, IFLA_IFALIAS),
    group: attributeNumber(attributes, IFLA_GROUP) ?? 0,
    masterIndex: attributeNumber(attributes, IFLA_MASTER),
  };
}

const NOTHING = new Uint8Array(0);
