import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createStagedList, STAGED_PER_PEER_MAX, STAGED_TOTAL_MAX, Staging } from './staging.ts';

describe('bounds', () => {
  test('the 129th packet of one peer drives out its first', () => {
    const staging = new Staging(4096);
    const list = createStagedList();
    for (let slot = 0; slot < STAGED_PER_PEER_MAX; slot++) expect(staging.push(list, slot)).toBe(-1);
    expect(staging.push(list, 1000)).toBe(0);
    expect(staging.push(list, 1001)).toBe(1);
    expect(list.length).toBe(STAGED_PER_PEER_MAX);
    expect(staging.shift(list)).toBe(2);
  });

  test('beyond the bound of all peers the oldest packet of any gives way', () => {
    const staging = new Staging(8 * STAGED_TOTAL_MAX);
    const lists = Array.from({ length: 32 }, () => createStagedList());
    for (let slot = 0; slot < STAGED_TOTAL_MAX; slot++) staging.push(lists[slot % 32]!, slot);
    expect(staging.push(lists[31]!, 5000)).toBe(0);
    expect(staging.length).toBe(STAGED_TOTAL_MAX);
    expect(lists[0]!.length).toBe(STAGED_TOTAL_MAX / 32 - 1);
  });

  test('never more than a quarter of the arena waits', () => {
    const staging = new Staging(16);
    const list = createStagedList();
    for (let slot = 0; slot < 4; slot++) expect(staging.push(list, slot)).toBe(-1);
    expect(staging.push(list, 4)).toBe(0);
  });
});

test('slots come back once each, in order, as from plain arrays', () => {
  const command = fc.record({ list: fc.nat(3), kind: fc.constantFrom('push', 'push', 'shift', 'oldest') });
  fc.assert(
    fc.property(fc.array(command, { maxLength: 200 }), (commands) => {
      const staging = new Staging(64);
      const lists = Array.from({ length: 4 }, () => createStagedList());
      let model: { list: number; slot: number }[] = [];
      const free = Array.from({ length: 64 }, (_, slot) => slot);
      const take = (entry: { slot: number } | undefined, slot: number): void => {
        expect(slot).toBe(entry?.slot ?? -1);
        model = model.filter((other) => other !== entry);
        if (entry) free.push(entry.slot);
      };
      for (const { list, kind } of commands) {
        if (kind === 'push') {
          const slot = free.shift()!;
          take(model.length >= 16 ? model[0] : undefined, staging.push(lists[list]!, slot));
          model.push({ list, slot });
        } else if (kind === 'shift') {
          take(
            model.find((entry) => entry.list === list),
            staging.shift(lists[list]!),
          );
        } else take(model[0], staging.shiftOldest());
        expect(staging.length).toBe(model.length);
        expect(lists[list]!.length).toBe(model.filter((entry) => entry.list === list).length);
      }
    }),
  );
});
