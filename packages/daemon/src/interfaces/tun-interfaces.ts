import { parseAddress } from '@heddle/proto/ip/address';
import { formatPrefix, type IpPrefix } from '@heddle/proto/ip/prefix';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import type { FreeNetwork } from '../allocation/allocate.ts';
import { broadcastOf, dottedNetmask, firstHost, isHostOf, networkOf } from '../allocation/cidr-text.ts';
import { chooseLinkName, isUsableLinkName } from '../allocation/link-name.ts';
import type { TunInfo, TunRequest } from '../schema/interface-api.ts';
import type { InterfaceRecord, TunRecord } from '../store/interface-records.ts';
import { type AddressPools, chooseNetwork, takeNetwork } from './choose-network.ts';
import type { InterfaceBook, Surroundings } from './interface-book.ts';
import type { InterfaceKernel, KernelLink } from './interface-kernel.ts';
import type { Caller, TunService } from './interface-service.ts';
import { KeptList } from './kept-list.ts';
import { findLinkOf, stateOf } from './record-facts.ts';

export interface InterfacesOptions {
  readonly book: InterfaceBook;
  readonly kernel: InterfaceKernel;
  readonly pools: AddressPools;
  /** The number of a user by name. */
  readonly findUid: (name: string) => number | undefined;
  readonly unixMs: () => number;
  /** As {@link drawMark}. */
  readonly drawMark: () => number;
}

const BITS = 24;
const BITS6 = 64;
const MTU = 1500;
/** RFC 8200 §5. */
export const MTU_MIN_IPV6 = 1280;
/** Other programs make links too: a name that was free a moment ago may be taken. */
const NAME_ATTEMPT_COUNT_MAX = 8;

