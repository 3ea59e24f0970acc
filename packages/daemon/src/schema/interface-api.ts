/**
 * The bodies of the REST API: TUN devices (port 3030) and local subnets (port 3031). `name`, `ip_addr`, `netmask` and
 * `broadcast`, and `network` and `interface`, are what existing clients read; everything else may be ignored by them.
 */

import {
  described,
  either,
  flag,
  integerOf,
  type JsonSchema,
  listOf,
  nullable,
  objectOf,
  oneOf,
  optional,
  type Shape,
  text,
  textLike,
  textOf,
} from './shape.ts';

/** What `POST /tun` takes; every field may be left out. */
export interface TunRequest {
  /** 1–15 bytes; left out, heddle chooses `tun0`, `tun1`, … On macOS only `utunN`. */
  readonly name?: string | undefined;
  /** Address of the device; left out, the first of a free network. */
  readonly ip_addr?: string | undefined;
  /** Of the IPv4 network, 8–30; 24 unless given. */
  readonly prefix_length?: number | undefined;
  /** An address, or `auto` for the first of a free network in the pool of IPv6. Left out, the device has none. */
  readonly ip6_addr?: string | undefined;
  /** Of the IPv6 network, 48–126; 64 unless given. */
  readonly ip6_prefix_length?: number | undefined;
  /** In bytes; 1500 unless given. */
  readonly mtu?: number | undefined;
  /** User (name or number) who may attach a program to the device without being root. */
  readonly owner?: string | number | undefined;
  /**
   * True, the default on Linux: the device is there until it is deleted, and a program may attach to it. False: heddle
   * itself holds it open, for networks that only need an address with a carrier. macOS knows only the latter.
   */
  readonly persistent?: boolean | undefined;
}

/**
 * `changed`: somebody else switched it off or took its address; `missing`: its link is not there, or not ours. Both are
 * mended at the next start of the daemon, as far as nobody uses the name and the network then.
 */
export type InterfaceState = 'active' | 'changed' | 'missing';

export interface TunInfo {
  readonly name: string;
  readonly ip_addr: string;
  /** Dotted. */
  readonly netmask: string;
  readonly broadcast: string;
  /** The network, host bits clear. */
  readonly cidr: string;
  readonly ip6_addr: string | null;
  readonly ip6_prefix_length: number | null;
  readonly mtu: number;
  readonly kind: 'tun' | 'utun';
  readonly persistent: boolean;
  /** True while a program has the device open. */
  readonly attached: boolean;
  /** Uid; null: root alone may attach. */
  readonly owner: number | null;
  readonly state: InterfaceState;
  /** Uid of who asked for it; null: the holder of the token. */
  readonly created_by: number | null;
  /** RFC 3339, UTC. */
  readonly created_at: string;
  /** Only in the answer to `POST`: what was allowed but deserves a look. */
  readonly warnings?: readonly string[] | undefined;
}

/** What `POST /subnet` takes; every field may be left out. */
export interface SubnetRequest {
  /** Host bits clear. Left out, heddle chooses a free one. */
  readonly cidr?: string | undefined;
  /** Of the network that heddle chooses: 8–30 of IPv4 (24 unless given), 48–126 of IPv6 (64). */
  readonly prefix_length?: number | undefined;
  /** Of the network that heddle chooses; 4 unless given. */
  readonly family?: 4 | 6 | undefined;
  /** In bytes; 1500 unless given. */
  readonly mtu?: number | undefined;
}

export interface SubnetInfo {
  readonly network: string;
  /** The same as `network`. */
  readonly cidr: string;
  /** The link; on macOS `lo0:` and a number of heddle's. */
  readonly interface: string;
  /** Of this machine: the first of the network. */
  readonly ip_addr: string;
  /** What stands in for a network card. */
  readonly kind: 'dummy' | 'bridge' | 'ifb' | 'tun' | 'alias';
  readonly mtu: number;
  readonly state: InterfaceState;
  readonly created_by: number | null;
  readonly created_at: string;
  readonly warnings?: readonly string[] | undefined;
}

/** Networks that `POST /subnet` would give out next, in that order. */
export interface FreeSubnets {
  readonly free: readonly string[];
}

