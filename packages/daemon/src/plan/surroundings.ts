import { formatPrefix, type IpPrefix } from '@heddle/proto/ip/prefix';
import { type ClaimedPrefix, ClaimedPrefixReader, parseClaimedPrefix } from './claimed-prefix.ts';
import type { ForwardPort, TeamClaims } from './claims.ts';
import { compareText } from './finding.ts';
import type { HostFacts, HostLink, HostRoute } from './host-facts.ts';

/** A prefix of somebody else, and where it was found. */
export type Opponent =
  | { readonly kind: 'team'; readonly claimed: ClaimedPrefix; readonly claims: TeamClaims }
  | { readonly kind: 'reserved'; readonly claimed: ClaimedPrefix; readonly name: string }
  | { readonly kind: 'address'; readonly claimed: ClaimedPrefix; readonly link: string }
  | { readonly kind: 'route'; readonly claimed: ClaimedPrefix; readonly link: string; readonly gateway: string };

/** A text that is no prefix, and whose it is. */
export interface UnreadablePrefix {
  readonly text: string;
  readonly owner: string;
  /** Undefined for facts of the machine. */
  readonly team: string | undefined;
}

/** The prefixes of a team, read once. */
export interface TeamPrefixes {
  readonly claimed: readonly ClaimedPrefix[];
  readonly unreadable: readonly string[];
}

/** A TCP listener of a team; the address of a proxy is not known and counts as all. */
export interface TeamListener extends ForwardPort {
  readonly claims: TeamClaims;
}

// rtm_protocol of routes that a person or a script such as wg-quick made.
const HAND_MADE_PROTOCOLS: readonly (number | undefined)[] = [3, 4];

/** Of facts of the machine. */
const PREFIXES: ClaimedPrefixReader = new ClaimedPrefixReader(131_072);

/** The machine and the teams on it, read once and then asked by every plan. Facts of the machine never change. */
export class Surroundings {
  readonly opponents: Opponent[] = [];
  readonly unreadable: UnreadablePrefix[] = [];
  readonly links: ReadonlyMap<string, HostLink>;
  readonly usedUdpPorts: ReadonlySet<number>;
  readonly usedTcpPorts: ReadonlySet<number>;
  /** Links that carry a reserved subnet. */
  readonly reservedByLink: ReadonlyMap<string, string>;
  readonly #teams = new Map<string, TeamClaims>();
  readonly #teamsByDevice = new Map<string, TeamClaims[]>();
  readonly #claimedByTeam = new Map<string, ReadonlySet<string>>();
  readonly #teamsByUdpPort = new Map<number, TeamClaims[]>();
  readonly #listeners = new Map<number, TeamListener[]>();

  constructor(host: HostFacts) {
    this.links = new Map(host.links.map((link) => [link.name, link]));
    this.usedUdpPorts = new Set(host.usedUdpPorts);
    this.usedTcpPorts = new Set(host.usedTcpPorts);
    this.reservedByLink = this.#readReserved(host);
    for (const { link, cidr } of host.addresses) {
      const claimed = PREFIXES.read(cidr, false);
      if (claimed === undefined) this.#keepUnreadable(cidr, `link "${link}"`);
      else this.opponents.push({ kind: 'address', claimed, link });
    }
    for (const route of host.routes) {
      const { prefix, link, gateway = '' } = route;
      const claimed = PREFIXES.read(prefix, isYieldingRoute(route));
      if (claimed === undefined) this.#keepUnreadable(prefix, `the routes of "${link}"`);
      else this.opponents.push({ kind: 'route', claimed, link, gateway });
    }
  }

