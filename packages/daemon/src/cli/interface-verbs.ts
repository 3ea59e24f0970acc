/**
 * The commands that speak with the REST daemons of TUN devices and local subnets, as rows of the table in `verbs.ts`. An
 * address is taken apart here; whether it is a good one is for the daemon to say.
 */

import { parseSeconds, parseWhole } from './option-values.ts';
import type { OptionSpec, VerbCall, VerbGroup, VerbSpec } from './verbs.ts';

/** What `--address` and `--ip6` say. */
export interface AddressOption {
  /** Text of the user, or `auto`. */
  readonly address: string;
  readonly prefixLength: number | undefined;
}

/** In place of the options about engines. */
const REST_OPTIONS: readonly OptionSpec[] = [
  { flags: '--port <port>', description: 'port of the daemon, if not its usual one', parse: parsePort },
  { flags: '--token-file <file>', description: 'file that holds the token of the daemon, for users it does not know' },
  { flags: '--timeout <seconds>', description: 'how long to wait; default 15', parse: parseSeconds },
  { flags: '--json', description: 'print what the daemon answers' },
];
const MTU: OptionSpec = {
  flags: '--mtu <bytes>',
  description: 'largest packet; default 1500',
  parse: (text) => parseWhole(text, 1, 65_535),
};
const SIZE: OptionSpec = {
  flags: '--prefix-length <bits>',
  description: 'size of the network heddle chooses; default 24, of IPv6 64',
  parse: (text) => parseWhole(text, 1, 128),
};
const IPV6: OptionSpec = { flags: '--ipv6', description: 'an IPv6 network', default: false };
const COUNT: OptionSpec = {
  flags: '--count <count>',
  description: 'how many, at most 256; default 8',
  parse: (text) => parseWhole(text, 1, 256),
};
const DEVICE = { name: '<name>', description: 'name of the device' };
const NETWORK = { name: '<cidr>', description: 'the network, as 10.1.0.0/24' };

/** Words for the help of the commands that have subcommands. */
export const INTERFACE_GROUPS: readonly VerbGroup[] = [
  {
    name: 'tun',
    description: 'make, list and delete TUN devices',
    examples: [
      'heddle tun create',
      'heddle tun create --name vpn0 --address 10.5.0.1/24 --owner me',
      'heddle tun list',
    ],
    note: 'They ask the daemon of TUN devices, port 3030 of this machine. Changes are for root and its operators.',
  },
  {
    name: 'subnet',
    description: 'add, list and delete local subnets',
    examples: ['heddle subnet add', 'heddle subnet add 10.1.0.0/24', 'heddle subnet free --prefix-length 20'],
    note: 'They ask the daemon of subnets, port 3031 of this machine. Changes are for root and its operators.',
  },
];

/** In the order of the help. */
export const INTERFACE_VERBS: readonly VerbSpec[] = [
  tunVerb('create', 'createTun', {
    description: 'make a TUN device; what is left out is chosen',
    options: [
      { flags: '--name <name>', description: 'its name; default the first free of tun0, tun1, …' },
      { flags: '--address <address>', description: 'its IPv4 address, as 10.5.0.1/24', parse: parseAddress },
      { flags: '--ip6 <address>', description: '"auto", or its IPv6 address, as fd00::1/64', parse: parseAddress },
      MTU,
      { flags: '--owner <user>', description: 'who may attach a program to it without being root' },
      { flags: '--attached', description: 'the daemon itself holds it open; no program attaches', default: false },
    ],
  }),
  tunVerb('list', 'listTuns', { description: 'list the TUN devices of heddle', options: [] }),
  tunVerb('show', 'showTun', { description: 'show all about one TUN device', argument: DEVICE, options: [] }),
  tunVerb('delete', 'deleteTun', { description: 'delete a TUN device', argument: DEVICE, options: [] }),
  subnetVerb('add', 'addSubnet', {
    description: 'make a local subnet',
    argument: { name: '[cidr]', description: 'the network; a free one is chosen without' },
    options: [SIZE, IPV6, MTU],
  }),
  subnetVerb('list', 'listSubnets', { description: 'list the local subnets of heddle', options: [] }),
  subnetVerb('show', 'showSubnet', { description: 'show all about one local subnet', argument: NETWORK, options: [] }),
  subnetVerb('delete', 'deleteSubnet', { description: 'delete a local subnet', argument: NETWORK, options: [] }),
  subnetVerb('free', 'listFreeSubnets', {
    description: 'list networks that are free, in the order they would be taken',
    options: [SIZE, IPV6, COUNT],
  }),
];

type Row = Pick<VerbSpec, 'description' | 'argument' | 'options'>;

function tunVerb(action: string, command: keyof typeof import('./commands/tun.ts'), row: Row): VerbSpec {
  const run = async (call: VerbCall): Promise<void> => (await import('./commands/tun.ts'))[command](call);
  return { ...row, name: `tun ${action}`, common: REST_OPTIONS, run };
}

function subnetVerb(action: string, command: keyof typeof import('./commands/subnet.ts'), row: Row): VerbSpec {
  const run = async (call: VerbCall): Promise<void> => (await import('./commands/subnet.ts'))[command](call);
  return { ...row, name: `subnet ${action}`, common: REST_OPTIONS, run };
}

function parsePort(text: string): number {
  return parseWhole(text, 1, 65_535);
}

function parseAddress(text: string): AddressOption {
  const [, address, bits] = /^([^/\s]+)(?:\/([0-9]{1,3}))?$/.exec(text) ?? [];
  if (address === undefined) throw new RangeError('Not an address like 10.5.0.1/24.');
  return { address, prefixLength: bits === undefined ? undefined : Number(bits) };
}
