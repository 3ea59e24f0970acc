import type { PacketCipher } from '@heddle/proto/crypto/provider';

const COUNTER = 0x12_3456_789a;
const TAG_BYTES = 16;

/**
 * Tags of the bytes 0, 1, 2 … 255, 0 … of each length under the key 00 01 … 1f and the counter above, as the reference
 * provider makes them (a test compares). The lengths end in every part of the fast code: staged groups, whole groups,
 * the first keystream blocks, whole steps, the rest.
 */
export const KNOWN_TAGS: readonly { readonly length: number; readonly tag: string }[] = [
  { length: 0, tag: '6a9e7eaffabfce990251d83c161f52d2' },
  { length: 1, tag: 'eab38af194fa7c4666b91b9559085a67' },
  { length: 64, tag: '50978d2bc085d9424dd656d4c631ab63' },
  { length: 193, tag: 'c6f5a0e680b91937962ba2ae93927346' },
  { length: 1280, tag: 'd4c2a31c303d19e1529cc1976ac5d0cc' },
  { length: 1425, tag: '3c4a7a25448b25d265d7e9bcac662c08' },
];

/**
 * True when a cipher gives the known answers, undoes them, and refuses a changed byte.
 * @param memory At least 2 KiB of the kind the cipher will work on; overwritten.
 */
export function isPacketCipherRight(createCipher: (key: Uint8Array) => PacketCipher, memory: Uint8Array): boolean {
  const cipher = createCipher(Uint8Array.from({ length: 32 }, (_, i) => i));
  const isRight = KNOWN_TAGS.every(({ length, tag }) => {
    for (let i = 0; i < length; i++) memory[i] = i & 0xff;
    cipher.seal(memory, 0, length, COUNTER);
    if (Buffer.from(memory.subarray(length, length + TAG_BYTES)).toString('hex') !== tag) return false;
    const sealed = memory.slice(0, length + TAG_BYTES);
    if (!cipher.open(memory, 0, sealed.length, COUNTER)) return false;
    for (let i = 0; i < length; i++) if (memory[i] !== (i & 0xff)) return false;
    memory.set(sealed);
    memory[length >> 1] = (memory[length >> 1] as number) ^ 0x80;
    return !cipher.open(memory, 0, sealed.length, COUNTER);
  });
  cipher.wipe();
  return isRight;
}
