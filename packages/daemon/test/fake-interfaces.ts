import { decodeAddress, parseAddress } from '@heddle/proto/ip/address';
import { formatPrefix, type IpPrefix, isInPrefix, parsePrefix } from '@heddle/proto/ip/prefix';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import type { Caller, FreeQuery, SubnetService, TunService } from '../src/interfaces/interface-service.ts';
import type { FreeSubnets, SubnetInfo, SubnetRequest, TunInfo, TunRequest } from '../src/schema/interface-api.ts';

const CREATED_AT = '2027-01-31T12:00:00.000Z';
const COUNT_MAX = 50_000;

/** TUN devices in memory: as strict as a real service with what clients send, without a kernel. */
export class FakeTunService implements TunService {
  readonly devices = new Map<string, TunInfo>();
  /** Set, every call rejects with it. */
  failure: Error | undefined;
  #count = 0;

  async list(): Promise<readonly TunInfo[]> {
    this.#fail();
    return [...this.devices.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async find(name: string): Promise<TunInfo> {
    this.#fail();
    const found = this.devices.get(name);
    if (found === undefined) throw new TailnetError('tun/unknown', `There is no device "${name}" of heddle`);
    return found;
  }

  async create(request: TunRequest, caller: Caller): Promise<TunInfo> {
    this.#fail();
    const name = request.name ?? `tun${this.#nextNumber()}`;
    if (name === 'lo') throw new TailnetError('tun/bad-name', 'No device can have the name "lo"');
    if (this.devices.has(name)) throw new TailnetError('tun/name-taken', `The name "${name}" is taken`);
    if (typeof request.owner === 'string') throw new TailnetError('tun/unknown-owner', 'There is no such user');
    if (request.ip6_addr !== undefined && (request.mtu ?? 1500) < 1280) {
      throw new TailnetError('tun/bad-mtu', 'IPv6 needs an MTU of 1280 or more');
    }
    if (this.devices.size >= COUNT_MAX) throw new TailnetError('allocation/too-many', 'There are too many devices');
    const info = describeTun(name, request.ip_addr ?? this.#freeAddress(), { request, caller });
    const network = parsePrefix(info.cidr) as IpPrefix;
    const isOverlap = [...this.devices.values()].some(({ cidr }) => overlaps(parsePrefix(cidr) as IpPrefix, network));
    if (isOverlap) throw new TailnetError('allocation/overlap', `The network "${info.cidr}" is in use`);
    this.devices.set(name, info);
    return info;
  }

  async delete(name: string): Promise<void> {
    await this.find(name);
    this.devices.delete(name);
  }

  #nextNumber(): number {
    while (this.devices.has(`tun${this.#count}`)) this.#count++;
    return this.#count;
  }

  #freeAddress(): string {
    const taken = [...this.devices.values()].map(({ cidr }) => parsePrefix(cidr) as IpPrefix);
    const number = Array.from({ length: 65_536 }, (_, i) => i).find((i) => {
      const network = parsePrefix(`10.${i >> 8}.${i & 255}.0/24`) as IpPrefix;
      return !taken.some((other) => overlaps(other, network));
    });
    if (number === undefined) throw new TailnetError('allocation/exhausted', 'No network is free');
    return `10.${number >> 8}.${number & 255}.1`;
  }

  #fail(): void {
    if (this.failure !== undefined) throw this.failure;
  }
}

/** Local subnets in memory. Overlaps are refused; the pool is 10.0.0.0/8 and fd00::/8. */
export class FakeSubnetService implements SubnetService {
  readonly subnets = new Map<string, SubnetInfo>();
  failure: Error | undefined;

  async list(): Promise<readonly SubnetInfo[]> {
    this.#fail();
    return [...this.subnets.values()];
  }

  async find(cidr: string): Promise<SubnetInfo> {
    this.#fail();
    const network = formatPrefix(parseNetwork(cidr));
    const found = this.subnets.get(network);
    if (found === undefined) throw new TailnetError('subnet/unknown', `There is no subnet "${network}" of heddle`);
    return found;
  }

