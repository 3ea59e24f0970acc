import type { IpPrefix } from '../ip/prefix.ts';
import { AddressSet } from './address-set.ts';
import { FlowTable } from './flow-table.ts';
import { type HeaderError, PacketHeader } from './packet-header.ts';
import { IP_PROTOCOL } from './protocols.ts';
import { RuleTable } from './rule-table.ts';
import { type FilterRule, rangeOfPrefix } from './rules.ts';

/** Why a packet was refused: a counter's name. */
export type FilterDrop = HeaderError | 'multicast' | 'link-local' | 'not-ours' | 'no-rule';

const NO_RULES = new RuleTable([], () => []);

/**
 * Decides which packets of peers reach us (docs/spec/filter.md#inbound), and remembers what we send so that replies
 * pass. The caller has already checked that the source address belongs to the peer.
 *
 * State: the rules, our own prefixes, and the flows we opened. Replacing rules or prefixes keeps the flows. Until
 * {@link setRules} and {@link setLocalPrefixes} were called everything that arrives is refused.
 * Nothing throws; a verdict allocates nothing and costs one look at the header, and for packets that open something
 * one look at the rules.
 */
export class PacketFilter {
  readonly #header = new PacketHeader();
  readonly #flows = new FlowTable();
  #rules: readonly FilterRule[] = [];
  #capabilityOwners: (capability: string) => readonly IpPrefix[] = () => [];
  #table = NO_RULES;
  #localIpv4 = new AddressSet(4, []);
  #localIpv6 = new AddressSet(6, []);

  /** Replaces the rules; flows stay. */
  setRules(rules: readonly FilterRule[]): void {
    this.#rules = rules;
    this.#compile();
  }

  /** Our own addresses, and the subnets and exit routes that we advertise. */
  setLocalPrefixes(prefixes: readonly IpPrefix[]): void {
    const ranges = prefixes.map(rangeOfPrefix);
    this.#localIpv4 = new AddressSet(4, ranges);
    this.#localIpv6 = new AddressSet(6, ranges);
  }

  /**
   * Tells who has a node capability (rules with `cap:` sources). The lookup runs here and at every
   * {@link setRules}, never per packet: call again when the netmap changes.
   */
  setCapabilityOwners(lookup: (capability: string) => readonly IpPrefix[]): void {
    this.#capabilityOwners = lookup;
    this.#compile();
  }

  /**
   * Judges a decrypted packet. Zero bytes (a keepalive) are accepted: there is nothing to deliver.
   * @param isJailed The peer may answer us but not open anything: no rule counts.
   */
  checkInbound(bytes: Uint8Array, offset: number, length: number, isJailed: boolean): 'accept' | FilterDrop {
    if (length === 0) return 'accept';
    const header = this.#header;
    const drop = header.decode(bytes, offset, length) ?? checkDestination(header);
    if (drop !== undefined) return drop;
    // Passes even when it is not for us: without its first fragment it is nothing.
    if (header.isLaterFragment) return 'accept';
    const local = header.family === 4 ? this.#localIpv4 : this.#localIpv6;
    if (!local.has(header.destination)) return 'not-ours';
    return this.#isAllowed(header, isJailed ? NO_RULES : this.#table) ? 'accept' : 'no-rule';
  }

  /** Judges a packet of ours before it is encrypted, and lets the replies to it in. */
  checkOutbound(bytes: Uint8Array, offset: number, length: number): 'accept' | FilterDrop {
    const header = this.#header;
    const drop = header.decode(bytes, offset, length) ?? checkDestination(header);
    if (drop !== undefined) return drop;
    const hasFlow = header.protocol === IP_PROTOCOL.udp || header.protocol === IP_PROTOCOL.sctp;
    if (hasFlow && !header.isLaterFragment) this.#flows.addOutbound(header);
    return 'accept';
  }

  #isAllowed(header: PacketHeader, rules: RuleTable): boolean {
    switch (header.protocol) {
      case IP_PROTOCOL.tcp:
        // What opens nothing needs no rule: without a connection the stack answers RST.
        return !header.isSyn || rules.allowsPort(header);
      case IP_PROTOCOL.udp:
      case IP_PROTOCOL.sctp:
        return this.#flows.hasInbound(header) || rules.allowsPort(header);
      case header.family === 4 ? IP_PROTOCOL.icmpv4 : IP_PROTOCOL.icmpv6:
        return isIcmpReply(header) || rules.allowsAddress(header);
      case IP_PROTOCOL.tsmp:
        return true;
      default:
        return rules.allowsAllPorts(header);
    }
  }

  #compile(): void {
    const rangesOf = (capability: string) => this.#capabilityOwners(capability).map(rangeOfPrefix);
    this.#table = new RuleTable(this.#rules, rangesOf);
  }
}

/** Multicast and link-local never cross a tailnet, in either direction. */
function checkDestination(header: PacketHeader): FilterDrop | undefined {
  const first = header.destination[0] as number;
  if (header.family === 6) {
    if (first >>> 24 === 0xff) return 'multicast'; // ff00::/8
    return first >>> 22 === 0xfe80 >>> 6 ? 'link-local' : undefined; // fe80::/10
  }
  if (first >>> 28 === 0xe) return 'multicast'; // 224.0.0.0/4
  const isMetadataService = first === 0xa9fea9fe; // 169.254.169.254: clouds serve DNS and metadata there
  return first >>> 16 === 0xa9fe && !isMetadataService ? 'link-local' : undefined;
}

/** Echo replies and error messages answer something of ours. */
function isIcmpReply({ protocol, icmpType, icmpCode }: PacketHeader): boolean {
  if (protocol === IP_PROTOCOL.icmpv4) {
    // RFC 792: 0 echo reply, 3 unreachable, 11 time exceeded, 12 parameter problem.
    return (icmpType === 0 && icmpCode === 0) || icmpType === 3 || icmpType === 11 || icmpType === 12;
  }
  // RFC 4443: 129 echo reply, 1–4 unreachable, too big, time exceeded, parameter problem.
  return (icmpType === 129 && icmpCode === 0) || (icmpType >= 1 && icmpType <= 4);
}
