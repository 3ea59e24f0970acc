import type { IpAddress } from '../ip/address.ts';
import type { IpHeader, PacketMemory } from './ip-header.ts';

/** The node's own addresses: which packets are ours, and the source of what we send. */
export class LocalAddresses {
  #addresses: readonly IpAddress[] = [];
  #ipv4Words: Int32Array = new Int32Array(0);
  /** Four words each. */
  #ipv6Words: Int32Array = new Int32Array(0);

  set(addresses: readonly IpAddress[]): void {
    this.#addresses = [...addresses];
    this.#ipv4Words = toWords(addresses, 4);
    this.#ipv6Words = toWords(addresses, 6);
  }

  has(address: IpAddress): boolean {
    return this.#addresses.some((own) => own.text === address.text);
  }

  /** The first own address of the family; our source towards every peer. */
  ofFamily(family: 4 | 6): IpAddress | undefined {
    return this.#addresses.find((own) => own.family === family);
  }

  /** True when the 4 or 16 bytes at `offset` are an own address. */
  isLocal(memory: PacketMemory, offset: number, family: 4 | 6): boolean {
    const { view } = memory;
    if (family === 4) {
      const word = view.getInt32(offset);
      const own = this.#ipv4Words;
      for (let i = 0; i < own.length; i++) if (own[i] === word) return true;
      return false;
    }
    const words = this.#ipv6Words;
    for (let i = 0; i < words.length; i += 4) {
      if (
        words[i + 3] === view.getInt32(offset + 12) &&
        words[i + 2] === view.getInt32(offset + 8) &&
        words[i + 1] === view.getInt32(offset + 4) &&
        words[i] === view.getInt32(offset)
      ) {
        return true;
      }
    }
    return false;
  }

  /** The own address a packet was sent to, which `isLocal` has found. */
  destinationOf(memory: PacketMemory, header: IpHeader): IpAddress | undefined {
    const { bytes } = memory;
    return this.#addresses.find(
      (own) =>
        own.family === header.family && own.bytes.every((byte, i) => byte === bytes[header.destinationOffset + i]),
    );
  }
}

/** True for a source no honest packet has: unspecified, multicast, broadcast or loopback. */
export function isForbiddenSource(memory: PacketMemory, header: IpHeader): boolean {
  const at = header.sourceOffset;
  const first = memory.bytes[at] as number;
  if (header.family === 4) return first === 0 || first === 127 || first >= 224;
  if (first === 0xff) return true;
  const { view } = memory;
  return (
    first === 0 &&
    view.getInt32(at) === 0 &&
    view.getInt32(at + 4) === 0 &&
    view.getInt32(at + 8) === 0 &&
    view.getUint32(at + 12) <= 1
  );
}

function toWords(addresses: readonly IpAddress[], family: 4 | 6): Int32Array {
  const words: number[] = [];
  for (const address of addresses) {
    if (address.family !== family) continue;
    const view = new DataView(address.bytes.buffer, address.bytes.byteOffset, address.bytes.byteLength);
    for (let at = 0; at < address.bytes.length; at += 4) words.push(view.getInt32(at));
  }
  return Int32Array.from(words);
}
