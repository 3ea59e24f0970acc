/** Makes a list anew only when one of the two things it is made of is another. */
export class KeptList<A extends object, B extends object, T> {
  readonly #make: (first: A, second: B) => readonly T[];
  #kept: { readonly first: A; readonly second: B; readonly list: readonly T[] } | undefined;

  constructor(make: (first: A, second: B) => readonly T[]) {
    this.#make = make;
  }

  /** Frozen, and the same object for the same two. */
  of(first: A, second: B): readonly T[] {
    if (this.#kept?.first !== first || this.#kept.second !== second) {
      this.#kept = { first, second, list: Object.freeze(this.#make(first, second)) };
    }
    return this.#kept.list;
  }
}
