/**
 * Devices and subnets of macOS, by MacosInterfaces. macOS keeps no mark with a link, so whose a link is is told otherwise:
 *
 * - A TUN device is ours while this process holds it open. After a restart none is there, and all are made again.
 * - A subnet is an address of `lo0`, which outlives the daemon. It is ours when a record says the same address with the
 *   same bits, and this process has not been refused that address. The store is the only mark: whoever puts precisely the
 *   address of a record on `lo0` while ours is not there, as after a restart of the machine, has it taken for ours and
 *   removed with the record. The same goes for a record of the journal. A new record never gets an address that is there:
 *   that is looked at before the journal is written, and again before `lo0` is touched.
 */

import { LOOPBACK_LINK, type PrefixedAddress } from '@heddle/host/macos/interface-commands';
import { MacosError } from '@heddle/host/macos/macos-error';
import type { MacosInterfaces } from '@heddle/host/macos/macos-interfaces';
import type { Utun } from '@heddle/host/macos/utun';
import { parseAddress } from '@heddle/proto/ip/address';
import { formatPrefix } from '@heddle/proto/ip/prefix';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { networkOf } from '../allocation/cidr-text.ts';
import type { HostFacts } from '../plan/host-facts.ts';
import {
  INTERFACE_COUNT_MAX,
  type InterfaceRecord,
  type SubnetRecord,
  type TunRecord,
} from '../store/interface-records.ts';
import { describeMacosHost } from './host-facts.ts';
import type { InterfaceLog } from './interface-book.ts';
import type { InterfaceKernel, KernelLink, SubnetKind } from './interface-kernel.ts';

/** What a {@link MacosKernel} works with. */
export interface MacosKernelOptions {
  readonly interfaces: MacosInterfaces;
  /** Waits a moment between two looks at a device that is going. */
  readonly pause: () => Promise<void>;
  readonly log: InterfaceLog;
}

type Listing = Awaited<ReturnType<MacosInterfaces['readLinks']>>;

interface HeldTun {
  readonly mark: number;
  readonly tun: Utun;
}

/** The devices and subnets of macOS; errors as those of {@link InterfaceKernel}. */
export class MacosKernel implements InterfaceKernel {
  readonly tunPrefix = 'utun';
  readonly subnetPrefix = 'lo0:';
  readonly canPersist = false;
  readonly subnetKinds: readonly SubnetKind[] = ['alias'];
  readonly #interfaces: MacosInterfaces;
  readonly #options: MacosKernelOptions;
  /** Open devices by name. */
  readonly #held = new Map<string, HeldTun>();
  /** Marks of records whose address somebody else has, the latest; a removal that failed later may come again. */
  readonly #refusedMarks = new Set<number>();
  #unreadCount = 0;

  constructor(options: MacosKernelOptions) {
    this.#options = options;
    this.#interfaces = options.interfaces;
  }

