import { TailnetError } from '@heddle/tailnet/tailnet-error';
import {
  type FreeSubnets,
  freeSubnetsShape,
  type SubnetInfo,
  type SubnetRequest,
  subnetShape,
} from '../../schema/interface-api.ts';
import { anything, listOf } from '../../schema/shape.ts';
import { askDaemon, formatFacts, formatMade, report, reportDeleted } from '../rest-command.ts';
import { formatTable, printable } from '../terminal.ts';
import type { VerbCall } from '../verbs.ts';

interface NetworkOptions {
  readonly prefixLength?: number | undefined;
  readonly ipv6: boolean;
  readonly mtu?: number | undefined;
  readonly count?: number | undefined;
}

/** `heddle subnet add [CIDR]`. */
export async function addSubnet(call: VerbCall): Promise<void> {
  const question = { method: 'POST', path: '/subnet', body: requestOf(call) } as const;
  report(await askDaemon('subnet-daemon', question, subnetShape, call), formatAdded, call);
}

/** `heddle subnet list`. */
export async function listSubnets(call: VerbCall): Promise<void> {
  const question = { method: 'GET', path: '/subnet', body: undefined } as const;
  report(await askDaemon('subnet-daemon', question, listOf(subnetShape), call), formatSubnets, call);
}

/** `heddle subnet show CIDR`. */
export async function showSubnet(call: VerbCall): Promise<void> {
  const question = { method: 'GET', path: pathOf(call.argument), body: undefined } as const;
  const answer = await askDaemon('subnet-daemon', question, subnetShape, call);
  report(answer, (subnet) => formatSubnet(subnet, call.context.world.unixMs()), call);
}

/** `heddle subnet delete CIDR`. */
export async function deleteSubnet(call: VerbCall): Promise<void> {
  const question = { method: 'DELETE', path: pathOf(call.argument), body: undefined } as const;
  await askDaemon('subnet-daemon', question, anything, call);
  reportDeleted(call.argument, call);
}

/** `heddle subnet free`. */
export async function listFreeSubnets(call: VerbCall): Promise<void> {
  const { prefixLength, ipv6, count } = call.options as unknown as NetworkOptions;
  const query = new URLSearchParams();
  if (prefixLength !== undefined) query.set('prefix_length', `${prefixLength}`);
  if (ipv6) query.set('family', '6');
  if (count !== undefined) query.set('count', `${count}`);
  const path = query.size === 0 ? '/subnet/free' : `/subnet/free?${query}`;
  const answer = await askDaemon('subnet-daemon', { method: 'GET', path, body: undefined }, freeSubnetsShape, call);
  if (answer.value.free.length === 0) throw new TailnetError('allocation/exhausted', 'No such network is free');
  report(answer, formatFree, call);
}

function requestOf({ argument, options }: VerbCall): SubnetRequest {
  const { prefixLength, ipv6, mtu } = options as unknown as NetworkOptions;
  if (argument === '') return { prefix_length: prefixLength, family: ipv6 ? 6 : undefined, mtu };
  if (prefixLength === undefined && !ipv6) return { cidr: argument, mtu };
  const message = `"${argument}" is given, and ${ipv6 ? '--ipv6' : '--prefix-length'} for a network that heddle chooses`;
  throw new TailnetError('usage/two-networks', message);
}

// Checked here, so that a text cannot lead to another path of the daemon: /subnet/free is one.
function pathOf(cidr: string): string {
  if (/^[0-9A-Fa-f:.]{2,45}\/[0-9]{1,3}$/.test(cidr)) return `/subnet/${encodeURIComponent(cidr)}`;
  throw new TailnetError('subnet/bad-cidr', `"${cidr}" is not a network`);
}

function formatAdded(subnet: SubnetInfo): string {
  return printable(`Added ${subnet.network} at ${subnet.interface}, this machine is ${subnet.ip_addr}`).concat('\n');
}

function formatSubnets(subnets: readonly SubnetInfo[]): string {
  if (subnets.length === 0) return 'No local subnets; make one: heddle subnet add\n';
  const rows = subnets.map(({ network, ip_addr, interface: device, kind, mtu, state }) => [
    network,
    ip_addr,
    device,
    kind,
    `${mtu}`,
    state,
  ]);
  return formatTable([['NETWORK', 'ADDRESS', 'DEVICE', 'KIND', 'MTU', 'STATE'], ...rows]);
}

function formatSubnet(subnet: SubnetInfo, nowUnixMs: number): string {
  return formatFacts([
    ['network', subnet.network],
    ['address', subnet.ip_addr],
    ['device', `${subnet.interface} (${subnet.kind})`],
    ['mtu', `${subnet.mtu}`],
    ['state', subnet.state],
    ['made', formatMade(subnet, nowUnixMs)],
  ]);
}

function formatFree({ free }: FreeSubnets): string {
  return free.map((network) => `${printable(network)}\n`).join('');
}
