import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { LINK_NAME_PATTERN, type TunInfo, type TunRequest, tunShape } from '../../schema/interface-api.ts';
import { anything, listOf } from '../../schema/shape.ts';
import type { AddressOption } from '../interface-verbs.ts';
import { askDaemon, formatFacts, formatMade, report, reportDeleted } from '../rest-command.ts';
import { formatTable, printable } from '../terminal.ts';
import type { OptionValues, VerbCall } from '../verbs.ts';

/** `heddle tun create`. */
export async function createTun(call: VerbCall): Promise<void> {
  const question = { method: 'POST', path: '/tun', body: requestOf(call.options) } as const;
  report(await askDaemon('tun-daemon', question, tunShape, call), formatCreated, call);
}

/** `heddle tun list`. */
export async function listTuns(call: VerbCall): Promise<void> {
  const question = { method: 'GET', path: '/tun', body: undefined } as const;
  report(await askDaemon('tun-daemon', question, listOf(tunShape), call), formatTuns, call);
}

/** `heddle tun show NAME`. */
export async function showTun(call: VerbCall): Promise<void> {
  const question = { method: 'GET', path: pathOf(call.argument), body: undefined } as const;
  const answer = await askDaemon('tun-daemon', question, tunShape, call);
  report(answer, (tun) => formatTun(tun, call.context.world.unixMs()), call);
}

/** `heddle tun delete NAME`. */
export async function deleteTun(call: VerbCall): Promise<void> {
  const question = { method: 'DELETE', path: pathOf(call.argument), body: undefined } as const;
  await askDaemon('tun-daemon', question, anything, call);
  reportDeleted(call.argument, call);
}

function requestOf(options: OptionValues): TunRequest {
  const { name, address, ip6, mtu, owner, attached } = options as {
    readonly name?: string;
    readonly address?: AddressOption;
    readonly ip6?: AddressOption;
    readonly mtu?: number;
    readonly owner?: string;
    readonly attached: boolean;
  };
  return {
    name,
    ip_addr: address?.address,
    prefix_length: address?.prefixLength,
    ip6_addr: ip6?.address,
    ip6_prefix_length: ip6?.prefixLength,
    mtu,
    owner: owner !== undefined && /^[0-9]{1,10}$/.test(owner) ? Number(owner) : owner,
    persistent: attached ? false : undefined,
  };
}

// Checked here, so that a name cannot lead to another path of the daemon.
function pathOf(name: string): string {
  if (LINK_NAME_PATTERN.test(name)) return `/tun/${encodeURIComponent(name)}`;
  throw new TailnetError('tun/bad-name', `"${name}" is not the name of a device`);
}

function formatCreated(tun: TunInfo): string {
  return printable(`Made ${[tun.name, ...addressesOf(tun)].join(', ')}`).concat('\n');
}

function formatTuns(tuns: readonly TunInfo[]): string {
  if (tuns.length === 0) return 'No TUN devices; make one: heddle tun create\n';
  const rows = tuns.map((tun) => [tun.name, addressesOf(tun).join(', '), `${tun.mtu}`, ownerOf(tun), useOf(tun)]);
  return formatTable([['DEVICE', 'ADDRESSES', 'MTU', 'OWNER', 'USE'], ...rows]);
}

function formatTun(tun: TunInfo, nowUnixMs: number): string {
  return formatFacts([
    ['device', `${tun.name} (${tun.kind})`],
    ['addresses', addressesOf(tun).join(', ')],
    ['network', tun.cidr],
    ['netmask', tun.netmask],
    ['broadcast', tun.broadcast],
    ['mtu', `${tun.mtu}`],
    ['owner', ownerOf(tun)],
    ['kept', tun.persistent ? 'until it is deleted' : 'open by the daemon'],
    ['use', useOf(tun)],
    ['made', formatMade(tun, nowUnixMs)],
  ]);
}

function addressesOf({ ip_addr, cidr, ip6_addr, ip6_prefix_length }: TunInfo): string[] {
  const address = `${ip_addr}${/\/[0-9]+$/.exec(cidr)?.[0] ?? ''}`;
  return ip6_addr === null ? [address] : [address, `${ip6_addr}/${ip6_prefix_length ?? 64}`];
}

function useOf({ state, attached }: TunInfo): string {
  if (state === 'missing') return 'missing';
  return attached ? 'in use' : 'free';
}

function ownerOf({ owner }: TunInfo): string {
  return owner === null ? 'root' : `uid ${owner}`;
}
