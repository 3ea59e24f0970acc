/**
 * Devices and subnets of Linux, by rtnetlink and /dev/net/tun. Every change is a few synchronous calls to the kernel, so
 * nothing of this process comes between them.
 *
 * A link bears its mark, the IFLA_GROUP of its record, before it can outlive this process: what is made by netlink is
 * made with it, and a TUN device gets it before it is made to persist.
 */

import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type { Link } from '@heddle/host/netlink/link';
import { deleteLinkOnThread } from '@heddle/host/netlink/link-remover';
import { Netlink } from '@heddle/host/netlink/netlink';
import { NetlinkError } from '@heddle/host/netlink/netlink-error';
import { NetlinkEvents } from '@heddle/host/netlink/netlink-events';
import { createTun, type TunHandle } from '@heddle/host/tun/linux-tun';
import { TunError } from '@heddle/host/tun/tun-error';
import { parseAddress } from '@heddle/proto/ip/address';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { broadcastOf } from '../allocation/cidr-text.ts';
import type { HostFacts } from '../plan/host-facts.ts';
import type { InterfaceRecord, SubnetRecord, TunRecord } from '../store/interface-records.ts';
import { describeTables } from './host-facts.ts';
import type { InterfaceLog } from './interface-book.ts';
import type { InterfaceKernel, KernelLink, SubnetKind } from './interface-kernel.ts';
import { formatLinkAlias } from './link-alias.ts';
import { LinuxTables } from './linux-tables.ts';

interface WantedAddress {
  readonly address: string;
  readonly prefixBits: number;
}

/** What a link has beside its kind and its mark. */
interface LinkSetup {
  readonly name: string;
  readonly mtu: number;
  readonly addresses: readonly WantedAddress[];
}

export class LinuxKernel implements InterfaceKernel {
  readonly tunPrefix = 'tun';
  readonly subnetPrefix = 'dummy';
  readonly canPersist = true;
  readonly #netlink: Netlink;
  readonly #events: NetlinkEvents;
  readonly #tables: LinuxTables;
  readonly #instanceId: string;
  readonly #log: InterfaceLog;
  /** What `readHost()` and `links()` said the last time. */
  #host: { readonly version: number; readonly facts: HostFacts } | undefined;
  #links: { readonly version: number; readonly links: readonly KernelLink[] } | undefined;
  /** Attached devices by name. */
  readonly #held = new Map<string, TunHandle>();
  /** Links that the kernel has not done with. */
  #removals = 0;
  #subnetKinds: readonly SubnetKind[] = ['dummy', 'bridge', 'ifb', 'tun'];

  /**
   * @param instanceId Of the state database, for the alias of links.
   * @throws {TailnetError} `interface/unsupported`, `interface/kernel-refused`
   */
  constructor(instanceId: string, log: InterfaceLog) {
    this.#instanceId = instanceId;
    this.#log = log;
    this.#netlink = translate('netlink', () => Netlink.open());
    this.#events = translate('netlink', () => NetlinkEvents.open());
    this.#tables = new LinuxTables(this.#netlink, this.#events);
  }

  get subnetKinds(): readonly SubnetKind[] {
    return this.#subnetKinds;
  }

  async readHost(): Promise<HostFacts> {
    return translate('the routes', () => {
      this.#tables.refresh();
      const { version } = this.#tables;
      if (this.#host?.version !== version) {
        const [links, addresses, routes] = [this.#tables.links(), this.#tables.addresses(), this.#tables.routes()];
        this.#host = { version, facts: describeTables([...links], [...addresses], [...routes]) };
      }
      return this.#host.facts;
    });
  }

  async links(): Promise<readonly KernelLink[]> {
    return translate('the links', () => {
      this.#tables.refresh();
      const { version } = this.#tables;
      if (this.#links?.version !== version) this.#links = { version, links: this.#describeLinks() };
      return this.#links.links;
    });
  }

  #describeLinks(): readonly KernelLink[] {
    const addresses = new Map<number, string[]>();
    for (const { linkIndex, address, prefixBits } of this.#tables.addresses()) {
      const cidr = `${address}/${prefixBits}`;
      const known = addresses.get(linkIndex);
      if (known === undefined) addresses.set(linkIndex, [cidr]);
      else known.push(cidr);
    }
    return Array.from(this.#tables.links(), ({ index, name, group, mtu, hasCarrier, isUp }) => {
      return { name, mark: group, mtu, hasCarrier, isUp, addresses: addresses.get(index) ?? [] };
    });
  }

