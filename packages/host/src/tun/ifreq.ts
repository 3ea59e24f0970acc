/**
 * The structure `ifreq` as the calls on TUN devices use it (netdevice(7)). Pure.
 *
 * ```
 *  0  name of the device, 16 bytes: 1–15 and zeros
 * 16  u16 flags, in the byte order of the machine (here little-endian)
 * 18  zeros up to 40: other calls keep larger values in the place of the flags
 * ```
 *
 * A 32-bit kernel looks at the first 32 bytes only.
 */

/** What a call on a TUN device says, or is told. */
export interface InterfaceRequest {
  /** 1–15 bytes. */
  readonly name: string;
  /** 16 bits. */
  readonly flags: number;
}

/** Of an encoded request. */
export const IFREQ_BYTES = 40;

const NAME_BYTES = 16;
/**
 * Printable ASCII without blank, `%`, `/` and `:`. In a name the kernel replaces `%d` by a number, and would make another
 * device than the one asked for; the others it refuses, or writes where other programs trip over them.
 */
const NAME_PATTERN = /^(?!\.{1,2}$)[!-$&-.0-9;-~]{1,15}$/;

/**
 * Encodes a request.
 * @throws {TypeError} when no device can have the name, or only by an accident.
 * @throws {RangeError} when the flags have more than 16 bits.
 */
export function encodeIfreq({ name, flags }: InterfaceRequest): Uint8Array {
  if (!NAME_PATTERN.test(name)) throw new TypeError(`No device can be named "${name}"`);
  if (!Number.isInteger(flags) || flags < 0 || flags > 0xffff) throw new RangeError(`Flags ${flags} are not 16 bits`);
  const bytes = new Uint8Array(IFREQ_BYTES);
  bytes.set(new TextEncoder().encode(name));
  new DataView(bytes.buffer).setUint16(NAME_BYTES, flags, true);
  return bytes;
}

/** Decodes what the kernel wrote. `bad-name`: empty, without an end, or not UTF-8. */
export function decodeIfreq(bytes: Uint8Array): InterfaceRequest | 'short' | 'bad-name' {
  if (bytes.length < IFREQ_BYTES) return 'short';
  const end = bytes.subarray(0, NAME_BYTES).indexOf(0);
  if (end < 1) return 'bad-name';
  const flags = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint16(NAME_BYTES, true);
  try {
    return { name: TEXT.decode(bytes.subarray(0, end)), flags };
  } catch {
    return 'bad-name';
  }
}

const TEXT = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