  async create(request: SubnetRequest, caller: Caller): Promise<SubnetInfo> {
    this.#fail();
    const free = { family: request.family ?? 4, prefixLength: request.prefix_length, countMax: 1 } as const;
    const network = parseNetwork(request.cidr ?? (this.#free(free)[0] as string));
    if (this.subnets.has(formatPrefix(network))) throw new TailnetError('subnet/exists', 'The subnet is there already');
    if (network.address.bytes[0] !== 10 && network.address.bytes[0] !== 0xfd) {
      throw new TailnetError('subnet/forbidden-range', 'This range is not for local subnets');
    }
    if (network.address.family === 6 && (request.mtu ?? 1500) < 1280) {
      throw new TailnetError('subnet/bad-mtu', 'IPv6 needs an MTU of 1280 or more');
    }
    if (!this.#isFree(network)) throw new TailnetError('allocation/overlap', 'The network is in use');
    const info = describeSubnet(network, this.subnets.size, { request, caller });
    this.subnets.set(info.network, info);
    return info;
  }

  async delete(cidr: string): Promise<void> {
    const { network } = await this.find(cidr);
    this.subnets.delete(network);
  }

  async listFree(query: FreeQuery): Promise<FreeSubnets> {
    this.#fail();
    return { free: this.#free(query) };
  }

  #free({ family, prefixLength, countMax }: FreeQuery): readonly string[] {
    const bits = prefixLength ?? (family === 4 ? 24 : 64);
    if (family === 4 ? bits > 30 : bits < 48) {
      throw new TailnetError('subnet/bad-cidr', `IPv${family} has no networks of ${bits} bits here`);
    }
    const free = new Set<string>();
    for (let i = 0; i < 65_536 && free.size < countMax; i++) {
      const text = family === 4 ? `10.${i >> 8}.${i & 255}.0/${bits}` : `fd00:0:${i.toString(16)}::/${bits}`;
      const network = clearHostBits(parsePrefix(text) as IpPrefix);
      if (this.#isFree(network)) free.add(formatPrefix(network));
    }
    if (free.size === 0) throw new TailnetError('allocation/exhausted', `No /${bits} is free`);
    return [...free];
  }

  #isFree(network: IpPrefix): boolean {
    return ![...this.subnets.keys()].some((text) => overlaps(parsePrefix(text) as IpPrefix, network));
  }

  #fail(): void {
    if (this.failure !== undefined) throw this.failure;
  }
}

interface Origin<R> {
  readonly request: R;
  readonly caller: Caller;
}

function describeTun(name: string, address: string, { request, caller }: Origin<TunRequest>): TunInfo {
  const own = parseAddress(address);
  if (own?.family !== 4) throw new TailnetError('tun/bad-address', `"${address}" is no IPv4 address`);
  const bits = request.prefix_length ?? 24;
  const ip6 = request.ip6_addr === 'auto' ? 'fd00::1' : request.ip6_addr;
  if (ip6 !== undefined && parseAddress(ip6)?.family !== 6) {
    throw new TailnetError('tun/bad-address', `"${ip6}" is no IPv6 address`);
  }
  const mask = (0xffff_ffff << (32 - bits)) >>> 0;
  const numeric = own.bytes.reduce((sum, byte) => sum * 256 + byte, 0);
  return {
    name,
    ip_addr: own.text,
    netmask: formatIpv4(mask),
    broadcast: formatIpv4((numeric | ~mask) >>> 0),
    cidr: `${formatIpv4((numeric & mask) >>> 0)}/${bits}`,
    ip6_addr: ip6 ?? null,
    ip6_prefix_length: ip6 === undefined ? null : (request.ip6_prefix_length ?? 64),
    mtu: request.mtu ?? 1500,
    kind: 'tun',
    persistent: request.persistent ?? true,
    attached: false,
    owner: typeof request.owner === 'number' ? request.owner : null,
    state: 'active',
    created_by: caller.uid ?? null,
    created_at: CREATED_AT,
  };
}

function describeSubnet(network: IpPrefix, number: number, { request, caller }: Origin<SubnetRequest>): SubnetInfo {
  const first = network.address.bytes.slice();
  first[first.length - 1] = (first.at(-1) as number) | 1;
  return {
    network: formatPrefix(network),
    cidr: formatPrefix(network),
    interface: `dummy${number}`,
    ip_addr: decodeAddress(first, 0, network.address.family === 4 ? 4 : 16).text,
    kind: 'dummy',
    mtu: request.mtu ?? 1500,
    state: 'active',
    created_by: caller.uid ?? null,
    created_at: CREATED_AT,
  };
}

function parseNetwork(text: string): IpPrefix {
  const network = text.includes('/') ? parsePrefix(text) : undefined;
  if (network === undefined) throw new TailnetError('subnet/bad-cidr', 'This is no network such as 10.1.0.0/24');
  const right = clearHostBits(network);
  if (formatPrefix(right) !== formatPrefix(network)) {
    throw new TailnetError('subnet/host-bits', `The network has host bits, you may mean "${formatPrefix(right)}"`);
  }
  const [bitsMin, bitsMax] = network.address.family === 4 ? [8, 30] : [48, 126];
  if (network.bits < bitsMin || network.bits > bitsMax) {
    throw new TailnetError('subnet/bad-cidr', `A network has ${bitsMin} to ${bitsMax} bits`);
  }
  return right;
}

function clearHostBits({ address, bits }: IpPrefix): IpPrefix {
  const bytes = address.bytes.map((byte, i) => byte & (0xff << Math.min(8, Math.max(0, 8 * (i + 1) - bits))));
  return { address: decodeAddress(bytes, 0, address.family === 4 ? 4 : 16), bits };
}

function overlaps(a: IpPrefix, b: IpPrefix): boolean {
  return isInPrefix(a, b.address) || isInPrefix(b, a.address);
}

function formatIpv4(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.');
}
