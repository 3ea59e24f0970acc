/** A network link, also one that is down or has no carrier. */
export interface HostLink {
  readonly name: string;
  /** As the kernel names it: `tun`, `bridge`, `veth`; undefined for hardware or when not known. */
  readonly kind?: string | undefined;
  readonly isUp: boolean;
}

/** An address of a link, with the bits of its network: `192.168.1.5/24`. */
export interface HostAddress {
  readonly link: string;
  readonly cidr: string;
}

/** A route of any table: policy routing may ask any of them first. */
export interface HostRoute {
  /** CIDR text; `0.0.0.0/0` or `::/0` for the default route. */
  readonly prefix: string;
  /** Empty for routes without link, as blackholes. */
  readonly link: string;
  readonly table: number;
  /** Undefined for what is reached directly. */
  readonly gateway?: string | undefined;
  /** rtm_protocol of rtnetlink(7): 2 the kernel, 3 and 4 an administrator; undefined counts as the kernel's. */
  readonly protocol?: number | undefined;
}

/** A prefix that is given away, whether or not the kernel knows it already. */
export interface ReservedSubnet {
  /** Who has it, for people: the link of the REST API, a container pool. */
  readonly name: string;
  readonly cidr: string;
}

/**
 * What the machine already uses, read by the shell from the kernel just before a team starts. `os.networkInterfaces()`
 * is no source: it hides links that are down.
 */
export interface HostFacts {
  readonly links: readonly HostLink[];
  readonly addresses: readonly HostAddress[];
  readonly routes: readonly HostRoute[];
  readonly usedUdpPorts: readonly number[];
  readonly usedTcpPorts: readonly number[];
  readonly reservedSubnets: readonly ReservedSubnet[];
}
