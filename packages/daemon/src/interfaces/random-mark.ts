import { randomInt } from 'node:crypto';

/** IFLA_GROUP is 32 bits; 0 is every link's. Above 2³¹ `ip` prints it as a negative number. */
const MARK_MAX = 0x7fffffff;

/** Draws the mark of a new record, from 1 to 2³¹−1. */
export function drawMark(): number {
  return randomInt(1, MARK_MAX + 1);
}
