const IDLE_MS = 60_000;
const INTERVAL_MS = 15_000;
const PROBES_MAX = 5;

/** Finds out whether a silent peer still lives (RFC 9293 §3.8.4). Off unless asked for. */
export class KeepAlive {
  #isOn = false;
  #heardAtMs = 0;
  #probes = 0;
  #probedAtMs = 0;
  isProbeDue = false;

  set(isOn: boolean, nowMs: number): void {
    this.#isOn = isOn;
    this.noteHeard(nowMs);
  }

  noteHeard(nowMs: number): void {
    this.#heardAtMs = nowMs;
    this.#probes = 0;
    this.isProbeDue = false;
  }

  get deadlineMs(): number {
    if (!this.#isOn) return Number.POSITIVE_INFINITY;
    return this.#probes === 0 ? this.#heardAtMs + IDLE_MS : this.#probedAtMs + INTERVAL_MS;
  }

  /** False when the last probe has gone unanswered. */
  handleTimeout(nowMs: number): boolean {
    if (nowMs < this.deadlineMs) return true;
    if (this.#probes === PROBES_MAX) return false;
    this.#probes++;
    this.#probedAtMs = nowMs;
    this.isProbeDue = true;
    return true;
  }
}
