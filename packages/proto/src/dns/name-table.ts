import type { Netmap, NetmapNode } from '../control/netmap.ts';
import { type IpAddress, parseAddress } from '../ip/address.ts';
import { type IpPrefix, isHostPrefix, isInPrefix, parsePrefix } from '../ip/prefix.ts';

// docs/spec/dns.md#addresses
const TAILNET_PREFIXES: readonly IpPrefix[] = ['100.64.0.0/10', 'fd7a:115c:a1e0::/48'].flatMap(
  (text) => parsePrefix(text) ?? [],
);
/** Inside 100.64.0.0/10, but used by virtual machines of ChromeOS. */
const NOT_TAILNET_PREFIXES: readonly IpPrefix[] = ['100.115.92.0/23'].flatMap((text) => parsePrefix(text) ?? []);

/**
 * The names of one netmap: answers what MagicDNS would, without any network (docs/spec/dns.md#names).
 *
 * Immutable: a new netmap makes a new table. Names are compared in lower case and without their last dot. A table of
 * an expired node knows no names.
 */
export class NameTable {
  readonly #addresses = new Map<string, readonly IpAddress[]>();
  readonly #names = new Map<string, string>();
  readonly #searchDomains: readonly string[];
  /** Suffixes that nobody outside the tailnet may be asked about. */
  readonly #ownSuffixes: readonly string[];

  constructor(netmap: Netmap) {
    const suffix = parentOf(keyOf(netmap.self.name));
    const answeredHere = [...netmap.dns.routes].filter(([, resolvers]) => resolvers.length === 0);
    this.#searchDomains = withoutEmpty([suffix, ...netmap.dns.domains.map(keyOf)]);
    this.#ownSuffixes = withoutEmpty([suffix, ...answeredHere.map(([name]) => keyOf(name))]);
    if (netmap.self.isExpired) return;
    this.#addNode(netmap.self);
    for (const peer of netmap.peers.values()) this.#addNode(peer);
    for (const { name, address } of netmap.dns.extraRecords) this.#addRecord(keyOf(name), address);
  }

  /**
   * The addresses of a full name, of a short name or of an address in text, IPv4 first; empty for unknown names. A
   * name is tried as it is, then inside each search domain.
   */
  resolve(host: string): readonly IpAddress[] {
    const literal = parseAddress(host);
    if (literal !== undefined) return [literal];
    const name = keyOf(host);
    const exact = this.#addresses.get(name);
    if (exact !== undefined) return exact;
    // A peer called "localhost" must not receive what programs mean for their own machine (RFC 6761 §6.3).
    if (name === '' || name === 'localhost') return [];
    for (const domain of this.#searchDomains) {
      const found = this.#addresses.get(`${name}.${domain}`);
      if (found !== undefined) return found;
    }
    return [];
  }

  /** The full name of a node, lower case, without its last dot. */
  nameOf(address: IpAddress): string | undefined {
    return this.#names.get(address.text);
  }

  /**
   * True when a name or address can only mean something inside the tailnet, whether or not it exists there: it must
   * not be given to the system's resolver or network.
   */
  isInTailnet(host: string): boolean {
    const literal = parseAddress(host);
    if (literal !== undefined) return this.#names.has(literal.text) || isTailnetAddress(literal);
    const name = keyOf(host);
    if (this.#ownSuffixes.some((suffix) => name === suffix || name.endsWith(`.${suffix}`))) return true;
    return this.resolve(host).length > 0;
  }

  /** Of two nodes with one name the first keeps it: a name must not lead to two machines. */
  #addNode(node: NetmapNode): void {
    const addresses = node.addresses.filter(isHostPrefix).map((prefix) => prefix.address);
    const name = keyOf(node.name);
    if (name === '' || this.#addresses.has(name)) return;
    this.#addresses.set(name, sortByFamily(addresses));
    for (const address of addresses) if (!this.#names.has(address.text)) this.#names.set(address.text, name);
  }

  #addRecord(name: string, address: IpAddress): void {
    const known = this.#addresses.get(name) ?? [];
    if (known.some(({ text }) => text === address.text)) return;
    this.#addresses.set(name, sortByFamily([...known, address]));
  }
}

/** True in the ranges that tailnets give out: 100.64.0.0/10 without ChromeOS's part, and fd7a:115c:a1e0::/48. */
export function isTailnetAddress(address: IpAddress): boolean {
  return (
    TAILNET_PREFIXES.some((prefix) => isInPrefix(prefix, address)) &&
    !NOT_TAILNET_PREFIXES.some((prefix) => isInPrefix(prefix, address))
  );
}

function keyOf(name: string): string {
  return name.toLowerCase().replace(/\.$/, '');
}

function parentOf(name: string): string {
  const dot = name.indexOf('.');
  return dot < 0 ? '' : name.slice(dot + 1);
}

function withoutEmpty(names: readonly string[]): readonly string[] {
  return [...new Set(names)].filter((name) => name !== '');
}

function sortByFamily(addresses: readonly IpAddress[]): readonly IpAddress[] {
  return addresses.toSorted((a, b) => a.family - b.family);
}
