/**
 * Counts a field of a request. Of most that come twice Node keeps the first, where another program would keep the last.
 * @param rawHeaders Names and values in turn.
 * @param name In small letters.
 */
export function countFields(rawHeaders: readonly string[], name: string): number {
  let count = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const field = rawHeaders[i] as string;
    if (field.length === name.length && field.toLowerCase() === name) count++;
  }
  return count;
}
