/** Where a command writes. Results go to `out`; progress and failures go to `err`. */
export interface Terminal {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** True when a person looks at `err`. */
  readonly isInteractive: boolean;
  readonly isJson: boolean;
}

/** A line that is overwritten while something is waited for; invisible unless a person is looking. */
export class Progress {
  readonly #terminal: Terminal;
  #isShown = false;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  show(text: string): void {
    if (!this.#terminal.isInteractive || this.#terminal.isJson) return;
    this.#terminal.err(`\r\u001b[K${printable(text)} …`);
    this.#isShown = true;
  }

  clear(): void {
    if (this.#isShown) this.#terminal.err('\r\u001b[K');
    this.#isShown = false;
  }
}

/** Writes a value as one JSON document, which has no control characters but the ends of its lines. */
export function writeJson(terminal: Terminal, value: unknown): void {
  // JSON itself asks for an escape only below U+0020.
  const text = JSON.stringify(value, null, 2).replaceAll(
    /[\u007f-\u009f]/g,
    (c) => `\\u00${c.charCodeAt(0).toString(16)}`,
  );
  terminal.out(`${text}\n`);
}

/** Columns as wide as their widest cell, two blanks between. The first row is the heading. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const columnCount = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: columnCount }, (_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  const lines = rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  return `${lines.map(printable).join('\n')}\n`;
}

/** `1.2 MB`, decimal units. */
export function formatBytes(count: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = count;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** `12 s ago`; `never` for 0. */
export function formatAge(unixMs: number, nowUnixMs: number): string {
  if (unixMs === 0) return 'never';
  const seconds = Math.max(0, Math.round((nowUnixMs - unixMs) / 1000));
  if (seconds < 120) return `${seconds} s ago`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min ago`;
  return `${Math.round(seconds / 3600)} h ago`;
}

/** Names and messages come from other machines: no control characters reach the terminal. */
export function printable(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, '?');
}
