/**
 * Devices and addresses of macOS, by its own commands. Two facts shape this: a utun device takes its addresses and routes
 * with it when it is closed, so closing takes everything back; and ifconfig and route may end with 0 although the kernel
 * refused, so what they write counts as well.
 */

import { canonicalAddress, formatNetwork, parseAddress } from './address-text.ts';
import { type CommandResult, type CommandRunner, runCommand } from './command-runner.ts';
import { type LinkListing, type MacosAddress, type MacosLink, parseIfconfig } from './ifconfig-text.ts';
import {
  addAlias,
  addRoute,
  addTunAddress6,
  type Command,
  LOOPBACK_LINK,
  listLinks,
  listRoutes,
  type PrefixedAddress,
  removeAlias,
  setTunAddress,
} from './interface-commands.ts';
import { MacosError } from './macos-error.ts';
import { type MacosRoute, parseNetstat } from './netstat-text.ts';
import { openUtun, type Utun } from './utun.ts';

/** A route in the words of rtnetlink(7), which the rest of heddle uses. */
export interface HostRoute {
  readonly prefix: string;
  readonly link: string;
  /** Always 254, `main`. */
  readonly table: number;
  readonly gateway: string | undefined;
  /** 2 for the network of an address of the link and for what the kernel made, 4 for what somebody added. */
  readonly protocol: 2 | 4;
}

/** What the machine uses now. */
export interface MacosHost {
  readonly links: readonly MacosLink[];
  readonly addresses: readonly MacosAddress[];
  readonly routes: readonly HostRoute[];
  /** Lines of the commands that could not be read; above 0 something may be missing here. */
  readonly unreadCount: number;
}

/** A device to be made. */
export interface TunPlan {
  /** `utun` and a number; undefined for the next free one. */
  readonly name: string | undefined;
  /** IPv4. */
  readonly address: string;
  readonly prefixBits: number;
  /** Undefined: no IPv6. */
  readonly address6: string | undefined;
  /** Ignored without `address6`. */
  readonly prefixBits6: number;
  /** In bytes. */
  readonly mtu: number;
}

/** What is needed of the system, so that tests can play it. */
export interface MacosSystem {
  readonly run: CommandRunner;
  readonly openUtun: typeof openUtun;
}

const REAL_SYSTEM: MacosSystem = { run: runCommand, openUtun };
const TABLE_MAIN = 254;
const PROTOCOL_KERNEL = 2;
const PROTOCOL_STATIC = 4;

/** Needs root for everything but reading. Holds nothing itself: who makes a device keeps its handle. */
export class MacosInterfaces {
  readonly #system: MacosSystem;

  constructor(system: MacosSystem = REAL_SYSTEM) {
    this.#system = system;
  }