  /** Adds a team that is up, or is taken to be up from here on. */
  add(claims: TeamClaims): void {
    this.#teams.set(claims.team, claims);
    const { claimed, unreadable } = readTeamPrefixes(claims);
    for (const one of claimed) this.opponents.push({ kind: 'team', claimed: one, claims });
    this.#claimedByTeam.set(claims.team, new Set(claimed.map(({ prefix }) => formatPrefix(prefix))));
    for (const text of unreadable) this.unreadable.push({ text, owner: `team "${claims.team}"`, team: claims.team });
    if (claims.wantsDevice && claims.device !== undefined) append(this.#teamsByDevice, claims.device, claims);
    if (claims.listenPort) append(this.#teamsByUdpPort, claims.listenPort, claims);
    if (claims.proxyPort) append(this.#listeners, claims.proxyPort, { address: '', port: claims.proxyPort, claims });
    for (const forward of claims.forwardPorts) append(this.#listeners, forward.port, { ...forward, claims });
  }

  /** The claims of a team that was added. */
  findTeam(team: string): TeamClaims | undefined {
    return this.#teams.get(team);
  }

  /** Another team that has the device; the first by name if faulty claims name several. */
  findDeviceOwner(device: string, exceptTeam: string): TeamClaims | undefined {
    const others = (this.#teamsByDevice.get(device) ?? []).filter(({ team }) => team !== exceptTeam);
    return others.sort((a, b) => compareText(a.team, b.team))[0];
  }

  /** True when the team claims the prefix: it is among the opponents already, as the team's. */
  isClaimedBy(team: string, prefix: IpPrefix): boolean {
    return this.#claimedByTeam.get(team)?.has(formatPrefix(prefix)) ?? false;
  }

  /** Teams that listen at the UDP port. */
  listUdpTeams(port: number): readonly TeamClaims[] {
    return this.#teamsByUdpPort.get(port) ?? [];
  }

  /** Proxies and forwards of teams at the TCP port. */
  listListeners(port: number): readonly TeamListener[] {
    return this.#listeners.get(port) ?? [];
  }

  #readReserved(host: HostFacts): ReadonlyMap<string, string> {
    const names = new Map<string, string>();
    for (const { name, cidr } of host.reservedSubnets.toSorted((a, b) => compareText(b.name, a.name))) {
      const claimed = PREFIXES.read(cidr, false);
      if (claimed === undefined) {
        this.#keepUnreadable(cidr, `subnet "${name}"`);
        continue;
      }
      names.set(formatPrefix(claimed.prefix), name);
      this.opponents.push({ kind: 'reserved', claimed, name });
    }
    const nameByLink = new Map<string, string>();
    for (const { link, cidr } of host.addresses) {
      const prefix = PREFIXES.read(cidr, false)?.prefix;
      const name = prefix === undefined ? undefined : names.get(formatPrefix(prefix));
      if (name !== undefined && (nameByLink.get(link) ?? name) >= name) nameByLink.set(link, name);
    }
    return nameByLink;
  }

  #keepUnreadable(text: string, owner: string): void {
    this.unreadable.push({ text, owner, team: undefined });
  }
}

/** Reads networks and routes of a team, each text once. */
export function readTeamPrefixes({ networks, unsafeRoutes }: TeamClaims): TeamPrefixes {
  const claimed = new Map<string, ClaimedPrefix>();
  const unreadable = new Set<string>();
  const texts = [
    ...networks.map((text) => [text, false] as const),
    ...unsafeRoutes.map((text) => [text, true] as const),
  ];
  for (const [text, isRoute] of texts) {
    const one = parseClaimedPrefix(text, isRoute);
    if (one === undefined) unreadable.add(text);
    // A network comes first and stays: it is judged harder than an equal route.
    else if (!claimed.has(formatPrefix(one.prefix))) claimed.set(formatPrefix(one.prefix), one);
  }
  return { claimed: [...claimed.values()], unreadable: [...unreadable] };
}

/** True for a route into which a narrower one may be cut; the kernel's own routes are the network of a link. */
function isYieldingRoute({ gateway, protocol }: HostRoute): boolean {
  return (gateway !== undefined && gateway !== '') || HAND_MADE_PROTOCOLS.includes(protocol);
}

function append<K, T>(lists: Map<K, T[]>, key: K, value: T): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
}
