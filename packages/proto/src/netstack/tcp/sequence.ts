/*
 * Sequence numbers (RFC 9293 §3.4) are kept as signed 32-bit integers: the engine then stores them without boxing, and
 * the difference of two, cut to 32 bits, orders them across the wrap. Never compare two with `<`.
 */

/** `sequence + bytes` modulo 2^32. */
export function advance(sequence: number, bytes: number): number {
  return (sequence + bytes) | 0;
}

/** Bytes from `from` to `to`; negative when `to` is older. */
export function distance(from: number, to: number): number {
  return (to - from) | 0;
}

export function isBefore(a: number, b: number): boolean {
  return ((a - b) | 0) < 0;
}

export function isAfter(a: number, b: number): boolean {
  return ((a - b) | 0) > 0;
}

export function laterOf(a: number, b: number): number {
  return ((a - b) | 0) > 0 ? a : b;
}

export function earlierOf(a: number, b: number): number {
  return ((a - b) | 0) < 0 ? a : b;
}
