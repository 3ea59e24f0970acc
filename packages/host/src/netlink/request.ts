/**
 * What the requests have in common: the header, and the checks of what the caller gives. Pure.
 */

import { encodeMessage } from './message.ts';

const NLM_F_REQUEST = 0x1;
const NLM_F_ACK = 0x4;
const NLM_F_EXCL = 0x200;
const NLM_F_CREATE = 0x400;

/** Encodes a request that is answered by an ack; `parts` are the fixed header and the attributes. */
export function encodeRequest(type: number, sequence: number, parts: readonly Uint8Array[]): Uint8Array {
  return encodeMessage({ type, flags: NLM_F_REQUEST | NLM_F_ACK, sequence, port: 0 }, parts);
}

/** Encodes a question whose answer is the entry itself, or an error. */
export function encodeQuestion(type: number, sequence: number, parts: readonly Uint8Array[]): Uint8Array {
  return encodeMessage({ type, flags: NLM_F_REQUEST, sequence, port: 0 }, parts);
}

/** As {@link encodeRequest}, for what must not be there yet: otherwise the kernel answers EEXIST. */
export function encodeCreateRequest(type: number, sequence: number, parts: readonly Uint8Array[]): Uint8Array {
  const flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_EXCL | NLM_F_CREATE;
  return encodeMessage({ type, flags, sequence, port: 0 }, parts);
}

/**
 * The same number. An index of 0 means "no link given", with which a request may reach every link of a group.
 * @throws {RangeError} unless it is an integer from 1 to 0x7fffffff.
 */
export function checkLinkIndex(index: number): number {
  return checkInteger('link index', index, { min: 1, max: 0x7fffffff });
}

/** @throws {RangeError} unless it is an integer from `min` to `max`, both included. */
export function checkInteger(what: string, value: number, { min, max }: { min: number; max: number }): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new RangeError(`The ${what} ${value} is not an integer from ${min} to ${max}`);
}