  async makeTun(record: TunRecord, journalled: Promise<void>): Promise<void> {
    const handle = await this.#makeDevice(record, record.ownerUid ?? ROOT, journalled);
    if (record.isPersistent) handle.close();
    else this.#held.set(record.name, handle);
  }

  async makeSubnet(record: SubnetRecord, journalled: Promise<void>): Promise<void> {
    const { link: name, linkKind: kind, mark: group } = record;
    if (kind === 'tun') return (await this.#makeDevice(record, ROOT, journalled)).close();
    await journalled;
    translate(name, () => {
      try {
        this.#netlink.addLink({ name, kind, group });
      } catch (error) {
        if (isUnknownKind(error)) this.#subnetKinds = this.#subnetKinds.filter((known) => known !== kind);
        throw error;
      }
      const { index } = this.#findOwn(name, record);
      try {
        this.#setUp(index, record);
      } catch (error) {
        this.#netlink.deleteLink(index);
        throw error;
      }
    });
  }

  async repair(record: InterfaceRecord): Promise<void> {
    const { name, addresses } = setupOf(record);
    translate(name, () => {
      const link = this.#findOwn(name, record);
      this.#tables.refresh();
      const known = new Set<string>();
      for (const { linkIndex, address, prefixBits } of this.#tables.addresses()) {
        if (linkIndex === link.index) known.add(`${address}/${prefixBits}`);
      }
      const missing = addresses.filter(({ address, prefixBits }) => !known.has(`${address}/${prefixBits}`));
      const isWhole = link.isUp && link.mtu === record.mtu && link.alias === formatLinkAlias(record, this.#instanceId);
      if (missing.length > 0 || !isWhole) this.#setUp(link.index, record, missing);
    });
  }

  async remove(record: InterfaceRecord): Promise<void> {
    const { name } = setupOf(record);
    const own = translate(name, () => this.#findMarked(record));
    if (own !== undefined) await this.#deleteLink(name, own.index);
    if (record.kind === 'tun') this.#release(name);
  }

  /**
   * The link of a record, renamed or not. A mark can be copied, so it is looked for under its name first, and without it
   * only the one with our alias is ours.
   */
  #findMarked(record: InterfaceRecord): Link | undefined {
    const { name } = setupOf(record);
    this.#tables.refresh();
    const marked = [...this.#tables.links()].filter(({ group }) => group === record.mark);
    const alias = formatLinkAlias(record, this.#instanceId);
    const named = marked.find((link) => link.name === name);
    const candidates = named === undefined ? marked.filter((link) => link.alias === alias) : [named];
    const names = marked.map((link) => `"${link.name}"`).join(', ');
    if (candidates.length > 1) {
      throw new TailnetError(
        'interface/kernel-refused',
        `Links ${names} all look like the one of ${name}; remove the others`,
      );
    }
    if (candidates.length === 0 && marked.length > 0)
      this.#log('warn', `Left ${names} alone: neither name nor alias is ours`);
    // Asked again, for not every change of a mark is told.
    const fresh = candidates[0] === undefined ? undefined : this.#netlink.findLink(candidates[0].name);
    return fresh?.group === record.mark ? fresh : undefined;
  }

  async isInUse(record: TunRecord): Promise<boolean> {
    if (this.#held.has(record.name)) return false;
    return translate(record.name, () => this.#findMarked(record)?.hasCarrier ?? false);
  }

  close(): void {
    for (const name of [...this.#held.keys()]) this.#release(name);
    this.#events.close();
    this.#netlink.close();
  }

  /** Until it persists the device goes with this process, whatever happens. */
  async #makeDevice(record: InterfaceRecord, ownerUid: number, journalled: Promise<void>): Promise<TunHandle> {
    const { name } = setupOf(record);
    const handle = translate(name, () => createTun({ name, ownerUid }));
    try {
      translate(name, () => this.#setUp(this.#findOwn(name, undefined).index, record));
      await journalled;
      if (record.kind === 'subnet' || record.isPersistent) translate(name, () => handle.setPersistent(true));
      return handle;
    } catch (error) {
      handle.close();
      throw error;
    }
  }

  #setUp(index: number, record: InterfaceRecord, addresses?: readonly WantedAddress[]): void {
    const setup = setupOf(record);
    const alias = formatLinkAlias(record, this.#instanceId);
    this.#netlink.changeLink(index, { group: record.mark, mtu: setup.mtu, alias, isUp: true });
    for (const { address, prefixBits } of addresses ?? setup.addresses) {
      this.#netlink.addAddress({
        linkIndex: index,
        address,
        prefixBits,
        broadcast: broadcastText(address, prefixBits),
      });
    }
  }

  /** @param record Undefined for a link that has no mark yet. */
  #findOwn(name: string, record: InterfaceRecord | undefined): Link {
    const link = this.#netlink.findLink(name);
    if (link !== undefined && (record === undefined || link.group === record.mark)) return link;
    throw new TailnetError('interface/kernel-refused', `The link "${name}" has gone`, { isRetryable: true });
  }

  /** Resolves as soon as the link is out of the tables; the kernel goes on with it for a while. */
  async #deleteLink(name: string, index: number): Promise<void> {
    const isGone = (): boolean =>
      translate(name, () => {
        this.#tables.refresh();
        return this.#tables.findLink(index) === undefined;
      });
    let failure: unknown;
    let isAnswered = false;
    this.#removals++;
    const removal = deleteLinkOnThread(index).then(
      () => {},
      (error: unknown) => {
        // Somebody may have been quicker.
        if (!(error instanceof NetlinkError) || error.errno !== 'ENODEV') failure = error;
      },
    );
    void removal.then(() => {
      isAnswered = true;
      this.#removals--;
    });
    if (this.#removals > REMOVAL_COUNT_MAX) await removal;
    for (let look = 0; !isAnswered && !isGone(); look++)
      await (look < QUICK_LOOK_COUNT ? nextTurn() : sleep(LOOK_AGAIN_MS));
    if (failure !== undefined)
      translate(name, () => {
        throw failure;
      });
  }

  #release(name: string): void {
    this.#held.get(name)?.close();
    this.#held.delete(name);
  }
}

const ROOT = 0;
const LOOK_AGAIN_MS = 1;
/** A TUN device is gone within a millisecond, which is as long as a timer takes at least. */
const QUICK_LOOK_COUNT = 50;
/** Of the pool, which has four threads unless UV_THREADPOOL_SIZE says more; the state database needs one too. */
const REMOVAL_COUNT_MAX = Math.max(1, Number(process.env['UV_THREADPOOL_SIZE'] ?? 4) - 3);

function setupOf(record: InterfaceRecord): LinkSetup {
  if (record.kind === 'subnet') return { name: record.link, mtu: record.mtu, addresses: [subnetAddress(record)] };
  const { name, mtu, address, prefixBits, address6, prefixBits6 } = record;
  const second = address6 === undefined ? [] : [{ address: address6, prefixBits: prefixBits6 ?? 128 }];
  return { name, mtu, addresses: [{ address, prefixBits }, ...second] };
}

function subnetAddress({ cidr, address }: SubnetRecord): WantedAddress {
  return { address, prefixBits: Number(cidr.slice(cidr.indexOf('/') + 1)) };
}

function broadcastText(address: string, prefixBits: number): string | undefined {
  const parsed = parseAddress(address);
  return parsed?.family === 4 ? broadcastOf(parsed, prefixBits).text : undefined;
}

function isUnknownKind(error: unknown): boolean {
  return error instanceof NetlinkError && error.errno === 'EOPNOTSUPP';
}

const NO_RIGHT: ReadonlySet<string | undefined> = new Set(['EPERM', 'EACCES']);
const TAKEN: ReadonlySet<string | undefined> = new Set(['EEXIST', 'EBUSY']);

/** Runs calls to the kernel; what they throw is said in the words of the API. */
function translate<T>(what: string, calls: () => T): T {
  try {
    return calls();
  } catch (error) {
    if (error instanceof NetlinkError || error instanceof TunError) throw toInterfaceError(what, error);
    throw error;
  }
}

function toInterfaceError(what: string, cause: NetlinkError | TunError): TailnetError {
  const { code, errno, message, isRetryable } = cause;
  const options = { cause, isRetryable };
  if (code === 'tun-device/no-device-file') return new TailnetError('interface/no-tun-driver', message, options);
  if (isUnknownKind(cause) || code.endsWith('/unsupported')) {
    return new TailnetError('interface/unsupported', message, options);
  }
  // Of netlink, EACCES is what IPv6 says when it is switched off; a missing right is EPERM.
  if (cause instanceof NetlinkError && errno === 'EACCES') {
    return new TailnetError('interface/no-ipv6', `IPv6 is switched off for "${what}"`, options);
  }
  if (NO_RIGHT.has(errno)) return new TailnetError('interface/no-privilege', message, options);
  if (TAKEN.has(errno)) return new TailnetError('tun/name-taken', `A link called "${what}" is there already`, options);
  return new TailnetError('interface/kernel-refused', message, options);
}
