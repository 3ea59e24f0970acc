/**
 * What a commit writes, found at the cost of what it changes: the readable way, `formatContent` of the content before and
 * after and `diffEntries` of both, gives the same and is what the tests compare with. Of all other records only their
 * share in the check is touched, one text over which it is taken.
 */

import { createHash } from 'node:crypto';
import type { StoreChange, StoreContent } from './store-content.ts';
import {
  formatCheck,
  formatCheckedLine,
  formatEntry,
  isCheckedKey,
  KEYS,
  keyOfItem,
  type StoreEntries,
  type StoreWrite,
} from './store-entries.ts';

/** The entries that the check is over, by key. Never changed in place. */
export interface CheckedLines {
  readonly keys: readonly string[];
  /** `formatCheckedLine` of each. */
  readonly lines: readonly string[];
}

export interface WritePlan {
  readonly writes: readonly StoreWrite[];
  /** Those of the content after the change. */
  readonly lines: CheckedLines;
}

export interface PlannedChange {
  readonly before: StoreContent;
  /** The content that `change` makes of `before`. */
  readonly after: StoreContent;
  readonly change: StoreChange;
  /** Those of `before`. */
  readonly lines: CheckedLines;
}

/** The lines of the texts of a content. */
export function linesOf(entries: StoreEntries): CheckedLines {
  const keys = [...entries.keys()].filter(isCheckedKey).sort();
  return { keys, lines: keys.map((key) => formatCheckedLine(key, entries.get(key) ?? '')) };
}

/** The writes that turn the texts of `before` into those of `after`; none when they are equal. */
export function planWrites({ before, after, change, lines }: PlannedChange): WritePlan {
  const writes: StoreWrite[] = [];
  for (const key of new Set([KEYS.meta, ...change.map(keyOfItem)])) {
    const value = formatEntry(after, key);
    if (value === formatEntry(before, key)) continue;
    writes.push(value === undefined ? { type: 'del', key } : { type: 'put', key, value });
  }
  if (!writes.some(({ key }) => isCheckedKey(key))) return { writes, lines };
  const edited = editLines(lines, writes);
  const digest = createHash('sha256').update(edited.lines.join('')).digest('hex');
  return { writes: [...writes, { type: 'put', key: KEYS.check, value: formatCheck(digest) }], lines: edited };
}

function editLines(before: CheckedLines, writes: readonly StoreWrite[]): CheckedLines {
  const keys = [...before.keys];
  const lines = [...before.lines];
  for (const write of writes) {
    if (!isCheckedKey(write.key)) continue;
    const at = placeOf(keys, write.key);
    const oldCount = keys[at] === write.key ? 1 : 0;
    if (write.type === 'del') {
      keys.splice(at, oldCount);
      lines.splice(at, oldCount);
    } else {
      keys.splice(at, oldCount, write.key);
      lines.splice(at, oldCount, formatCheckedLine(write.key, write.value));
    }
  }
  return { keys, lines };
}

/** Where the key is, or belongs, in a list sorted by character codes. */
function placeOf(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((keys[middle] as string) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
