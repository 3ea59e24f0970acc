import { readFileSync } from 'node:fs';
import { type MacosHost, MacosInterfaces } from '@heddle/host/macos/macos-interfaces';
import type { Address } from '@heddle/host/netlink/address';
import type { Link } from '@heddle/host/netlink/link';
import { Netlink } from '@heddle/host/netlink/netlink';
import type { Route } from '@heddle/host/netlink/route';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import type { HostFacts } from '../plan/host-facts.ts';
import { parseLinkAlias } from './link-alias.ts';

const NOTHING: HostFacts = {
  links: [],
  addresses: [],
  routes: [],
  usedUdpPorts: [],
  usedTcpPorts: [],
  reservedSubnets: [],
};

/**
 * What this machine uses now; nothing on systems whose kernel we cannot ask.
 * @throws {TailnetError} `plan/host-unknown` when the kernel does not answer.
 */
export async function askHostFacts(): Promise<HostFacts> {
  return process.platform === 'darwin' ? readMacosFacts(new MacosInterfaces()) : readHostFacts();
}

/** As {@link askHostFacts} on Linux; nothing on other systems. @throws {TailnetError} `plan/host-unknown` */
export function readHostFacts(): HostFacts {
  if (process.platform !== 'linux') return NOTHING;
  try {
    return readLinux(Netlink.open());
  } catch (error) {
    throw createFailure(error);
  }
}

/** As {@link askHostFacts} on macOS, without ports. @throws {TailnetError} `plan/host-unknown` */
export async function readMacosFacts(interfaces: Pick<MacosInterfaces, 'readHost'>): Promise<HostFacts> {
  try {
    return describeMacosHost(await interfaces.readHost());
  } catch (error) {
    throw createFailure(error);
  }
}

/** What the commands of macOS say about addresses. No link there tells that it is one of heddle. */
export function describeMacosHost({ links, addresses, routes }: MacosHost): HostFacts {
  return {
    ...NOTHING,
    links: links.map(({ name, kind, isUp }) => ({ name, kind, isUp })),
    addresses: addresses.map(({ link, cidr }) => ({ link, cidr })),
    routes,
  };
}

function createFailure(cause: unknown): TailnetError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  const message = `The kernel does not tell its routes: ${reason}`;
  return new TailnetError('plan/host-unknown', message, { isRetryable: true, cause });
}

function readLinux(netlink: Netlink): HostFacts {
  try {
    return {
      ...describeTables(netlink.links(), netlink.addresses(), netlink.routes()),
      usedUdpPorts: [...usedPorts('udp'), ...usedPorts('udp6')],
      usedTcpPorts: [...usedPorts('tcp'), ...usedPorts('tcp6')],
    };
  } finally {
    netlink.close();
  }
}

/**
 * What the tables of the kernel say about addresses. The links of heddle, of whichever daemon, are told by their alias: their
 * networks are reserved.
 */
export function describeTables(
  links: readonly Link[],
  addresses: readonly Address[],
  routes: readonly Route[],
): HostFacts {
  const names = new Map(links.map(({ index, name }) => [index, name]));
  const nameOf = (index: number | undefined): string => names.get(index ?? 0) ?? '';
  return {
    ...NOTHING,
    links: links.map(({ name, kind, isUp }) => ({ name, kind, isUp })),
    addresses: addresses.filter(isOfNetwork).map(({ linkIndex, address, prefixBits }) => ({
      link: nameOf(linkIndex),
      cidr: `${address}/${prefixBits}`,
    })),
    routes: routes.filter(saysMore).map(({ prefix, linkIndex, table, gateway, protocol }) => ({
      prefix,
      link: nameOf(linkIndex),
      table,
      gateway,
      protocol,
    })),
    reservedSubnets: links.flatMap(({ name, alias }) => {
      const own = parseLinkAlias(alias);
      return own === undefined ? [] : [{ name, cidr: own.cidr }];
    }),
  };
}

/** Link-local networks are on every link, and nobody asks for one. */
function isOfNetwork({ scope }: Address): boolean {
  return scope !== 'link';
}

/** False for what the kernel makes of addresses that are listed themselves: local and broadcast routes, link-local ones. */
function saysMore({ protocol, type, prefix }: Route): boolean {
  const isOfAddress = type === 'local' || type === 'broadcast' || type === 'anycast' || type === 'multicast';
  return protocol !== PROTOCOL_KERNEL || !(isOfAddress || prefix === 'fe80::/64');
}

/** RTPROT_KERNEL. */
const PROTOCOL_KERNEL = 2;
const TCP_LISTEN = '0A';

/** Ports of the sockets of this network namespace; of TCP those that listen. */
function usedPorts(table: 'udp' | 'udp6' | 'tcp' | 'tcp6'): number[] {
  let text: string;
  try {
    text = readFileSync(`/proc/net/${table}`, 'latin1');
  } catch {
    return []; // A kernel without IPv6.
  }
  return parsePorts(text, table.startsWith('tcp'));
}

/**
 * The local ports of a table of proc_net(5): after a head, lines of blank-separated fields, the second the local address
 * as `0100007F:1F90` and the fourth the state.
 */
export function parsePorts(text: string, isListenOnly: boolean): number[] {
  const ports = text
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => !isListenOnly || fields[3] === TCP_LISTEN)
    .map((fields) => Number.parseInt(fields[1]?.split(':')[1] ?? '', 16));
  return [...new Set(ports.filter((port) => port > 0))];
}