/** The TUN devices that heddle made. */
export class TunInterfaces implements TunService {
  readonly #o: InterfacesOptions;
  readonly #list = new KeptList((links: ReadonlyMap<string, KernelLink>, records: readonly InterfaceRecord[]) => {
    return records.filter((record) => record.kind === 'tun').map((record) => this.#describe(record, links));
  });

  constructor(options: InterfacesOptions) {
    this.#o = options;
  }

  async list(): Promise<readonly TunInfo[]> {
    return this.#list.of(await this.#o.book.links(), this.#o.book.records());
  }

  async find(name: string): Promise<TunInfo> {
    const record = this.#record(name);
    return this.#describe(record, await this.#o.book.links());
  }

  create(request: TunRequest, caller: Caller): Promise<TunInfo> {
    return this.#o.book.change(async () => {
      const wish = this.#readWish(request);
      const surroundings = await this.#o.book.look();
      if (request.name !== undefined) await this.#refuseTaken(request.name, surroundings);
      const { networks, warnings } = this.#chooseNetworks(wish, surroundings);
      const record = await this.#make({ ...wish, ...networks, caller }, surroundings);
      const info = this.#describe(record, await this.#o.book.links());
      return warnings.length === 0 ? info : { ...info, warnings };
    });
  }

  delete(name: string): Promise<void> {
    return this.#o.book.change(async () => {
      const record = this.#record(name);
      if (await this.#o.kernel.isInUse(record)) {
        throw new TailnetError('tun/in-use', `A program has the device "${name}" open`);
      }
      await this.#o.book.remove(record);
    });
  }

  #record(name: string): TunRecord {
    const record = this.#o.book.record(`tun/${name}`);
    if (record?.kind === 'tun') return record;
    throw new TailnetError('tun/unknown', `There is no device "${name}" of heddle`);
  }

  async #refuseTaken(name: string, { takenNames }: Surroundings): Promise<void> {
    if (!takenNames.has(name)) return;
    const record = this.#o.book.record(`tun/${name}`);
    const isMissing = record !== undefined && findLinkOf(record, await this.#o.book.links()) === undefined;
    const missing = `heddle has a device "${name}" whose link somebody removed; delete it first, or restart the daemon`;
    throw new TailnetError('tun/name-taken', isMissing ? missing : `A link called "${name}" is there already`);
  }

  #readWish(request: TunRequest): Wish {
    const { name, persistent, mtu = MTU, ip6_addr: text6 } = request;
    if (name !== undefined) this.#checkName(name);
    if (persistent === true && !this.#o.kernel.canPersist) {
      throw new TailnetError('tun/not-supported', 'A device of this system ends with the process that holds it');
    }
    if (text6 === undefined && request.ip6_prefix_length !== undefined) {
      throw new TailnetError('rest/bad-field', '"ip6_prefix_length" says nothing without "ip6_addr"');
    }
    if (text6 !== undefined && mtu < MTU_MIN_IPV6)
      throw new TailnetError('tun/bad-mtu', `An mtu of ${mtu} is too small`);
    return {
      name,
      mtu,
      ownerUid: this.#findOwner(request.owner),
      isPersistent: persistent ?? this.#o.kernel.canPersist,
      ipv4: readAddress(request.ip_addr, request.prefix_length ?? BITS, 4),
      ipv6:
        text6 === undefined
          ? undefined
          : readAddress(text6 === 'auto' ? undefined : text6, request.ip6_prefix_length ?? BITS6, 6),
    };
  }

  #checkName(name: string): void {
    const { tunPrefix } = this.#o.kernel;
    // macOS has no other names; the number becomes a unit of 32 bits.
    if (tunPrefix === 'utun' && !/^utun(0|[1-9][0-9]{0,8})$/.test(name)) {
      throw new TailnetError('tun/bad-name', `Devices of this system are called utun0, utun1 and so on, not "${name}"`);
    }
    if (!isUsableLinkName(name)) throw new TailnetError('tun/bad-name', `The name "${name}" has a meaning of its own`);
  }

  #findOwner(owner: string | number | undefined): number | undefined {
    if (typeof owner !== 'string') return owner;
    const uid = this.#o.findUid(owner);
    if (uid === undefined) throw new TailnetError('tun/unknown-owner', `There is no user "${owner}"`);
    return uid;
  }

  #chooseNetworks({ ipv4, ipv6 }: Wish, { busy }: Surroundings): ChosenNetworks {
    const { pools } = this.#o;
    const choose = ({ address, network, bits }: WishedAddress, from: readonly IpPrefix[]): Chosen => {
      const free =
        network === undefined ? chooseNetwork(from, bits, busy) : takeNetwork(network, busy, 'tun/bad-address');
      return { ...free, address: address ?? firstHost(free.prefix).text };
    };
    const first = choose(ipv4, pools.ipv4);
    const second = ipv6 === undefined ? undefined : choose(ipv6, pools.ipv6);
    return {
      networks: { address: first.address, address6: second?.address },
      warnings: [...first.warnings, ...(second?.warnings ?? [])],
    };
  }

  async #make(
    plan: Wish & ChosenNetworks['networks'] & { caller: Caller },
    { takenNames }: Surroundings,
  ): Promise<TunRecord> {
    const taken = new Set(takenNames);
    for (let attempt = 1; ; attempt++) {
      const record = this.#createRecord(plan, plan.name ?? chooseLinkName(this.#o.kernel.tunPrefix, taken));
      try {
        await this.#o.book.make(record);
        return record;
      } catch (error) {
        const isTaken = error instanceof TailnetError && error.code === 'tun/name-taken';
        if (!isTaken || plan.name !== undefined || attempt === NAME_ATTEMPT_COUNT_MAX) throw error;
        taken.add(record.name);
      }
    }
  }

  #createRecord(plan: Wish & ChosenNetworks['networks'] & { caller: Caller }, name: string): TunRecord {
    const { address, address6, ipv4, ipv6, mtu, ownerUid, isPersistent, caller } = plan;
    return {
      kind: 'tun',
      name,
      address,
      prefixBits: ipv4.bits,
      ...(address6 === undefined || ipv6 === undefined ? {} : { address6, prefixBits6: ipv6.bits }),
      mtu,
      ownerUid,
      isPersistent,
      mark: this.#o.drawMark(),
      createdByUid: caller.uid,
      createdUnixMs: this.#o.unixMs(),
    };
  }

  #describe(record: TunRecord, links: ReadonlyMap<string, KernelLink>): TunInfo {
    const { name, address, prefixBits, address6, prefixBits6 } = record;
    const link = findLinkOf(record, links);
    const ipv4 = mustParse(address);
    return {
      name,
      ip_addr: address,
      netmask: dottedNetmask(prefixBits),
      broadcast: broadcastOf(ipv4, prefixBits).text,
      cidr: formatPrefix(networkOf(ipv4, prefixBits)),
      ip6_addr: address6 ?? null,
      ip6_prefix_length: prefixBits6 ?? null,
      mtu: link?.mtu ?? record.mtu,
      kind: this.#o.kernel.tunPrefix,
      persistent: record.isPersistent,
      attached: link?.hasCarrier ?? false,
      owner: record.ownerUid ?? null,
      state: stateOf(record, link),
      created_by: record.createdByUid ?? null,
      created_at: new Date(record.createdUnixMs).toISOString(),
    };
  }
}

/** An address of a request; without one heddle chooses a network of the size. */
interface WishedAddress {
  readonly address: string | undefined;
  readonly network: IpPrefix | undefined;
  readonly bits: number;
}

interface Wish {
  readonly name: string | undefined;
  readonly mtu: number;
  readonly ownerUid: number | undefined;
  readonly isPersistent: boolean;
  readonly ipv4: WishedAddress;
  readonly ipv6: WishedAddress | undefined;
}

interface Chosen extends FreeNetwork {
  readonly address: string;
}

interface ChosenNetworks {
  readonly networks: { readonly address: string; readonly address6: string | undefined };
  readonly warnings: readonly string[];
}

function readAddress(text: string | undefined, bits: number, family: 4 | 6): WishedAddress {
  if (text === undefined) return { address: undefined, network: undefined, bits };
  const address = parseAddress(text);
  if (address?.family !== family) throw badAddress(`"${text}" is no address of IPv${family}`);
  const network = networkOf(address, bits);
  if (isHostOf(network, address)) return { address: address.text, network, bits };
  throw badAddress(
    `"${text}" is the network or the broadcast address of ${formatPrefix(network)}, no host can have it`,
  );
}

function badAddress(message: string): TailnetError {
  return new TailnetError('tun/bad-address', message);
}

/** Of a record, which was checked when it was stored. */
function mustParse(text: string): NonNullable<ReturnType<typeof parseAddress>> {
  const address = parseAddress(text);
  if (address === undefined) throw new TypeError(`"${text}" is no address`);
  return address;
}
