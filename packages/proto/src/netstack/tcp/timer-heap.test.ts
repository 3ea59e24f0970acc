import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Timed, TimerHeap } from './timer-heap.ts';

describe('the timer heap', () => {
  it('fires every item at or before its earliest deadline, in order', () => {
    const step = fc.tuple(fc.nat(9), fc.integer({ min: 1, max: 100 }), fc.constantFrom('arm', 'pop', 'remove'));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const heap = new TimerHeap<Timed>();
        const items: Timed[] = Array.from({ length: 10 }, () => ({ heapIndex: -1, armedAtMs: 0 }));
        const armed = new Map<Timed, number>();
        for (const [index, at, kind] of steps) {
          const item = items[index] as Timed;
          if (kind === 'arm') {
            heap.arm(item, at);
            armed.set(item, Math.min(at, armed.get(item) ?? Number.POSITIVE_INFINITY));
          } else if (kind === 'remove') {
            heap.remove(item);
            armed.delete(item);
          } else {
            const due = heap.popDue(at);
            const earliest = Math.min(Number.POSITIVE_INFINITY, ...armed.values());
            if (due === undefined) expect(earliest).toBeGreaterThan(at);
            else expect(armed.get(due)).toBe(earliest);
            if (due !== undefined) armed.delete(due);
          }
          expect(heap.nextAtMs).toBe(Math.min(Number.POSITIVE_INFINITY, ...armed.values()));
        }
      }),
    );
  });
});
