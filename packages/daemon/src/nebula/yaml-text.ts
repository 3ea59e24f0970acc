/**
 * Reads a YAML text that somebody else wrote into plain data that JSON can show.
 *
 * - Types are those of YAML 1.2 plus merge keys: `yes` and `on` stay texts, as Nebula 1.10 and later reads them.
 * - A number that JavaScript cannot hold keeps the digits it was written with, as a text.
 * - Aliases are followed within bounds, so that a small file cannot become a large one.
 * - What comes back has no prototype but that of plain objects; a key `__proto__` is data like any other.
 */

import { type Document, isMap, isScalar, LineCounter, parseDocument, visit, type YAMLMap } from 'yaml';

export type PlainMap = Readonly<Record<string, unknown>>;

export type YamlResult =
  /** `lineOf` is the line (from 1) of a key or of the nearest section above it that the file has; 0 when it has none. */
  | { readonly kind: 'ok'; readonly value: unknown; readonly lineOf: (path: readonly string[]) => number }
  /** `message` quotes nothing of the file: it may hold a private key. */
  | { readonly kind: 'bad'; readonly line: number; readonly message: string };

const YAML_CHARACTERS_MAX = 1 << 20;
const ALIAS_COUNT_MAX = 100;
/** Aliases within what aliases stand for, as the yaml package counts them. */
const EXPANSION_COUNT_MAX = 10_000;
const NODE_COUNT_MAX = 100_000;
const TEXT_CHARACTERS_MAX = 4 << 20;
const DEPTH_MAX = 64;

/** Reads one document of at most 1 Mi characters, 100 aliases, 100,000 values and a depth of 64. Never throws. */
export function parseYaml(text: string): YamlResult {
  if (text.length > YAML_CHARACTERS_MAX) return { kind: 'bad', line: 0, message: 'The file is larger than 1 MiB' };
  const counter = new LineCounter();
  try {
    const document = parseDocument(text, { ...OPTIONS, lineCounter: counter });
    const error = document.errors[0];
    if (error !== undefined) {
      const message = ERROR_TEXTS[error.code] ?? 'Not valid YAML';
      return { kind: 'bad', line: counter.linePos(error.pos[0]).line, message };
    }
    keepUnholdableNumbers(document);
    const misuse = findMisuse(document);
    if (misuse !== undefined) {
      return { kind: 'bad', line: counter.linePos(misuse.at).line, message: misuse.message };
    }
    const value = copyPlain(document.toJS({ maxAliasCount: EXPANSION_COUNT_MAX }), newBudget(), 0);
    return { kind: 'ok', value, lineOf: (path) => lineOf(document, counter, path) };
  } catch (error) {
    return { kind: 'bad', line: 0, message: error instanceof TooMuch ? error.message : TOO_NESTED };
  }
}

// The check of the parser for keys that are there twice compares each with each: 20 s for a file of this size.
const OPTIONS = { prettyErrors: false, merge: true, uniqueKeys: false, logLevel: 'error' } as const;

const TOO_NESTED = 'The file is nested too deeply or has too many aliases';

const ERROR_TEXTS: Readonly<Record<string, string | undefined>> = {
  BAD_INDENT: 'Wrong indentation',
  BAD_SCALAR_START: 'A value that must be quoted',
  MISSING_CHAR: 'A missing quote, bracket or comma',
  MULTILINE_IMPLICIT_KEY: 'A key over several lines',
  MULTIPLE_DOCS: 'More than one document',
  TAB_AS_INDENT: 'A tab as indentation',
};

// A fingerprint of digits only, or an identifier beyond 2^53, must not become another number.
function keepUnholdableNumbers(document: Document): void {
  visit(document, {
    Scalar: (_key, node) => {
      const { value, source } = node;
      if (typeof value !== 'number' || source === undefined || Number.isSafeInteger(value)) return;
      if (String(value) !== source) node.value = source;
    },
  });
}

interface Misuse {
  readonly at: number;
  readonly message: string;
}

/** The first key that is there twice, or alias that has no anchor before it or is one more than allowed. */
function findMisuse(document: Document): Misuse | undefined {
  const anchors = new Set<string>();
  let aliasCount = 0;
  let misuse: Misuse | undefined;
  visit(document, {
    Value: (_key, node) => {
      if (node.anchor !== undefined) anchors.add(node.anchor);
      const twice = isMap(node) ? findRepeatedKey(node) : undefined;
      if (twice === undefined) return undefined;
      misuse = { at: twice, message: 'A key that is there twice' };
      return visit.BREAK;
    },
    Alias: (_key, node) => {
      aliasCount++;
      if (anchors.has(node.source) && aliasCount <= ALIAS_COUNT_MAX) return undefined;
      misuse = { at: node.range?.[0] ?? 0, message: 'An alias without its anchor, or one too many' };
      return visit.BREAK;
    },
  });
  return misuse;
}

function findRepeatedKey(map: YAMLMap): number | undefined {
  const seen = new Set<string>();
  for (const { key } of map.items) {
    if (!isScalar(key)) continue;
    const name = String(key.value);
    if (seen.has(name)) return key.range?.[0] ?? 0;
    seen.add(name);
  }
  return undefined;
}

class TooMuch extends Error {}

interface Budget {
  nodes: number;
  characters: number;
}

function newBudget(): Budget {
  return { nodes: NODE_COUNT_MAX, characters: TEXT_CHARACTERS_MAX };
}

// Aliases share their objects, so the size is known only while everything is written out.
function copyPlain(value: unknown, budget: Budget, depth: number): unknown {
  budget.nodes--;
  if (typeof value === 'string') budget.characters -= value.length;
  if (budget.nodes < 0 || budget.characters < 0) throw new TooMuch('The file holds too many values');
  if (depth > DEPTH_MAX) throw new TooMuch(TOO_NESTED);
  if (Array.isArray(value)) return value.map((item) => copyPlain(item, budget, depth + 1));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, copyPlain(item, budget, depth + 1)]));
}

function lineOf(document: Document, counter: LineCounter, path: readonly string[]): number {
  for (let length = path.length; length > 0; length--) {
    const node = document.getIn(path.slice(0, length), true) as { range?: readonly number[] | null } | undefined;
    const start = node?.range?.[0];
    if (start !== undefined) return counter.linePos(start).line;
  }
  return 0;
}

/** True for what YAML and JSON call a map. */
export function isPlainMap(value: unknown): value is PlainMap {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
