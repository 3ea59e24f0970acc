/** Reads the text format of Go's loggers: `key=value key="quoted value"`, and how Go prints lists in it. */

const PAIR_COUNT_MAX = 64;
const BARE = /[^\s]*/y;
const KEY = /\s*([A-Za-z0-9_.-]{1,64})=/y;
const QUOTED = /"((?:[^"\\]|\\.)*)"/y;

/** The pairs of a line up to the first that is malformed, at most 64. Never throws. */
export function readGoPairs(line: string): [string, string][] {
  const pairs: [string, string][] = [];
  let at = 0;
  while (pairs.length < PAIR_COUNT_MAX) {
    KEY.lastIndex = at;
    const key = KEY.exec(line);
    if (key === null) break;
    const pattern = line[KEY.lastIndex] === '"' ? QUOTED : BARE;
    pattern.lastIndex = KEY.lastIndex;
    const value = pattern.exec(line);
    if (value === null) break;
    at = pattern.lastIndex;
    pairs.push([key[1] ?? '', pattern === QUOTED ? unquote(value[1] ?? '') : value[0]]);
  }
  return pairs;
}

/** The words of a list as Go prints it, `[a b]`; a text without brackets is a list of itself. */
export function readGoList(text: string): string[] {
  const words = text.startsWith('[') && text.endsWith(']') ? text.slice(1, -1) : text;
  return words.split(' ').filter((word) => word !== '');
}

// strconv.Quote: the C escapes, \xNN for bytes that are no UTF-8, \uNNNN and \UNNNNNNNN for what is not printable.
function unquote(text: string): string {
  return text.replace(/\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)/g, (_, sequence: string) => {
    const plain = ESCAPES[sequence];
    if (plain !== undefined) return plain;
    if (sequence.length === 1) return sequence;
    const code = Number.parseInt(sequence.slice(1), 16);
    return code <= 0x10ffff ? String.fromCodePoint(code) : '\ufffd';
  });
}

const ESCAPES: Readonly<Record<string, string | undefined>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};
