import { formatHex } from '../bytes/hex.ts';

export const SOURCE_RATE_PER_SECOND = 20;
export const SOURCE_BURST = 5;
/** Sources remembered at once; beyond it, new ones are refused until an old one has been quiet for a second. */
export const SOURCES_MAX = 4096;

interface Bucket {
  tokens: number;
  atMs: number;
}

/** One token bucket a source, for handshake messages under load: 20 a second, 5 at once. */
export class SourceLimiter {
  readonly #buckets = new Map<string, Bucket>();
  #sweepAtMs = Number.NEGATIVE_INFINITY;

  /** True when the source may cost another handshake. `source` is a cookie source, see {@link bucketBytes}. */
  take(source: Uint8Array, nowMs: number): boolean {
    const key = formatHex(source.subarray(0, bucketBytes(source)));
    let bucket = this.#buckets.get(key);
    if (bucket === undefined) {
      if (this.#buckets.size >= SOURCES_MAX) this.#sweep(nowMs);
      if (this.#buckets.size >= SOURCES_MAX) return false;
      bucket = { tokens: SOURCE_BURST, atMs: nowMs };
      this.#buckets.set(key, bucket);
    }
    const earned = ((nowMs - bucket.atMs) * SOURCE_RATE_PER_SECOND) / 1000;
    bucket.tokens = Math.min(SOURCE_BURST, bucket.tokens + earned);
    bucket.atMs = nowMs;
    if (bucket.tokens < 1) return false;
    bucket.tokens--;
    return true;
  }

  /** Forgets full buckets: a source that comes back starts with a full one anyway. At most once a second. */
  #sweep(nowMs: number): void {
    if (nowMs < this.#sweepAtMs) return;
    this.#sweepAtMs = nowMs + 1000;
    for (const [key, bucket] of this.#buckets) if (nowMs - bucket.atMs >= 1000) this.#buckets.delete(key);
  }
}

/**
 * Bytes of a cookie source that name one sender: an IPv4 address (4 bytes, or 6 with a port), the /64 of an IPv6 address
 * (16 or 18 bytes), anything else whole (a relay's sender is a 32-byte key).
 */
function bucketBytes(source: Uint8Array): number {
  if (source.length === 6) return 4;
  return source.length === 16 || source.length === 18 ? 8 : source.length;
}