  /** Asks for links, addresses and routes. @throws {MacosError} `macos/command-failed`, `macos/unknown-output` */
  async readHost(): Promise<MacosHost> {
    const listing = await this.readLinks();
    const networks = new Set(listing.addresses.map((address) => `${address.link} ${networkOf(address)}`));
    const tables = [await this.#readRoutes(4), await this.#readRoutes(6)];
    return {
      ...listing,
      routes: tables.flatMap(({ routes }) => routes).map((route) => describeRoute(route, networks)),
      unreadCount: tables.reduce((sum, { unreadCount }) => sum + unreadCount, listing.unreadCount),
    };
  }

  /** Asks for links and addresses alone. @throws {MacosError} `macos/command-failed`, `macos/unknown-output` */
  async readLinks(): Promise<LinkListing> {
    const listing = parseIfconfig(await this.#ask(listLinks()));
    if (listing.links.length > 0) return listing;
    throw new MacosError('macos/unknown-output', 'ifconfig names no link, not even "lo0"');
  }

  /**
   * Makes a device with its addresses and the route of its network, and switches it on. It is gone when the handle is
   * closed or this process ends. When a step fails, nothing is left.
   * @throws {MacosError} `utun/…`, `macos/no-privilege`, `macos/command-failed`
   * @throws {RangeError} when a value is none; nothing was asked of the system then.
   */
  async makeTun(plan: TunPlan): Promise<Utun> {
    commandsOf(plan, plan.name ?? 'utun0');
    const tun = this.#system.openUtun({ name: plan.name });
    try {
      for (const command of commandsOf(plan, tun.name)) await this.#change(command);
      return tun;
    } catch (error) {
      tun.close();
      throw error;
    }
  }

  /** Removes a device with its addresses and routes; the kernel does so a moment later. Never throws. */
  removeTun(tun: Utun): void {
    tun.close();
  }

  /**
   * Adds an address to `lo0`. With a network of `lo0` around it already, it is added as a single host.
   * @throws {MacosError} `macos/address-taken`, `macos/no-privilege`, `macos/command-failed`, `macos/unknown-output`
   * @throws {RangeError} when the address is none; nothing was asked of the system then.
   */
  async addAlias(plan: PrefixedAddress): Promise<void> {
    addAlias(plan);
    const address = canonicalAddress(plan.address) ?? plan.address;
    const { addresses } = await this.readLinks();
    const taken = addresses.find((other) => other.address === address);
    if (taken) throw new MacosError('macos/address-taken', `Link "${taken.link}" has the address "${address}" already`);
    const isSecond = !address.includes(':') && addresses.some((other) => sharesNetwork(other, plan));
    try {
      await this.#change(addAlias({ address, prefixBits: isSecond ? 32 : plan.prefixBits }));
    } catch (error) {
      // Killed in the middle it may have got there: nobody had the address before.
      await this.#system.run(removeAlias(address));
      throw error;
    }
  }

  /** Removes an address from `lo0`; one that is not there is no failure. @throws {MacosError} @throws {RangeError} */
  async removeAlias(address: string): Promise<void> {
    const command = removeAlias(address);
    const result = await this.#system.run(command);
    if (hasFailed(result) && !result.stderr.includes(NOT_THERE)) throw createFailure(command, result);
  }

  async #readRoutes(family: 4 | 6): Promise<Exclude<ReturnType<typeof parseNetstat>, string>> {
    const listing = parseNetstat(await this.#ask(listRoutes(family)), family);
    if (typeof listing !== 'string') return listing;
    throw new MacosError('macos/unknown-output', `netstat lists the routes of IPv${family} in another way`);
  }

  // A link that goes while it is listed makes ifconfig complain, and the rest is right.
  async #ask(command: Command): Promise<string> {
    const result = await this.#system.run(command);
    if (result.status !== 0) throw createFailure(command, result);
    return result.stdout;
  }

  async #change(command: Command): Promise<void> {
    const result = await this.#system.run(command);
    if (hasFailed(result)) throw createFailure(command, result);
  }
}

function commandsOf(plan: TunPlan, link: string): readonly Command[] {
  const { address, prefixBits, address6, prefixBits6, mtu } = plan;
  const setAddress = setTunAddress({ link, address, prefixBits, mtu });
  const prefix = networkOf(plan);
  const setAddress6 =
    address6 === undefined ? [] : [addTunAddress6({ link, address: address6, prefixBits: prefixBits6 })];
  return [setAddress, ...setAddress6, addRoute({ prefix, link })];
}

function networkOf({ address, prefixBits }: PrefixedAddress): string {
  return formatNetwork(parseAddress(address) ?? new Uint8Array(), prefixBits) ?? '';
}

function sharesNetwork(other: MacosAddress, plan: PrefixedAddress): boolean {
  return other.link === LOOPBACK_LINK && networkOf(other) === networkOf(plan);
}

// The system's own settings make connected networks by hand, too: the address tells them apart.
function describeRoute({ prefix, link, gateway, isStatic }: MacosRoute, networks: ReadonlySet<string>): HostRoute {
  const isMade = isStatic && !networks.has(`${link} ${prefix}`);
  return { prefix, link, table: TABLE_MAIN, gateway, protocol: isMade ? PROTOCOL_STATIC : PROTOCOL_KERNEL };
}

const NOT_THERE = "Can't assign requested address";
const TEXT_LENGTH_MAX = 200;

// Both write complaints with their own name in front.
function hasFailed({ status, stderr }: CommandResult): boolean {
  return status !== 0 || /^(?:ifconfig|route): /m.test(stderr);
}

function createFailure(command: Command, { status, stderr }: CommandResult): MacosError {
  const reason = stderr.trim().replaceAll(/\s+/g, ' ').slice(0, TEXT_LENGTH_MAX);
  const text = `"${command.join(' ')}" failed${status === undefined ? '' : ` with ${status}`}: ${reason || 'no reason given'}`;
  const isRefused = /permission denied|not permitted|must be root/i.test(stderr);
  return new MacosError(isRefused ? 'macos/no-privilege' : 'macos/command-failed', text);
}
