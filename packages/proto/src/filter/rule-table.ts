import { AddressSet } from './address-set.ts';
import type { PacketHeader } from './packet-header.ts';
import type { AddressRange, FilterDestination, FilterRule } from './rules.ts';

interface CompiledDestination {
  readonly addresses: AddressSet;
  readonly firstPort: number;
  readonly lastPort: number;
}

interface CompiledRule {
  readonly protocols: readonly number[];
  readonly sources: AddressSet;
  readonly destinations: readonly CompiledDestination[];
}

interface FamilyRules {
  readonly all: readonly CompiledRule[];
  /** 256 lists: the rules that name the protocol. */
  readonly byProtocol: readonly (readonly CompiledRule[])[];
}

/**
 * Filter rules in the form that packets are compared with: per family and protocol, sources as sorted ranges.
 * Immutable; asking allocates nothing. Destinations are few (a server sends only those that are ours), so they are
 * looked at one by one, before the sources, of which there may be thousands.
 */
export class RuleTable {
  readonly #ipv4: FamilyRules;
  readonly #ipv6: FamilyRules;

  /** @param rangesOfCapability The addresses of the peers that have a node capability now. */
  constructor(rules: readonly FilterRule[], rangesOfCapability: (capability: string) => readonly AddressRange[]) {
    const withSources = rules.map((rule) => ({
      rule,
      sources: [...rule.sources, ...rule.sourceCapabilities.flatMap(rangesOfCapability)],
    }));
    this.#ipv4 = indexRules(withSources.flatMap(({ rule, sources }) => compileRule(4, rule, sources)));
    this.#ipv6 = indexRules(withSources.flatMap(({ rule, sources }) => compileRule(6, rule, sources)));
  }

  /** Some rule names the protocol, the source, the destination and its port. */
  allowsPort(header: PacketHeader): boolean {
    for (const rule of this.#rulesFor(header)) {
      if (hasPort(rule.destinations, header) && rule.sources.has(header.source)) return true;
    }
    return false;
  }

  /** Some rule names the protocol, the source, the destination and every port: for protocols without ports. */
  allowsAllPorts(header: PacketHeader): boolean {
    for (const rule of this.#rulesFor(header)) {
      if (hasAllPorts(rule.destinations, header) && rule.sources.has(header.source)) return true;
    }
    return false;
  }

  /** Some rule lets the source reach the destination, whatever the protocol and port. */
  allowsAddress(header: PacketHeader): boolean {
    for (const rule of (header.family === 4 ? this.#ipv4 : this.#ipv6).all) {
      if (hasAddress(rule.destinations, header) && rule.sources.has(header.source)) return true;
    }
    return false;
  }

  #rulesFor(header: PacketHeader): readonly CompiledRule[] {
    const family = header.family === 4 ? this.#ipv4 : this.#ipv6;
    return family.byProtocol[header.protocol] as readonly CompiledRule[];
  }
}

/** A rule without source or destination of the family can match nothing and is left out. */
function compileRule(family: 4 | 6, rule: FilterRule, sources: readonly AddressRange[]): CompiledRule[] {
  const destinations = rule.destinations.filter(({ range }) => range.family === family);
  const compiled: CompiledRule = {
    protocols: rule.protocols,
    sources: new AddressSet(family, sources),
    destinations: destinations.map((destination) => compileDestination(family, destination)),
  };
  return compiled.sources.isEmpty || destinations.length === 0 || rule.protocols.length === 0 ? [] : [compiled];
}

function compileDestination(family: 4 | 6, destination: FilterDestination): CompiledDestination {
  const { range, firstPort, lastPort } = destination;
  return { addresses: new AddressSet(family, [range]), firstPort, lastPort };
}

function indexRules(all: readonly CompiledRule[]): FamilyRules {
  const byProtocol = Array.from({ length: 256 }, (): CompiledRule[] => []);
  for (const rule of all) for (const protocol of new Set(rule.protocols)) byProtocol[protocol]?.push(rule);
  return { all, byProtocol };
}

function hasPort(destinations: readonly CompiledDestination[], header: PacketHeader): boolean {
  const port = header.destinationPort;
  for (const { addresses, firstPort, lastPort } of destinations) {
    if (port >= firstPort && port <= lastPort && addresses.has(header.destination)) return true;
  }
  return false;
}

function hasAllPorts(destinations: readonly CompiledDestination[], header: PacketHeader): boolean {
  for (const { addresses, firstPort, lastPort } of destinations) {
    if (firstPort === 0 && lastPort === 0xffff && addresses.has(header.destination)) return true;
  }
  return false;
}

function hasAddress(destinations: readonly CompiledDestination[], header: PacketHeader): boolean {
  for (const { addresses } of destinations) if (addresses.has(header.destination)) return true;
  return false;
}
