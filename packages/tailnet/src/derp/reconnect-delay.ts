import type { Rng } from '@heddle/proto/crypto/provider';

/** A connection that lasted this long was a good one: the next failure starts the delays anew. */
const GOOD_CONNECTION_MS = 2_000;

interface Steps {
  readonly firstMs: number;
  readonly maxMs: number;
}

const USUAL: Steps = { firstMs: 100, maxMs: 5_000 };
/** The host is up and only its process is not: asking costs one packet, and the relay is usually back soon. */
const REFUSED: Steps = { firstMs: 100, maxMs: 1_500 };
/** Somebody has to change something first. */
const NEEDS_HELP: Steps = { firstMs: 1_000, maxMs: 60_000 };

const STEPS: Readonly<Record<string, Steps>> = {
  'derp/refused': REFUSED,
  'derp/not-authorised': NEEDS_HELP,
  'derp/tls-certificate': NEEDS_HELP,
  'derp/not-a-relay': NEEDS_HELP,
  'derp/not-tls': NEEDS_HELP,
  'derp/no-nodes': NEEDS_HELP,
};

/** How long to wait before the next attempt: doubling per failure in a row, jittered by a quarter either way. */
export class ReconnectDelay {
  readonly #rng: Rng;
  #failureCount = 0;

  constructor(rng: Rng) {
    this.#rng = rng;
  }

  /** Notes how long a connection lasted, or 0 for one that never came to be, and returns the delay in milliseconds. */
  afterFailure(code: string, lastedMs: number): number {
    if (lastedMs >= GOOD_CONNECTION_MS) this.#failureCount = 0;
    const { firstMs, maxMs } = STEPS[code] ?? USUAL;
    const delayMs = Math.min(maxMs, firstMs * 2 ** Math.min(this.#failureCount, 16));
    this.#failureCount++;
    return this.jitter(delayMs);
  }

  /** The map changed: what failed before says nothing any more. */
  reset(): void {
    this.#failureCount = 0;
  }

  /** Spreads a delay evenly between three and five quarters of it. */
  jitter(delayMs: number): number {
    const random = new Uint8Array(2);
    this.#rng.fill(random);
    const fraction = (((random[0] as number) << 8) | (random[1] as number)) / 0x10000;
    return delayMs * (0.75 + fraction / 2);
  }
}
