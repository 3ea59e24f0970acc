import type { Endpoint } from '../ip/endpoint.ts';

/** Addresses tried per peer. A learned address is refused when full; the netmap and the peer's own list displace learned ones. */
export const CANDIDATE_COUNT_MAX = 100;
/** A learned address is forgotten this long after the peer last used it. */
export const LEARNED_LIFETIME_MS = 45_000;

const NEVER = Number.NEGATIVE_INFINITY;

/** An address at which the peer may be reachable, and what happened there. Times are NEVER (−Infinity) until they happen. */
export interface Candidate {
  readonly endpoint: Endpoint;
  /** Listed by the coordination server. */
  isInNetmap: boolean;
  /** Listed by the peer's last CallMeMaybe. */
  isCalled: boolean;
  /** The peer sent something valid from there. */
  heardAtMs: number;
  pingedAtMs: number;
  /** Our last ping that answered traffic from there, and not our own schedule. */
  pingedBackAtMs: number;
  answeredAtMs: number;
}

/** The candidate addresses of one peer, keyed by their text, and where each is known from. */
export class CandidateSet {
  readonly #byText = new Map<string, Candidate>();

  get size(): number {
    return this.#byText.size;
  }

  values(): IterableIterator<Candidate> {
    return this.#byText.values();
  }

  get(endpoint: Endpoint): Candidate | undefined {
    return this.#byText.get(endpoint.text);
  }

  /** Replaces what the netmap lists. Returns true when an address is new. */
  setNetmap(endpoints: readonly Endpoint[], nowMs: number): boolean {
    for (const candidate of this.#byText.values()) candidate.isInNetmap = false;
    const before = new Set(this.#byText.keys());
    for (const endpoint of endpoints) {
      const candidate = this.#require(endpoint);
      if (candidate !== undefined) candidate.isInNetmap = true;
    }
    this.prune(nowMs);
    return endpoints.some((endpoint) => !before.has(endpoint.text) && this.#byText.has(endpoint.text));
  }

  /** Replaces what the peer's CallMeMaybe lists. */
  setCalled(endpoints: readonly Endpoint[], nowMs: number): void {
    for (const candidate of this.#byText.values()) candidate.isCalled = false;
    for (const endpoint of endpoints) {
      const candidate = this.#require(endpoint);
      if (candidate !== undefined) candidate.isCalled = true;
    }
    this.prune(nowMs);
  }

  /** Notes that the peer used this address; `undefined` when there is no room for a new one. */
  learn(endpoint: Endpoint, nowMs: number): Candidate | undefined {
    let candidate = this.#byText.get(endpoint.text);
    if (candidate === undefined) {
      if (this.#byText.size >= CANDIDATE_COUNT_MAX) this.prune(nowMs);
      if (this.#byText.size >= CANDIDATE_COUNT_MAX) return undefined;
      candidate = this.#insert(endpoint);
    }
    candidate.heardAtMs = nowMs;
    return candidate;
  }

  /** Forgets addresses that nobody lists and the peer has not used for {@link LEARNED_LIFETIME_MS}. */
  prune(nowMs: number): void {
    for (const [text, candidate] of this.#byText) {
      if (candidate.isInNetmap || candidate.isCalled) continue;
      if (nowMs - candidate.heardAtMs > LEARNED_LIFETIME_MS) this.#byText.delete(text);
    }
  }

  /** Forgets what was tried, keeping the addresses: our socket or the peer's process is another one now. */
  forgetHistory(): void {
    for (const candidate of this.#byText.values()) {
      candidate.pingedAtMs = NEVER;
      candidate.pingedBackAtMs = NEVER;
      candidate.answeredAtMs = NEVER;
    }
  }

  /** Finds or inserts a listed address, displacing the learned one that is silent for longest. */
  #require(endpoint: Endpoint): Candidate | undefined {
    const known = this.#byText.get(endpoint.text);
    if (known !== undefined) return known;
    if (this.#byText.size >= CANDIDATE_COUNT_MAX && !this.#displaceLearned()) return undefined;
    return this.#insert(endpoint);
  }

  #displaceLearned(): boolean {
    let oldest: Candidate | undefined;
    for (const candidate of this.#byText.values()) {
      if (candidate.isInNetmap || candidate.isCalled) continue;
      if (oldest === undefined || candidate.heardAtMs < oldest.heardAtMs) oldest = candidate;
    }
    return oldest !== undefined && this.#byText.delete(oldest.endpoint.text);
  }

  #insert(endpoint: Endpoint): Candidate {
    const candidate: Candidate = {
      endpoint,
      isInNetmap: false,
      isCalled: false,
      heardAtMs: NEVER,
      pingedAtMs: NEVER,
      pingedBackAtMs: NEVER,
      answeredAtMs: NEVER,
    };
    this.#byText.set(endpoint.text, candidate);
    return candidate;
  }
}
