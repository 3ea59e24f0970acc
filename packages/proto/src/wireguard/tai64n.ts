import type { UnixClock } from '../crypto/provider.ts';

export const TAI64N_BYTES = 12;
/** TAI64 label of the Unix epoch: 2^62 + 10 s, as its two 32-bit halves. */
const EPOCH_HIGH = 0x40000000;
const EPOCH_LOW = 0x0000000a;
/** Granules of 2^24 ns (16.8 ms) blunt what a timestamp tells about this machine's load. */
const GRANULE_NS = 0x1000000;
const GRANULES_PER_SECOND = Math.ceil(1e9 / GRANULE_NS);

/**
 * Makes the timestamps of initiations: each is later than all before, even within one granule or after the wall clock
 * was set back, because a peer refuses whatever is not later than the latest it saw (docs/spec/wireguard.md#timestamps).
 */
export class Tai64nClock {
  readonly #unixMs: UnixClock;
  #lastTick = -1;

  constructor(unixMs: UnixClock) {
    this.#unixMs = unixMs;
  }

  /** A new array of 12 bytes: u64 seconds, u32 nanoseconds, big-endian. */
  next(): Uint8Array {
    const tick = Math.max(toTick(this.#unixMs()), this.#lastTick + 1);
    this.#lastTick = tick;
    const seconds = Math.floor(tick / GRANULES_PER_SECOND) + EPOCH_LOW;
    const bytes = new Uint8Array(TAI64N_BYTES);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, EPOCH_HIGH + Math.floor(seconds / 0x1_0000_0000));
    view.setUint32(4, seconds % 0x1_0000_0000);
    view.setUint32(8, (tick % GRANULES_PER_SECOND) * GRANULE_NS);
    return bytes;
  }
}

/** Orders two timestamps: true when `a` is strictly later than `b`. */
export function isLater(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < TAI64N_BYTES; i++) {
    const difference = (a[i] as number) - (b[i] as number);
    if (difference !== 0) return difference > 0;
  }
  return false;
}

/** Granules since the Unix epoch, counting {@link GRANULES_PER_SECOND} to each second. */
function toTick(unixMs: number): number {
  const seconds = Math.floor(unixMs / 1000);
  const nanoseconds = Math.floor((unixMs - seconds * 1000) * 1e6);
  return seconds * GRANULES_PER_SECOND + Math.floor(nanoseconds / GRANULE_NS);
}
