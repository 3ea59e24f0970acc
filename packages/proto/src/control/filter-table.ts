import { type FilterRule, parseFilterRules } from '../filter/rules.ts';
import { isRecord, type JsonRecord } from './json-value.ts';

/** Named filters of one stream; more are left out. Servers use one or a few. */
const FILTER_COUNT_MAX = 1024;

/**
 * The named packet filters of a stream (docs/spec/control.md#packet-filters). `PacketFilter` is the filter `base`; in
 * `PacketFilters` the name `*` with null clears all first, null deletes a name. No filter at all blocks everything.
 */
export class FilterTable {
  readonly #filters = new Map<string, readonly FilterRule[]>();
  #rules: readonly FilterRule[] = [];

  /** The rules of all names together. */
  get rules(): readonly FilterRule[] {
    return this.#rules;
  }

  /** Applies a MapResponse; true when it spoke of filters. */
  apply(json: JsonRecord): boolean {
    const base = json['PacketFilter'];
    const named = json['PacketFilters'];
    if (!Array.isArray(base) && !isRecord(named)) return false;
    if (Array.isArray(base)) this.#set('base', base);
    if (isRecord(named)) this.#applyNamed(named);
    this.#rules = [...this.#filters.values()].flat();
    return true;
  }

  #applyNamed(named: JsonRecord): void {
    if (named['*'] === null) this.#filters.clear();
    for (const [name, list] of Object.entries(named)) {
      if (Array.isArray(list)) this.#set(name, list);
      else this.#filters.delete(name);
    }
  }

  #set(name: string, list: unknown): void {
    if (this.#filters.size < FILTER_COUNT_MAX || this.#filters.has(name))
      this.#filters.set(name, parseFilterRules(list));
  }
}
