import { readFileSync } from 'node:fs';
import { Netlink } from '@heddle/host/netlink/netlink';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import type { HostFacts } from '../plan/host-facts.ts';

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
export function readHostFacts(): HostFacts {
  if (process.platform !== 'linux') return NOTHING;
  try {
    return readLinux(Netlink.open());
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new TailnetError('plan/host-unknown', `The kernel does not tell its routes: ${reason}`, {
      isRetryable: true,
    });
  }
}

function readLinux(netlink: Netlink): HostFacts {
  try {
    const links = netlink.links();
    const nameOf = (index: number | undefined): string => links.find((link) => link.index === index)?.name ?? '';
    return {
      links: links.map(({ name, kind, isUp }) => ({ name, kind, isUp })),
      addresses: netlink
        .addresses()
        .map(({ linkIndex, address, prefixBits }) => ({ link: nameOf(linkIndex), cidr: `${address}/${prefixBits}` })),
      routes: netlink.routes().map(({ prefix, linkIndex, table, gateway, protocol }) => ({
        prefix,
        link: nameOf(linkIndex),
        table,
        gateway,
        protocol,
      })),
      usedUdpPorts: [...usedPorts('udp'), ...usedPorts('udp6')],
      usedTcpPorts: [...usedPorts('tcp'), ...usedPorts('tcp6')],
      reservedSubnets: [],
    };
  } finally {
    netlink.close();
  }
}

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
