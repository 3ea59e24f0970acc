import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FLOW_COUNT_MAX, FlowTable } from './flow-table.ts';
import { PacketHeader } from './packet-header.ts';

/** A header with flow number n: the port and one word of the remote address differ. */
function headerOf(direction: 'in' | 'out', n: number): PacketHeader {
  const header = new PacketHeader();
  header.protocol = 17;
  const [remote, local] =
    direction === 'in' ? (['source', 'destination'] as const) : (['destination', 'source'] as const);
  header[remote][0] = n >> 2;
  header[local][0] = 1;
  header[`${remote}Port`] = n & 3;
  header[`${local}Port`] = 7;
  return header;
}

test('behaves like a plain least-recently-used list', () => {
  const step = fc.record({ direction: fc.constantFrom('in' as const, 'out' as const), n: fc.nat({ max: 700 }) });
  const run = fc.array(step, { minLength: 600, maxLength: 2_000, size: 'max' });
  fc.assert(
    fc.property(run, (steps) => {
      const table = new FlowTable();
      const model = new Set<number>(); // insertion order is the order of use
      for (const { direction, n } of steps) {
        const isKnown = model.delete(n);
        if (direction === 'in') expect(table.hasInbound(headerOf('in', n))).toBe(isKnown);
        else table.addOutbound(headerOf('out', n));
        if (direction === 'out' || isKnown) model.add(n);
        if (model.size > FLOW_COUNT_MAX) model.delete(model.values().next().value as number);
        expect(table.size).toBe(model.size);
      }
    }),
    { numRuns: 30 },
  );
});
