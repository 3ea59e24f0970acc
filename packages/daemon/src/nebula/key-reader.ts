/**
 * Takes single keys out of a Nebula configuration, read as Nebula reads them: it turns every value into text first, so
 * `"4242"` is a number and `yes` is true. Where Nebula falls back to its default silently, this records a problem.
 */

import { isPlainMap, type PlainMap } from './yaml-text.ts';

/** The first key that does not fit; `message` never quotes the value. */
export interface KeyProblem {
  readonly path: readonly string[];
  readonly message: string;
}

type Path = readonly [section: string, key: string];

export class KeyReader {
  readonly #root: PlainMap;
  #problem: KeyProblem | undefined;

  constructor(root: PlainMap) {
    this.#root = root;
  }

  get problem(): KeyProblem | undefined {
    return this.#problem;
  }

  /** Records a problem, unless there is one already. */
  report(path: readonly string[], message: string): void {
    this.#problem ??= { path, message };
  }

  /** Undefined when the key or its section is absent or null. */
  value([section, key]: Path): unknown {
    const map = Object.hasOwn(this.#root, section) ? this.#root[section] : undefined;
    if (map === undefined || map === null) return undefined;
    if (!isPlainMap(map)) {
      this.report([section], `"${section}" must be a section with keys`);
      return undefined;
    }
    return (Object.hasOwn(map, key) ? map[key] : undefined) ?? undefined;
  }

  text(path: Path): string | undefined {
    const value = this.value(path);
    if (value === undefined) return undefined;
    if (typeof value === 'string') return value;
    if (typeof value === 'number' || typeof value === 'boolean') return String(value);
    this.report(path, `"${path.join('.')}" must be a text`);
    return undefined;
  }

  flag(path: Path): boolean {
    const text = this.text(path)?.toLowerCase();
    if (text === undefined) return false;
    if (!/^(true|false|t|f|yes|no|y|n|1|0)$/.test(text)) this.report(path, `"${path.join('.')}" must be true or false`);
    return /^(true|t|yes|y|1)$/.test(text);
  }

  integer(path: Path, limits: { readonly min: number; readonly max: number }): number | undefined {
    const text = this.text(path);
    if (text === undefined) return undefined;
    const value = /^[0-9]{1,9}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= limits.min && value <= limits.max) return value;
    this.report(path, `"${path.join('.')}" must be a whole number from ${limits.min} to ${limits.max}`);
    return undefined;
  }

  /** A single value is a list of one, as for Nebula. */
  texts(path: Path): string[] {
    const value = this.value(path);
    const list = Array.isArray(value) ? value : value === undefined ? [] : [value];
    if (list.every((item) => typeof item === 'string')) return list as string[];
    this.report(path, `"${path.join('.')}" must be a list of texts`);
    return [];
  }
}
