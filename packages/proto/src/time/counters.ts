/** Counts events by name: drops and errors are the norm on a network, so each has a number instead of a log line. */
export class Counters<Name extends string> {
  readonly #counts = new Map<Name, number>();

  add(name: Name, amount = 1): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + amount);
  }

  count(name: Name): number {
    return this.#counts.get(name) ?? 0;
  }

  snapshot(): Record<string, number> {
    return Object.fromEntries(this.#counts);
  }
}
