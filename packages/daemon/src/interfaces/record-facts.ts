import type { ReservedSubnet } from '../plan/host-facts.ts';
import type { InterfaceState } from '../schema/interface-api.ts';
import type { InterfaceRecord, SubnetRecord, TunRecord } from '../store/interface-records.ts';
import type { KernelLink } from './interface-kernel.ts';

/** The link that carries the interface; on macOS a subnet has none of its own. */
export function linkNameOf(record: InterfaceRecord): string {
  return record.kind === 'tun' ? record.name : record.link;
}

/** The addresses of the link with the bits of their networks: `10.0.0.1/24`. */
export function addressesOf(record: InterfaceRecord): readonly string[] {
  return record.kind === 'tun' ? tunAddresses(record) : [`${record.address}/${bitsOf(record)}`];
}

/** The networks that belong to the interface, under the name of its link; host bits may be set. */
export function reservationsOf(record: InterfaceRecord): readonly ReservedSubnet[] {
  return addressesOf(record).map((cidr) => ({ name: linkNameOf(record), cidr }));
}

/** For people. */
export function describeRecord(record: InterfaceRecord): string {
  if (record.kind === 'subnet') return `Subnet ${record.cidr}`;
  return `TUN device "${record.name}" (${record.address}/${record.prefixBits})`;
}

/** The link of the record as it is, under the name it was given; undefined when it is not there or not ours. */
export function findLinkOf(record: InterfaceRecord, links: ReadonlyMap<string, KernelLink>): KernelLink | undefined {
  const link = links.get(linkNameOf(record));
  return link?.mark === record.mark ? link : undefined;
}

/** How the link of a record compares with what it should be. */
export function stateOf(record: InterfaceRecord, link: KernelLink | undefined): InterfaceState {
  if (link === undefined) return 'missing';
  return link.isUp && addressesOf(record).every((cidr) => link.addresses.includes(cidr)) ? 'active' : 'changed';
}

function tunAddresses({ address, prefixBits, address6, prefixBits6 }: TunRecord): readonly string[] {
  const first = `${address}/${prefixBits}`;
  return address6 === undefined ? [first] : [first, `${address6}/${prefixBits6}`];
}

function bitsOf({ cidr }: SubnetRecord): string {
  return cidr.slice(cidr.indexOf('/') + 1);
}
