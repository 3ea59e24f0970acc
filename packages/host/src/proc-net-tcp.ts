/**
 * One socket in the text of `/proc/net/tcp` or `/proc/net/tcp6` (proc_net_tcp.txt of the kernel's documentation), as
 * little-endian machines write it. Pure.
 *
 * ```
 *   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode …
 *    3: 0100007F:0BD6 0100007F:9C4A 01 00000000:00000000 00:00000000 00000000  1000        0 81236 …
 * ```
 *
 * Each group of four bytes of an address is one number of the machine; ports are plain.
 */

import { MAPPED_PREFIX, type TcpEnd, type TcpTuple, type TupleEndpoint } from './tcp-end.ts';

/**
 * Finds the socket of the tuple. `form` says how the table writes addresses: `mapped` is IPv4 in the table of IPv6.
 * Undefined when it is not listed, listed more than once (orphans and remains of an earlier connection included), or its line
 * cannot be read.
 */
export function findProcTcpEnd(text: string, tuple: TcpTuple, form: 'plain' | 'mapped'): TcpEnd | undefined {
  const wanted = ` ${formatEndpoint(tuple.from, form)} ${formatEndpoint(tuple.to, form)} `;
  const at = text.indexOf(wanted);
  if (at === -1 || text.indexOf(wanted, at + 1) !== -1) return undefined;
  const start = text.lastIndexOf('\n', at) + 1;
  const end = text.indexOf('\n', at);
  return end === -1 ? undefined : parseLine(text.slice(start, end));
}

const LINE =
  /^\s*\d+: [0-9A-F:]+ [0-9A-F:]+ ([0-9A-F]{2}) [0-9A-F]+:[0-9A-F]+ [0-9A-F]+:[0-9A-F]+ [0-9A-F]+\s+(\d{1,10})\s+\d+\s+(\d{1,15})(?:\s|$)/;

function parseLine(line: string): TcpEnd | undefined {
  const match = LINE.exec(line);
  if (match === null) return undefined;
  return { state: Number.parseInt(match[1] as string, 16), uid: Number(match[2]), inode: Number(match[3]) };
}

function formatEndpoint({ address, port }: TupleEndpoint, form: 'plain' | 'mapped'): string {
  const bytes = form === 'mapped' ? Uint8Array.of(...MAPPED_PREFIX, ...address) : address;
  let text = '';
  for (let group = 0; group < bytes.length; group += 4) {
    for (let at = group + 3; at >= group; at--) text += hex(bytes[at] ?? 0, 2);
  }
  return `${text}:${hex(port, 4)}`;
}

function hex(value: number, digits: number): string {
  return value.toString(16).toUpperCase().padStart(digits, '0');
}
