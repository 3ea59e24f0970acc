import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DeadlineHeap, type Scheduled } from './deadline-heap.ts';

interface Item extends Scheduled {
  readonly name: number;
}

const command = fc.record({
  name: fc.nat(15),
  kind: fc.constantFrom('set' as const, 'no-later' as const, 'remove' as const, 'off' as const),
  atMs: fc.nat(50),
});

test('the earliest item is always the one of a sorted list', () => {
  fc.assert(
    fc.property(fc.array(command, { maxLength: 200 }), (commands) => {
      const heap = new DeadlineHeap<Item>();
      const items = Array.from({ length: 16 }, (_, name): Item => ({ name, heapIndex: -1, wakeAtMs: Infinity }));
      const model = new Map<number, number>();
      for (const { name, kind, atMs } of commands) {
        const item = items[name]!;
        if (kind === 'set') heap.set(item, atMs);
        if (kind === 'no-later') heap.setNoLater(item, atMs);
        if (kind === 'remove') heap.remove(item);
        if (kind === 'off') heap.set(item, Infinity);
        if (kind === 'set') model.set(name, atMs);
        else if (kind === 'no-later') model.set(name, Math.min(atMs, model.get(name) ?? Infinity));
        else model.delete(name);
        const earliest = model.size === 0 ? undefined : Math.min(...model.values());
        expect(heap.earliest?.wakeAtMs).toBe(earliest);
        if (heap.earliest !== undefined) expect(model.get(heap.earliest.name)).toBe(earliest);
      }
    }),
  );
});
