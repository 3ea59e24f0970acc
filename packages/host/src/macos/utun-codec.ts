/**
 * What a process tells the kernel of macOS to get a utun device. Both structures are in host order, which is little
 * endian on every Mac that Node.js runs on.
 *
 * | `ctl_info`, 100 bytes | |
 * | --- | --- |
 * | 0–3 | ctl_id: u32, 0 in the question, the number of the control in the answer |
 * | 4–99 | ctl_name: text with zeros behind it |
 *
 * | `sockaddr_ctl`, 32 bytes | |
 * | --- | --- |
 * | 0 | sc_len: u8, 32 |
 * | 1 | sc_family: u8, AF_SYSTEM 0x20 |
 * | 2–3 | ss_sysaddr: u16, AF_SYS_CONTROL 2 |
 * | 4–7 | sc_id: u32, ctl_id of the answer above |
 * | 8–11 | sc_unit: u32, 0 for the next free device, else its number plus 1 |
 * | 12–31 | sc_reserved: u32 × 5, 0 |
 *
 * Source: XNU `bsd/sys/kern_control.h`, `bsd/sys/sys_domain.h`, `bsd/net/if_utun.h`; `_IOWR` of `bsd/sys/ioccom.h`.
 */

/** AF_SYSTEM of socket(2). */
export const AF_SYSTEM = 32;
/** Protocol of AF_SYSTEM, and the level of its socket options. */
export const SYSPROTO_CONTROL = 2;
/** Socket option: the name of the device, with a zero behind it. */
export const UTUN_OPT_IFNAME = 2;
/** `_IOWR('N', 3, struct ctl_info)`: in and out 0xc0000000, 100 bytes << 16, 0x4e << 8, 3. */
export const CTLIOCGINFO = 0xc0644e03;
/** IFNAMSIZ: a name of a link with the zero behind it. */
export const LINK_NAME_BYTES = 16;

const UTUN_CONTROL_NAME = 'com.apple.net.utun_control';
const CTL_INFO_BYTES = 100;
const SOCKADDR_CTL_BYTES = 32;
const AF_SYS_CONTROL = 2;
/** A bound of ours; machines have ten of them, not thousands. */
const UTUN_NUMBER_MAX = 9999;

/** Encodes `ctl_info` with the question for the number of utun's control; the kernel answers in the same bytes. */
export function encodeControlQuestion(): Uint8Array {
  const bytes = new Uint8Array(CTL_INFO_BYTES);
  bytes.set(new TextEncoder().encode(UTUN_CONTROL_NAME), 4);
  return bytes;
}

/** Decodes the number of the control from `ctl_info`; numbers begin at 1. */
export function decodeControlId(bytes: Uint8Array): number | 'short' | 'no-id' {
  if (bytes.length < CTL_INFO_BYTES) return 'short';
  const id = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  return id === 0 ? 'no-id' : id;
}

/**
 * Encodes `sockaddr_ctl`. `number` is that of the name, undefined for the next free one.
 * @throws {RangeError} when one of the numbers is none.
 */
export function encodeControlAddress(controlId: number, number: number | undefined): Uint8Array {
  if (!Number.isInteger(controlId) || controlId < 1 || controlId > 0xffff_ffff) {
    throw new RangeError(`No control has the number ${controlId}`);
  }
  if (number !== undefined && !isUtunNumber(number)) throw new RangeError(`No utun device has the number ${number}`);
  const bytes = new Uint8Array(SOCKADDR_CTL_BYTES);
  const view = new DataView(bytes.buffer);
  bytes[0] = SOCKADDR_CTL_BYTES;
  bytes[1] = AF_SYSTEM;
  view.setUint16(2, AF_SYS_CONTROL, true);
  view.setUint32(4, controlId, true);
  view.setUint32(8, number === undefined ? 0 : number + 1, true);
  return bytes;
}

/** Decodes the number in the answer to UTUN_OPT_IFNAME: a name with a zero behind it, 7 for `utun7`. */
export function decodeUtunName(bytes: Uint8Array): number | 'unterminated' | 'bad-name' {
  const end = bytes.indexOf(0);
  if (end < 0 || end >= LINK_NAME_BYTES) return 'unterminated';
  return parseUtunName(String.fromCharCode(...bytes.subarray(0, end))) ?? 'bad-name';
}

/** Reads the number of `utun7`: 0–9999, no leading zeros. `undefined` for any other text. */
export function parseUtunName(name: string): number | undefined {
  const digits = /^utun(0|[1-9][0-9]{0,4})$/.exec(name)?.[1];
  const number = digits === undefined ? undefined : Number(digits);
  return number !== undefined && isUtunNumber(number) ? number : undefined;
}

/** Writes the name of a utun device. @throws {RangeError} unless the number is 0–9999. */
export function formatUtunName(number: number): string {
  if (!isUtunNumber(number)) throw new RangeError(`No utun device has the number ${number}`);
  return `utun${number}`;
}

function isUtunNumber(number: number): boolean {
  return Number.isInteger(number) && number >= 0 && number <= UTUN_NUMBER_MAX;
}