/** RFC 9457. */
export interface Problem {
  /** `urn:heddle:` and the code. */
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  /** Stable; docs/guide/errors.md. */
  readonly code: string;
  /** What to do about it. */
  readonly next: string;
}

/** The kernel takes more; these are safe in every tool and need no quoting. */
export const LINK_NAME_PATTERN: RegExp = /^[A-Za-z][A-Za-z0-9_.-]{0,14}$/;
/** What IPv4 asks of a link at least (RFC 791); with IPv6 it is 1280 (RFC 8200). */
export const MTU_MIN = 576;
export const MTU_MAX = 65_535;

/** What a schema can say of a network; the rest is for whoever reads it. */
export const CIDR_KEYWORDS: JsonSchema = {
  description: 'A network, host bits clear',
  pattern: '^[0-9A-Fa-f:.]+/[0-9]{1,3}$',
};

const linkName = textLike(LINK_NAME_PATTERN, 'a letter and up to 14 letters, digits, "_", "." and "-"');
const uid = integerOf(0, 4_294_967_294);
/** Of networks: IPv4 or IPv6. */
export const familyShape: Shape<4 | 6> = oneOf([4, 6]);

const state = oneOf<InterfaceState>(['active', 'changed', 'missing']);
const warnings = optional(listOf(text));

export const tunRequestShape: Shape<TunRequest> = objectOf<TunRequest>({
  name: optional(described(linkName, { examples: ['tun7'] })),
  ip_addr: optional(described(textOf(7, 15), { format: 'ipv4', examples: ['10.5.0.1'] })),
  prefix_length: optional(described(integerOf(8, 30), { default: 24 })),
  ip6_addr: optional(described(textOf(2, 45), { anyOf: [{ const: 'auto' }, { format: 'ipv6' }], examples: ['auto'] })),
  ip6_prefix_length: optional(described(integerOf(48, 126), { default: 64 })),
  mtu: optional(described(integerOf(MTU_MIN, MTU_MAX), { default: 1500 })),
  owner: optional(ownerShape()),
  persistent: optional(flag),
});

export const tunShape: Shape<TunInfo> = objectOf<TunInfo>({
  name: text,
  ip_addr: text,
  netmask: text,
  broadcast: text,
  cidr: text,
  ip6_addr: nullable(text),
  ip6_prefix_length: nullable(integerOf(1, 128)),
  mtu: integerOf(0, MTU_MAX),
  kind: oneOf(['tun', 'utun']),
  persistent: flag,
  attached: flag,
  owner: nullable(uid),
  state,
  created_by: nullable(uid),
  created_at: text,
  warnings,
});

export const subnetRequestShape: Shape<SubnetRequest> = objectOf<SubnetRequest>({
  cidr: optional(described(textOf(4, 49), { ...CIDR_KEYWORDS, examples: ['10.1.0.0/24'] })),
  prefix_length: optional(described(integerOf(8, 126), { description: '24 of IPv4, 64 of IPv6 unless given' })),
  family: optional(described(familyShape, { default: 4 })),
  mtu: optional(described(integerOf(MTU_MIN, MTU_MAX), { default: 1500 })),
});

export const subnetShape: Shape<SubnetInfo> = objectOf<SubnetInfo>({
  network: text,
  cidr: text,
  interface: text,
  ip_addr: text,
  kind: oneOf(['dummy', 'bridge', 'ifb', 'tun', 'alias']),
  mtu: integerOf(0, MTU_MAX),
  state,
  created_by: nullable(uid),
  created_at: text,
  warnings,
});

export const freeSubnetsShape: Shape<FreeSubnets> = objectOf<FreeSubnets>({ free: listOf(text) });

export const problemShape: Shape<Problem> = objectOf<Problem>({
  type: text,
  title: text,
  status: integerOf(400, 599),
  detail: text,
  code: text,
  next: text,
});

function ownerShape(): Shape<string | number> {
  const name = textLike(/^[A-Za-z_][A-Za-z0-9_.-]{0,31}$/, 'a user name or number');
  return either(uid, name);
}
