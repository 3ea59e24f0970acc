/** The numbers that options take. */

/** A whole number within the limits, both included. @throws {RangeError} with one sentence for anything else. */
export function parseWhole(text: string, min: number, max: number): number {
  const count = Number(text);
  if (/^[0-9]{1,5}$/.test(text) && count >= min && count <= max) return count;
  throw new RangeError(`Not a number from ${min} to ${max}.`);
}

/** Seconds above 0, up to a day, with a fraction. @throws {RangeError} with one sentence for anything else. */
export function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (/^[0-9]+(\.[0-9]+)?$/.test(text) && seconds > 0 && seconds <= 86_400) return seconds;
  throw new RangeError('Not a number of seconds up to 86400.');
}
