import { canonicalAddress, formatNetwork, parseAddress } from './address-text.ts';

/** A route as `netstat -rn` tells it. macOS has one table. */
export interface MacosRoute {
  /** Canonical CIDR text; the default route is `0.0.0.0/0` or `::/0`. */
  readonly prefix: string;
  /** macOS 12 and older cut it to 7 characters. */
  readonly link: string;
  /** `undefined` for what is reached directly. No zone. */
  readonly gateway: string | undefined;
  /** Not made by the kernel itself: by a person, a program or the network settings of the system. */
  readonly isStatic: boolean;
}

/** What a listing of netstat says. */
export interface RouteListing {
  readonly routes: readonly MacosRoute[];
  /** Lines that ought to be a route and could not be read. */
  readonly unreadCount: number;
}

/**
 * Reads the output of `netstat -rn -f inet` or `-f inet6`. Below `Routing tables` and the name of the family is a line
 * with the names of the columns, `Destination Gateway Flags Netif Expire`, until macOS 10.14 with `Refs Use` before
 * `Netif`; then a line for each route. A family without routes has none of this but the first line. Routes that the
 * kernel derived from others while it used them (flag W: neighbours, cached ones) are left out. Never throws; the
 * literal when the first line is another.
 *
 * Destinations of IPv4 lack the zeros at their end: `10.1/24` is 10.1.0.0/24. Without bits they are hosts when they have
 * the flag H, else networks of the old classes: `127` is 127.0.0.0/8, `169.254` a /16, `192.168.7` a /24.
 */
export function parseNetstat(text: string, family: 4 | 6): RouteListing | 'unknown-output' {
  const lines = text.split('\n').map((line) => line.trim());
  if (lines[0] !== 'Routing tables') return 'unknown-output';
  const routes: MacosRoute[] = [];
  let unreadCount = 0;
  let countColumns: number | undefined;
  for (const line of lines.slice(1)) {
    const words = line.split(/\s+/);
    if (words[0] === 'Destination') countColumns = words.includes('Refs') ? 2 : 0;
    else if (line === '' || /^Internet6?:$/.test(line)) countColumns = undefined;
    else {
      const route = countColumns === undefined ? undefined : parseRoute(words, countColumns, family);
      if (route === undefined) unreadCount++;
      else if (route !== 'derived') routes.push(route);
    }
  }
  return { routes, unreadCount };
}

// The gateway may be empty or have blanks in it, the last column is mostly empty: the others are counted from the end.
function parseRoute(words: readonly string[], countColumns: number, family: 4 | 6): MacosRoute | 'derived' | undefined {
  const hasExpire = /^(?:[0-9]+|!)$/.test(words.at(-1) ?? '');
  const end = hasExpire ? words.length - 1 : words.length;
  const link = words[end - 1];
  const flagsAt = end - 2 - countColumns;
  const flags = words[flagsAt];
  if (link === undefined || flags === undefined || flagsAt < 1 || !/^U[A-Za-z0-9]*$/.test(flags)) return undefined;
  if (flags.includes('W')) return 'derived';
  const prefix = parseDestination(words[0] ?? '', flags.includes('H'), family);
  if (prefix === undefined) return undefined;
  const gateway = flags.includes('G') ? canonicalAddress(withoutZone(words[1] ?? '')) : undefined;
  return { prefix, link, gateway, isStatic: flags.includes('S') };
}

function parseDestination(text: string, isHost: boolean, family: 4 | 6): string | undefined {
  if (text === 'default') return family === 4 ? '0.0.0.0/0' : '::/0';
  const [network = '', bitsText] = text.split('/');
  const address = withoutZone(network);
  const bytes = parseAddress(family === 4 ? withAllParts(address) : address);
  if (bytes?.length !== (family === 4 ? 4 : 16)) return undefined;
  if (bitsText !== undefined && !/^[0-9]{1,3}$/.test(bitsText)) return undefined;
  const bits = bitsText === undefined ? impliedBits(bytes, isHost) : Number(bitsText);
  return bits === undefined ? undefined : formatNetwork(bytes, bits);
}

function impliedBits(bytes: Uint8Array, isHost: boolean): number | undefined {
  if (isHost) return 8 * bytes.length;
  if (bytes.length === 16) return undefined;
  const first = bytes[0] ?? 0;
  return first < 128 ? 8 : first < 192 ? 16 : 24;
}

// `fe80::%lo0/64` has its zone before the bits.
function withoutZone(text: string): string {
  return text.split('%', 1)[0] ?? '';
}

function withAllParts(text: string): string {
  const parts = text.split('.');
  return parts.length > 4 ? text : [...parts, '0', '0', '0'].slice(0, 4).join('.');
}
