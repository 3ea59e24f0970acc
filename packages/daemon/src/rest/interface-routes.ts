import type { FreeQuery, SubnetService, TunService } from '../interfaces/interface-service.ts';
import {
  CIDR_KEYWORDS,
  type FreeSubnets,
  familyShape,
  freeSubnetsShape,
  LINK_NAME_PATTERN,
  type SubnetInfo,
  subnetRequestShape,
  subnetShape,
  type TunInfo,
  tunRequestShape,
  tunShape,
} from '../schema/interface-api.ts';
import type { InterfaceCode } from '../schema/interface-codes.ts';
import { described, integerOf, objectOf, optional, type Shape } from '../schema/shape.ts';
import { defineRoute, fromText, type PathTarget, type RestApi, type Route } from './route.ts';
import { WorkGate } from './work-gate.ts';

/** `GET /subnet/free` gives no more than this at a time. */
export const FREE_COUNT_MAX = 256;
const FREE_COUNT = 8;
/** It looks through all networks there are. */
const FREE_WORK_COUNT_MAX = 2;

const KERNEL: readonly InterfaceCode[] = [
  'interface/no-privilege',
  'interface/kernel-refused',
  'interface/unsupported',
  'interface/not-stored',
  'interface/no-tun-driver',
];
const CREATION: readonly InterfaceCode[] = [
  'allocation/overlap',
  'allocation/exhausted',
  'allocation/too-many',
  'interface/no-ipv6',
];
const BAD_CIDR: readonly InterfaceCode[] = ['subnet/bad-cidr', 'subnet/host-bits'];

/** The routes of the daemon for TUN devices. */
export function tunRoutes(service: TunService): RestApi {
  return {
    title: 'TUN devices of heddle',
    routes: [listTuns(service), createTun(service), getTun(service), deleteTun(service)],
    countInterfaces: async () => (await service.list()).length,
  };
}

/** The routes of the daemon for local subnets. */
export function subnetRoutes(service: SubnetService): RestApi {
  return {
    title: 'Local subnets of heddle',
    routes: [
      listSubnets(service),
      createSubnet(service),
      listFreeSubnets(service),
      getSubnet(service),
      deleteSubnet(service),
    ],
    countInterfaces: async () => (await service.list()).length,
  };
}

function listTuns(service: TunService): Route {
  return defineRoute({
    ...PLAIN,
    method: 'GET',
    path: '/tun',
    operationId: 'listTuns',
    summary: 'The devices that heddle made',
    answer: { kind: 'json-list', name: 'Tun', shape: tunShape, example: [TUN] },
    codes: KERNEL,
    handle: () => service.list(),
  });
}

function createTun(service: TunService): Route {
  const refusals = [
    'tun/bad-name',
    'tun/bad-address',
    'tun/bad-mtu',
    'tun/unknown-owner',
    'tun/not-supported',
  ] as const;
  return defineRoute({
    ...PLAIN,
    method: 'POST',
    path: '/tun',
    operationId: 'createTun',
    summary: 'Makes a device',
    body: {
      name: 'TunRequest',
      shape: tunRequestShape,
      examples: { 'Chosen by heddle': {}, 'Chosen by the client': { name: 'tun7', ip_addr: '10.5.0.1' } },
    },
    answer: { kind: 'json', name: 'Tun', shape: tunShape, example: TUN },
    codes: [...refusals, 'tun/name-taken', ...CREATION, ...KERNEL],
    handle: ({ body, caller }) => service.create(body, caller),
  });
}

function getTun(service: TunService): Route {
  return defineRoute({
    ...PLAIN,
    method: 'GET',
    path: '/tun/{name}',
    operationId: 'getTun',
    summary: 'One device',
    target: NAME,
    answer: { kind: 'json', name: 'Tun', shape: tunShape, example: TUN },
    codes: ['tun/unknown', ...KERNEL],
    handle: ({ target }) => service.find(target),
  });
}

function deleteTun(service: TunService): Route {
  return defineRoute({
    ...PLAIN,
    method: 'DELETE',
    path: '/tun/{name}',
    operationId: 'deleteTun',
    summary: 'Removes a device',
    target: NAME,
    answer: { kind: 'none' },
    codes: ['tun/unknown', 'tun/in-use', ...KERNEL],
    handle: ({ target }) => service.delete(target),
  });
}

function listSubnets(service: SubnetService): Route {
  return defineRoute({
    ...PLAIN,
    method: 'GET',
    path: '/subnet',
    operationId: 'listSubnets',
    summary: 'The subnets that heddle made',
    answer: { kind: 'json-list', name: 'Subnet', shape: subnetShape, example: [SUBNET] },
    codes: KERNEL,
    handle: () => service.list(),
  });
}