  async readHost(): Promise<HostFacts> {
    const host = await translate(() => this.#interfaces.readHost());
    if (host.unreadCount > this.#unreadCount) this.#reportUnread(host.unreadCount);
    this.#unreadCount = host.unreadCount;
    return describeMacosHost(host);
  }

  async links(records: readonly InterfaceRecord[]): Promise<readonly KernelLink[]> {
    const listing = await this.#list();
    const addressesOn = (name: string): readonly string[] =>
      listing.addresses.flatMap((one) => (one.link === name ? [`${one.address}/${one.prefixBits}`] : []));
    const links = listing.links.map(({ name, mtu, isRunning, isUp }) => {
      const mark = this.#held.get(name)?.mark ?? 0;
      return { name, mark, mtu, hasCarrier: isRunning, isUp, addresses: addressesOn(name) };
    });
    const loopback = listing.links.find(({ name }) => name === LOOPBACK_LINK);
    const aliases = records.flatMap((record) => {
      if (record.kind !== 'subnet' || !this.#hasAlias(listing, record)) return [];
      const { link: name, mark } = record;
      // An address has no MTU of its own.
      const mtu = loopback?.mtu ?? record.mtu;
      return [{ name, mark, mtu, hasCarrier: true, isUp: true, addresses: addressesOn(LOOPBACK_LINK) }];
    });
    return [...links, ...aliases];
  }

  async makeTun(record: TunRecord, journalled: Promise<void>): Promise<void> {
    await journalled;
    const { name, address, prefixBits, address6, prefixBits6 = 128, mtu, mark } = record;
    checkWishes(record);
    const plan = { name, address, prefixBits, address6, prefixBits6, mtu };
    const tun = await translate(() => this.#interfaces.makeTun(plan), name);
    this.#held.set(name, { mark, tun });
  }

  async makeSubnet(record: SubnetRecord, journalled: Promise<void>): Promise<void> {
    await journalled;
    if (record.linkKind !== 'alias') {
      throw new TailnetError('interface/unsupported', `macOS has no link of kind "${record.linkKind}"`);
    }
    this.#refusedMarks.delete(record.mark);
    try {
      await translate(() => this.#interfaces.addAlias(aliasOf(record)));
    } catch (error) {
      if (error instanceof TailnetError && error.code === OVERLAP) this.#noteRefusal(record);
      throw error;
    }
    await this.#confirm(record);
  }

  async repair(record: InterfaceRecord): Promise<void> {
    if (record.kind === 'subnet') {
      if (!this.#hasAlias(await this.#list(), record)) await this.makeSubnet(record, Promise.resolve());
    } else if (!(await this.#isWhole(record))) {
      // Nobody but this process uses the device.
      await this.#release(record);
      await this.makeTun(record, Promise.resolve());
    }
  }

  async remove(record: InterfaceRecord): Promise<void> {
    if (record.kind === 'tun') return this.#release(record);
    if (this.#hasAlias(await this.#list(), record)) {
      await translate(() => this.#interfaces.removeAlias(record.address));
    }
  }

  /** Nobody else can open a utun device. */
  async isInUse(): Promise<boolean> {
    return false;
  }

  close(): void {
    for (const { tun } of this.#held.values()) this.#interfaces.removeTun(tun);
    this.#held.clear();
  }

  #list(): Promise<Listing> {
    return translate(() => this.#interfaces.readLinks());
  }

  #hasAlias({ addresses }: Listing, record: SubnetRecord): boolean {
    if (record.linkKind !== 'alias' || this.#refusedMarks.has(record.mark)) return false;
    const { address, prefixBits } = aliasOf(record);
    return addresses.some((one) => {
      return one.link === LOOPBACK_LINK && one.address === address && one.prefixBits === prefixBits;
    });
  }

  #noteRefusal({ mark }: SubnetRecord): void {
    const [oldest] = this.#refusedMarks;
    if (oldest !== undefined && this.#refusedMarks.size === INTERFACE_COUNT_MAX) this.#refusedMarks.delete(oldest);
    this.#refusedMarks.add(mark);
  }

  /** Another address of the network that came meanwhile makes ours one of a single host, which is not what was asked. */
  async #confirm(record: SubnetRecord): Promise<void> {
    try {
      if (this.#hasAlias(await this.#list(), record)) return;
      const message = `Link "${LOOPBACK_LINK}" has another address of ${record.cidr} now`;
      throw new TailnetError(OVERLAP, message, { isRetryable: true });
    } catch (error) {
      await translate(() => this.#interfaces.removeAlias(record.address));
      throw error;
    }
  }

  async #isWhole(record: TunRecord): Promise<boolean> {
    const { links, addresses, routes } = await translate(() => this.#interfaces.readHost());
    const { name, mtu } = record;
    const isUp = links.some((link) => link.name === name && link.isUp && link.mtu === mtu);
    const hasAddress = (cidr: string): boolean => addresses.some((one) => one.link === name && one.cidr === cidr);
    const network = networkText(record);
    const hasRoute = routes.some(({ link, prefix }) => link === name && prefix === network);
    return isUp && hasRoute && addressesOf(record).every(hasAddress);
  }

  /** macOS takes the device away after the handle is closed: its name and its network are free when it has gone. */
  async #release(record: TunRecord): Promise<void> {
    const { name } = record;
    const held = this.#held.get(name);
    if (held?.mark !== record.mark) return;
    this.#held.delete(name);
    this.#interfaces.removeTun(held.tun);
    for (let look = 0; look < LOOK_COUNT_MAX; look++) {
      // Closing cannot fail, whatever can be seen of it.
      const listing = await this.#interfaces.readLinks().catch(() => undefined);
      if (listing === undefined || !listing.links.some((link) => link.name === name)) return;
      await this.#options.pause();
    }
  }

  #reportUnread(count: number): void {
    const message = `${count} lines of ifconfig and netstat could not be read; a network that is in use may be among them`;
    this.#options.log('warn', message);
  }
}

const OVERLAP = 'allocation/overlap';
/** Another program may take the name at once, so there is an end to waiting. */
const LOOK_COUNT_MAX = 50;

/** What a request may ask for elsewhere, and what a store of another system may hold. */
function checkWishes({ name, isPersistent, ownerUid }: TunRecord): void {
  if (isPersistent) {
    const message = `The device "${name}" cannot be persistent: on macOS it ends with the process that holds it`;
    throw new TailnetError('tun/not-supported', message);
  }
  if (ownerUid !== undefined) {
    throw new TailnetError('tun/not-supported', `The device "${name}" cannot have an owner: macOS lets nobody attach`);
  }
}

function aliasOf({ cidr, address }: SubnetRecord): PrefixedAddress {
  return { address, prefixBits: Number(cidr.slice(cidr.indexOf('/') + 1)) };
}

function addressesOf({ address, prefixBits, address6, prefixBits6 }: TunRecord): readonly string[] {
  return [`${address}/${prefixBits}`, ...(address6 === undefined ? [] : [`${address6}/${prefixBits6}`])];
}

function networkText({ address, prefixBits }: TunRecord): string | undefined {
  const parsed = parseAddress(address);
  return parsed === undefined ? undefined : formatPrefix(networkOf(parsed, prefixBits));
}

/** Asks the system; what it throws is said in the words of the API. */
async function translate<T>(work: () => Promise<T>, name = ''): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof MacosError) throw toInterfaceError(cause, name);
    // Of a record that another system wrote.
    if (cause instanceof RangeError) throw new TailnetError('interface/unsupported', cause.message, { cause });
    throw cause;
  }
}

function toInterfaceError(cause: MacosError, name: string): TailnetError {
  switch (cause.code) {
    case 'utun/busy':
      return new TailnetError('tun/name-taken', `A link called "${name}" is there already`, { cause });
    case 'utun/no-privilege':
    case 'macos/no-privilege':
      return new TailnetError('interface/no-privilege', cause.message, { cause });
    case 'utun/unsupported':
      return new TailnetError('interface/unsupported', cause.message, { cause });
    case 'macos/address-taken':
      return new TailnetError(OVERLAP, cause.message, { cause });
    default:
      return new TailnetError('interface/kernel-refused', cause.message, { cause });
  }
}
