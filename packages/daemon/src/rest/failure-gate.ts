const INTERVAL_MS = 1_000;

/** Lets one failure of a code pass each second: whoever may read must not be able to fill the log. */
export class FailureGate {
  readonly #byCode = new Map<string, { readonly atMs: number; leftOut: number }>();

  /** How many were left out since the last one that passed; undefined: this one is left out too. */
  admit(code: string, nowMs: number): number | undefined {
    const last = this.#byCode.get(code);
    if (last !== undefined && nowMs - last.atMs < INTERVAL_MS) {
      last.leftOut++;
      return undefined;
    }
    this.#byCode.set(code, { atMs: nowMs, leftOut: 0 });
    return last?.leftOut ?? 0;
  }
}
