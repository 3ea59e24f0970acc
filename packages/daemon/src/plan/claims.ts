/**
 * What a team takes from the machine while it is up, and which two claims on an address go together.
 *
 * Only a team with a device has kernel routes. The kernel gives a packet to the narrowest prefix, and of two equal IPv4
 * prefixes the later one silently replaces the earlier, which does not come back. So a pair of overlapping prefixes is
 * judged by its wider one, whichever team comes first:
 *
 * | the two prefixes | judgement | because |
 * | --- | --- | --- |
 * | equal | refusal | one replaces the other |
 * | the wider is a network: addresses of an overlay, of a link, of a subnet | refusal | some of its hosts disappear |
 * | the wider is a route: through a gateway, by hand, through a peer | warning | it only reaches less |
 * | the wider is the default route, or half of it, of another team | nothing | reaching the rest is its purpose |
 * | both are default routes of teams | refusal | only one can be the way out |
 * | a default route of the machine, around a claim | nothing | every machine has one |
 * | a default route of the machine, and one of the team | warning | the team takes its place |
 *
 * | this team \ the other side | team with a device | tailnet in userspace | Nebula without device | the machine |
 * | --- | --- | --- | --- | --- |
 * | has a device | table above | warning | nothing | table above |
 * | tailnet in userspace | warning | nothing | nothing | nothing |
 * | Nebula without device | nothing | nothing | nothing | nothing |
 *
 * A tailnet in userspace is reached through its proxy and its forwards alone: two of them may use the same addresses, as
 * each has its own proxy. Beside a team with a device the same address means two hosts, depending on the way: hence the
 * warning. A Nebula lighthouse without device carries no traffic of this machine.
 */

/** A local TCP listener of a team, as the user asked for it. */
export interface ForwardPort {
  /** An address; empty, `0.0.0.0` and `::` stand for all of them. */
  readonly address: string;
  /** 0: any free one. */
  readonly port: number;
}

/** What one team takes; of a running team, what it really has. */
export interface TeamClaims {
  readonly team: string;
  readonly kind: 'nebula' | 'tailnet';
  /** Own addresses with the bits of their network, as CIDR text; host bits may be set. */
  readonly networks: readonly string[];
  /** Prefixes behind peers that are routed into the device, as CIDR text. */
  readonly unsafeRoutes: readonly string[];
  /** The name the user asked for, or that of the running device; undefined for any name or none. */
  readonly device: string | undefined;
  /** False in userspace, and for a lighthouse without device. */
  readonly wantsDevice: boolean;
  /** UDP; undefined or 0: any. */
  readonly listenPort: number | undefined;
  /** True when others know the port, as that of a lighthouse: it cannot move. */
  readonly isListenPortFixed: boolean;
  /** TCP; undefined: no proxy, 0: any free port. */
  readonly proxyPort: number | undefined;
  readonly forwardPorts: readonly ForwardPort[];
}

/** What a team got the last time, so that it gets the same again. */
export interface RememberedChoice {
  readonly device?: string | undefined;
  readonly listenPort?: number | undefined;
  readonly proxyPort?: number | undefined;
}
