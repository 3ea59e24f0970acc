import { expect, test } from 'vitest';
import { scriptedRng } from '../../test/wireguard-end.ts';
import { IndexTable } from './index-table.ts';

test('indices are signed 32-bit numbers of the drawn bytes, and a drawn duplicate is drawn again', () => {
  const drawn = [Uint8Array.of(1, 0, 0, 0x80), Uint8Array.of(1, 0, 0, 0x80), Uint8Array.of(2, 0, 0, 0)];
  const table = new IndexTable<string>(scriptedRng(drawn));
  const first = table.add('a');
  const second = table.add('b');
  expect([first, second]).toEqual([-0x7fffffff, 2]);
  expect(table.get(first)).toBe('a');
  table.delete(first);
  expect(table.get(first)).toBeUndefined();
  expect(table.size).toBe(1);
});
