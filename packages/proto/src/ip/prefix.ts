import { type IpAddress, parseAddress } from './address.ts';

/** A CIDR block. `bits` counts from the most significant bit: 0–32 or 0–128. Host bits may be set. */
export interface IpPrefix {
  readonly address: IpAddress;
  readonly bits: number;
}

/** Parses `100.64.0.1/32`, or a bare address as its host prefix; `undefined` for any other text. */
export function parsePrefix(text: string): IpPrefix | undefined {
  const [addressText, bitsText, extra] = text.split('/');
  const address = parseAddress(addressText ?? '');
  if (address === undefined || extra !== undefined) return undefined;
  const bitsMax = address.bytes.length * 8;
  if (bitsText === undefined) return { address, bits: bitsMax };
  if (!/^(0|[1-9]\d{0,2})$/.test(bitsText) || Number(bitsText) > bitsMax) return undefined;
  return { address, bits: Number(bitsText) };
}

export function formatPrefix(prefix: IpPrefix): string {
  return `${prefix.address.text}/${prefix.bits}`;
}

/** True when the address lies in the block; false across families. */
export function isInPrefix(prefix: IpPrefix, address: IpAddress): boolean {
  if (prefix.address.family !== address.family) return false;
  return isPrefixOfBytes(prefix, address.bytes, 0);
}

/** As {@link isInPrefix} for an address of the same family inside a packet. */
export function isPrefixOfBytes(prefix: IpPrefix, bytes: Uint8Array, offset: number): boolean {
  const whole = prefix.bits >> 3;
  for (let i = 0; i < whole; i++) if (prefix.address.bytes[i] !== bytes[offset + i]) return false;
  const rest = prefix.bits & 7;
  if (rest === 0) return true;
  const difference = (prefix.address.bytes[whole] as number) ^ (bytes[offset + whole] as number);
  return difference >> (8 - rest) === 0;
}

/** True for the prefix of exactly one address. */
export function isHostPrefix(prefix: IpPrefix): boolean {
  return prefix.bits === prefix.address.bytes.length * 8;
}
