/**
 * One line of Nebula's log, whatever its version and format.
 *
 * - JSON: logrus up to 1.10 (`level` in small letters, `time` last), slog since 1.11 (`INFO`, `DEBUG-4` for trace).
 * - Text: `time=… level=… msg="…" key=value`; values with blanks, quotes or `=` are quoted as Go does.
 * - Neither: usage, dumps, what is written before the logger is configured. The whole line is the message then.
 *
 * Private keys: `nebula -test` prints the merged configuration with an inlined key. Such a line is replaced as a whole.
 */

import { readGoPairs } from './go-pairs.ts';

export type NebulaLevel = 'debug' | 'info' | 'warn' | 'error';

/** A line of Nebula's log. A level is no verdict: peers with a bad certificate cause many errors in a healthy team. */
export interface NebulaLogLine {
  readonly level: NebulaLevel;
  readonly message: string;
  /** Undefined for lines without a time of known zone. */
  readonly unixMs: number | undefined;
  /** The text of the field `error`. */
  readonly error: string | undefined;
  /** Everything else: JSON values as they are, texts for the text format. Empty for a line without structure. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** False for a line that is neither JSON nor `key=value`. */
  readonly isStructured: boolean;
}

const LINE_CHARACTERS_MAX = 8192;
const HIDDEN = '(a line with a private key, not shown)';

/**
 * Parses one line without its end. Never throws. What is longer than 8,192 characters is cut; of a JSON line cut so,
 * level, message and time are kept where they came before the cut.
 */
export function parseLogLine(text: string): NebulaLogLine {
  const isCut = text.length > LINE_CHARACTERS_MAX;
  if (hasKeyMaterial(isCut ? text.slice(0, SEARCHED_CHARACTERS_MAX) : text)) return unstructured(HIDDEN);
  const line = (isCut ? text.slice(0, LINE_CHARACTERS_MAX) : text).trimEnd();
  if (line.startsWith('{')) return fromJson(line) ?? fromCutJson(line) ?? unstructured(line);
  if (/^(time|level|msg)=/.test(line)) return fromRecord(Object.fromEntries(readGoPairs(line))) ?? unstructured(line);
  return unstructured(line);
}

const SEARCHED_CHARACTERS_MAX = 1 << 20;

/** True for a PEM private key, or for a line that is nothing but what may be a part of its base64 body. */
function hasKeyMaterial(text: string): boolean {
  return text.includes('PRIVATE KEY') || /^\s*[A-Za-z0-9+/]{40,}={0,2}\s*$/.test(text);
}

function fromJson(line: string): NebulaLogLine | undefined {
  try {
    return fromRecord(JSON.parse(line) as Record<string, unknown>);
  } catch {
    return undefined;
  }
}

// Inside a JSON text a quote is escaped, so these patterns do not match in what a peer chose.
function fromCutJson(line: string): NebulaLogLine | undefined {
  const record: Record<string, unknown> = {};
  for (const [name, pattern] of HEAD_PATTERNS) {
    const found = pattern.exec(line)?.[1];
    if (found !== undefined) record[name] = found;
  }
  return fromRecord(record);
}

const HEAD_PATTERNS: readonly (readonly [string, RegExp])[] = [
  ['level', /"level":"([A-Za-z0-9+-]{1,16})"/],
  ['msg', /"msg":"([^"\\]{1,512})"/],
  ['time', /"time":"([0-9T:.Z+-]{1,40})"/],
];

function fromRecord(record: Readonly<Record<string, unknown>>): NebulaLogLine | undefined {
  const { level, msg, time, error, ...fields } = record;
  if (typeof level !== 'string' || typeof msg !== 'string') return undefined;
  return {
    level: toLevel(level),
    message: msg,
    unixMs: typeof time === 'string' ? toUnixMs(time) : undefined,
    error: typeof error === 'string' ? error : undefined,
    fields,
    isStructured: true,
  };
}

function unstructured(message: string): NebulaLogLine {
  const level = FATAL_LINE.test(message) ? 'error' : 'info';
  return { level, message, unixMs: undefined, error: undefined, fields: {}, isStructured: false };
}

/** What a dying Nebula writes without its logger; the last is `log.Fatal` of the metrics listener up to 1.10. */
const FATAL_LINE =
  /^(failed to |panic: |fatal error: |no default config found|flag provided|\d{4}\/\d\d\/\d\d .*listen )/;

function toLevel(text: string): NebulaLevel {
  const name = text.toLowerCase();
  if (/^(trace|debug)/.test(name)) return 'debug';
  if (name.startsWith('warn')) return 'warn';
  return /^(error|fatal|panic)/.test(name) ? 'error' : 'info';
}

/** RFC 3339 with up to 9 decimals. */
function toUnixMs(text: string): number | undefined {
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/.test(text)) return undefined;
  const unixMs = Date.parse(text.replace(/(\.\d{3})\d+/, '$1'));
  return Number.isNaN(unixMs) ? undefined : unixMs;
}
