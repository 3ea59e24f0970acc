/** The middle value; of an even count the mean of the two. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

export interface Row {
  readonly metric: string;
  readonly unit: string;
  readonly ours: readonly number[];
  readonly theirs: readonly number[];
  /** What is wanted of ours ÷ theirs, for the reader: nothing fails by it. */
  readonly wanted: string;
}

/** Prints medians side by side; runs were interleaved, so that a busy machine slows both. */
export function printTable(title: string, rows: readonly Row[]): void {
  const lines = rows.map(({ metric, unit, ours, theirs, wanted }) => {
    const [own, other] = [median(ours), median(theirs)];
    return `| ${metric} | ${own.toFixed(2)} ${unit} | ${other.toFixed(2)} ${unit} | ${(own / other).toFixed(2)}× | ${wanted} | ${ours.length} |`;
  });
  console.log(
    [
      `\n### ${title}`,
      '| metric | heddle | other | ratio | wanted | runs |',
      '|---|---|---|---|---|---|',
      ...lines,
      '',
    ].join('\n'),
  );
}
