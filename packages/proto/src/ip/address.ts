const IPV4_CHARACTERS_MAX = 15;
const DOT = 0x2e;
const DIGIT_0 = 0x30;
const DIGIT_9 = 0x39;

/** An IPv4 or IPv6 address. Immutable; `text` is canonical (RFC 5952) and serves as a map key. */
export interface IpAddress {
  readonly family: 4 | 6;
  /** 4 or 16 bytes in network order; must not be changed. */
  readonly bytes: Uint8Array;
  readonly text: string;
}

/** Parses dotted IPv4, or IPv6 in any RFC 4291 form without a zone; `undefined` for any other text. */
export function parseAddress(text: string): IpAddress | undefined {
  const bytes = text.includes(':') ? parseIpv6(text) : parseIpv4(text);
  return bytes && toAddress(bytes);
}

/** Copies 4 or 16 bytes at `offset`. IPv4-mapped IPv6 (::ffff:a.b.c.d) becomes IPv4. */
export function decodeAddress(bytes: Uint8Array, offset: number, lengthBytes: 4 | 16): IpAddress {
  const copy = bytes.slice(offset, offset + lengthBytes);
  return toAddress(isMappedIpv4(copy) ? copy.slice(12) : copy);
}

/** Writes 16 bytes at `offset`, IPv4 as ::ffff:a.b.c.d: the form of disco and PCP. */
export function encodeMappedAddress(address: IpAddress, out: Uint8Array, offset: number): void {
  if (address.family === 6) {
    out.set(address.bytes, offset);
    return;
  }
  out.fill(0, offset, offset + 10);
  out.fill(0xff, offset + 10, offset + 12);
  out.set(address.bytes, offset + 12);
}

/** Four bytes at `at` as a signed 32-bit word; zero behind the end of an IPv4 address. */
export function wordOf({ bytes }: IpAddress, at: number): number {
  if (at >= bytes.length) return 0;
  return (
    ((bytes[at] as number) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number)
  );
}

function toAddress(bytes: Uint8Array): IpAddress {
  return bytes.length === 4
    ? { family: 4, bytes, text: `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}` }
    : { family: 6, bytes, text: formatIpv6(bytes) };
}

function isMappedIpv4(bytes: Uint8Array): boolean {
  return bytes.length === 16 && bytes[10] === 0xff && bytes[11] === 0xff && bytes.subarray(0, 10).every((b) => b === 0);
}

function parseIpv4(text: string): Uint8Array | undefined {
  if (text.length > IPV4_CHARACTERS_MAX) return undefined;
  const bytes = new Uint8Array(4);
  let part = 0;
  let digits = 0;
  let value = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === DOT && digits > 0 && part < 3) {
      bytes[part++] = value;
      digits = 0;
      value = 0;
      continue;
    }
    // A leading zero means octal to some programs.
    if (code < DIGIT_0 || code > DIGIT_9 || (digits > 0 && value === 0)) return undefined;
    digits++;
    value = value * 10 + code - DIGIT_0;
    if (value > 255) return undefined;
  }
  if (part !== 3 || digits === 0) return undefined;
  bytes[3] = value;
  return bytes;
}

function parseIpv6(text: string): Uint8Array | undefined {
  let rest = text;
  let tail: Uint8Array | undefined;
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  if (dotted) {
    tail = parseIpv4(dotted[2] as string);
    if (tail === undefined) return undefined;
    rest = `${dotted[1]}0:0`;
  }
  const halves = rest.split('::');
  if (halves.length > 2) return undefined;
  const head = parseGroups(halves[0] as string);
  const end = halves.length === 2 ? parseGroups(halves[1] as string) : [];
  if (head === undefined || end === undefined) return undefined;
  const missing = 8 - head.length - end.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const bytes = new Uint8Array(16);
  for (const [i, group] of [...head, ...new Array<number>(missing).fill(0), ...end].entries()) {
    bytes[2 * i] = group >> 8;
    bytes[2 * i + 1] = group & 0xff;
  }
  if (tail !== undefined) bytes.set(tail, 12);
  return bytes;
}

function parseGroups(text: string): number[] | undefined {
  if (text === '') return [];
  const groups = text.split(':');
  return groups.every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))
    ? groups.map((group) => Number.parseInt(group, 16))
    : undefined;
}

/** RFC 5952: lower case, no leading zeros, the first longest run of two or more zero groups as `::`. */
function formatIpv6(bytes: Uint8Array): string {
  if (isMappedIpv4(bytes)) return `::ffff:${bytes.slice(12).join('.')}`;
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] as number) << 8) | (bytes[2 * i + 1] as number));
  let bestStart = -1;
  let bestLength = 1;
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (groups[start + length] === 0) length++;
    if (length > bestLength) {
      bestStart = start;
      bestLength = length;
    }
  }
  const hex = groups.map((group) => group.toString(16));
  if (bestStart < 0) return hex.join(':');
  return `${hex.slice(0, bestStart).join(':')}::${hex.slice(bestStart + bestLength).join(':')}`;
}
