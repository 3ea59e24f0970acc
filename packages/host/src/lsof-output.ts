/**
 * What `lsof -F pun` says about the ends of one TCP connection. Pure. One field a line, its letter first:
 *
 * ```
 * p412                                  process
 * u501                                  its user
 * f23                                   a descriptor of it (not every version says so unasked)
 * n127.0.0.1:50412->127.0.0.1:3030      its socket
 * ```
 */

import type { TcpEndpoint } from './tcp-end.ts';

/** A process that has the socket open. */
export interface SocketHolder {
  readonly pid: number;
  readonly uid: number;
}

/** The processes that have the socket open which sends from `from` to `to`; one that has it twice is listed twice. */
export function parseLsofHolders(text: string, from: TcpEndpoint, to: TcpEndpoint): SocketHolder[] {
  const wanted = `n${formatEndpoint(from)}->${formatEndpoint(to)}`;
  const holders: SocketHolder[] = [];
  let pid: number | undefined;
  let uid: number | undefined;
  for (const line of text.split('\n')) {
    if (line.startsWith('p')) {
      pid = parseNumber(line);
      uid = undefined;
    } else if (line.startsWith('u')) {
      uid = parseNumber(line);
    } else if (line === wanted && pid !== undefined && uid !== undefined) {
      holders.push({ pid, uid });
    }
  }
  return holders;
}

function parseNumber(line: string): number | undefined {
  return /^.\d{1,10}$/.test(line) ? Number(line.slice(1)) : undefined;
}

function formatEndpoint({ address, port }: TcpEndpoint): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
