/**
 * Reading JSON written by Go (docs/spec/control.md#json): an absent or null field has its zero value, unknown fields
 * are ignored, and a value of another type counts as absent.
 */
export type JsonRecord = Readonly<Record<string, unknown>>;

export function isRecord(json: unknown): json is JsonRecord {
  return typeof json === 'object' && json !== null && !Array.isArray(json);
}

export function recordOf(json: unknown): JsonRecord {
  return isRecord(json) ? json : {};
}

export function listOf(json: unknown): readonly unknown[] {
  return Array.isArray(json) ? json : [];
}

export function textOf(json: unknown): string {
  return typeof json === 'string' ? json : '';
}

export function textsOf(json: unknown): readonly string[] {
  return listOf(json).filter((item) => typeof item === 'string');
}

export function integerOf(json: unknown): number {
  return typeof json === 'number' && Number.isSafeInteger(json) ? json : 0;
}

/** An `opt.Bool`: absent and null are "unknown". */
export function optionalBooleanOf(json: unknown): boolean | undefined {
  return typeof json === 'boolean' ? json : undefined;
}

/** The parsed items of a list, without those that `parse` refuses. */
export function parseItems<T>(json: unknown, parse: (text: string) => T | undefined): readonly T[] {
  const items: T[] = [];
  for (const text of textsOf(json)) {
    const item = parse(text);
    if (item !== undefined) items.push(item);
  }
  return items;
}