function createSubnet(service: SubnetService): Route {
  return defineRoute({
    ...PLAIN,
    method: 'POST',
    path: '/subnet',
    operationId: 'createSubnet',
    summary: 'Makes a subnet',
    body: {
      name: 'SubnetRequest',
      shape: subnetRequestShape,
      examples: { 'This one': { cidr: '10.1.0.0/24' }, 'A free one': {}, 'A free one of IPv6': { family: 6 } },
    },
    answer: { kind: 'json', name: 'Subnet', shape: subnetShape, example: SUBNET },
    codes: [...BAD_CIDR, 'subnet/forbidden-range', 'subnet/bad-mtu', 'subnet/exists', ...CREATION, ...KERNEL],
    handle: ({ body, caller }) => service.create(body, caller),
  });
}

function listFreeSubnets(service: SubnetService): Route {
  const gate = new WorkGate(FREE_WORK_COUNT_MAX);
  return defineRoute({
    ...PLAIN,
    method: 'GET',
    path: '/subnet/free',
    operationId: 'listFreeSubnets',
    summary: 'What a subnet would get that asks for no network',
    query: freeQueryShape,
    answer: { kind: 'json', name: 'FreeSubnets', shape: freeSubnetsShape, example: FREE },
    codes: ['subnet/bad-cidr', 'allocation/exhausted', ...KERNEL],
    handle: ({ query }) => gate.run(() => service.listFree(toFreeQuery(query))),
  });
}

function getSubnet(service: SubnetService): Route {
  return defineRoute({
    ...PLAIN,
    method: 'GET',
    path: '/subnet/{cidr}',
    operationId: 'getSubnet',
    summary: 'One subnet',
    target: CIDR,
    answer: { kind: 'json', name: 'Subnet', shape: subnetShape, example: SUBNET },
    codes: ['subnet/unknown', ...BAD_CIDR, ...KERNEL],
    handle: ({ target }) => service.find(target),
  });
}

function deleteSubnet(service: SubnetService): Route {
  return defineRoute({
    ...PLAIN,
    method: 'DELETE',
    path: '/subnet/{cidr}',
    operationId: 'deleteSubnet',
    summary: 'Removes a subnet',
    target: CIDR,
    answer: { kind: 'none' },
    codes: ['subnet/unknown', ...BAD_CIDR, ...KERNEL],
    handle: ({ target }) => service.delete(target),
  });
}

/** What most routes lack. */
const PLAIN = { target: undefined, query: undefined, body: undefined };

interface FreeText {
  readonly prefix_length?: number | undefined;
  readonly family?: 4 | 6 | undefined;
  readonly count?: number | undefined;
}

const freeQueryShape: Shape<FreeText> = objectOf<FreeText>({
  prefix_length: optional(
    described(fromText(integerOf(8, 126)), { description: '24 of IPv4, 64 of IPv6 unless given' }),
  ),
  family: optional(described(fromText(familyShape), { default: 4 })),
  count: optional(described(fromText(integerOf(1, FREE_COUNT_MAX)), { default: FREE_COUNT })),
});

function toFreeQuery({ family, prefix_length: prefixLength, count }: FreeText): FreeQuery {
  return { family: family ?? 4, prefixLength, countMax: count ?? FREE_COUNT };
}

const NAME: PathTarget = {
  description: 'The name of the device',
  example: 'tun0',
  schema: { type: 'string', pattern: LINK_NAME_PATTERN.source },
  partCountMax: 1,
};

const CIDR: PathTarget = {
  description: 'The network; its slash may be escaped as %2F or not',
  example: '10.1.0.0/24',
  schema: { type: 'string', minLength: 4, maxLength: 49, pattern: CIDR_KEYWORDS['pattern'] },
  partCountMax: 2,
};

const TUN: TunInfo = {
  name: 'tun0',
  ip_addr: '10.0.0.1',
  netmask: '255.255.255.0',
  broadcast: '10.0.0.255',
  cidr: '10.0.0.0/24',
  ip6_addr: null,
  ip6_prefix_length: null,
  mtu: 1500,
  kind: 'tun',
  persistent: true,
  attached: false,
  owner: null,
  state: 'active',
  created_by: 0,
  created_at: '2027-01-31T12:00:00.000Z',
};

const SUBNET: SubnetInfo = {
  network: '10.1.0.0/24',
  cidr: '10.1.0.0/24',
  interface: 'dummy0',
  ip_addr: '10.1.0.1',
  kind: 'dummy',
  mtu: 1500,
  state: 'active',
  created_by: 0,
  created_at: '2027-01-31T12:00:00.000Z',
};

const FREE: FreeSubnets = { free: ['10.1.0.0/24', '10.2.0.0/24'] };
