import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Delivery, InFlight } from './in-flight.ts';

interface ModelRecord {
  start: number;
  readonly end: number;
  isSacked: boolean;
  isLost: boolean;
}

/** The same in the plainest way. */
class Model {
  records: ModelRecord[] = [];
  una = 0;

  bytes(is: (record: ModelRecord) => boolean): number {
    return this.records.filter(is).reduce((sum, record) => sum + record.end - record.start, 0);
  }

  acknowledge(to: number): void {
    this.una = Math.max(this.una, to);
    this.records = this.records.filter((record) => record.end > to);
    const first = this.records[0];
    if (first !== undefined && first.start < to) first.start = to;
  }
}

describe('segments in flight', () => {
  it('agree with a plain model whatever happens to them', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('push' as const), a: fc.integer({ min: 1, max: 9 }), b: fc.constant(0) }),
      fc.record({ kind: fc.constantFrom('sack' as const, 'ack' as const), a: fc.nat(60), b: fc.nat(30) }),
      fc.record({ kind: fc.constantFrom('lose' as const, 'resend' as const), a: fc.nat(60), b: fc.constant(0) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), fc.constantFrom(0, 0x7fffffe0, -20), (steps, base) => {
        const flight = new InFlight(base | 0);
        const model = new Model();
        const delivery = new Delivery();
        let next = 0;
        for (const { kind, a, b } of steps) {
          if (kind === 'push') {
            model.records.push({ start: next, end: next + a, isSacked: false, isLost: false });
            next += a;
            flight.push((base + next) | 0, next);
          } else if (kind === 'ack') {
            const to = Math.min(next, model.una + (a % 20));
            delivery.begin(flight.highestSacked);
            const before = model.bytes((record) => !record.isSacked);
            flight.acknowledge((base + to) | 0, delivery);
            model.acknowledge(to);
            expect(delivery.bytes).toBe(before - model.bytes((record) => !record.isSacked));
          } else if (kind === 'sack') {
            const [left, right] = [model.una + a, Math.min(next, model.una + a + b)];
            delivery.begin(flight.highestSacked);
            flight.markSacked((base + left) | 0, (base + right) | 0, delivery);
            for (const record of model.records) {
              if (record.start >= left && record.end <= right) Object.assign(record, { isSacked: true, isLost: false });
            }
          } else if (a < model.records.length) {
            const record = model.records[a] as ModelRecord;
            if (kind === 'lose' && flight.isOutstanding(a)) {
              flight.markLost(a);
              record.isLost = true;
            } else if (kind === 'resend' && record.isLost) {
              flight.markRetransmitted(a, next);
              record.isLost = false;
            }
          }
          expect(flight.count).toBe(model.records.length);
          expect((flight.start - base) | 0).toBe(model.una);
          expect(flight.sackedBytes).toBe(model.bytes((record) => record.isSacked));
          expect(flight.lostBytes).toBe(model.bytes((record) => record.isLost));
          expect(flight.firstLost()).toBe(model.records.findIndex((record) => record.isLost));
        }
      }),
      { numRuns: 300 },
    );
  });

  it('give an RTT sample only of a segment that was sent once (Karn)', () => {
    const flight = new InFlight(0);
    const delivery = new Delivery();
    flight.push(10, 100);
    flight.push(20, 200);
    flight.markLost(0);
    flight.markRetransmitted(0, 300);
    delivery.begin(0);
    flight.acknowledge(10, delivery);
    expect(delivery.oldestSentAtMs).toBe(-1);
    delivery.begin(0);
    flight.acknowledge(20, delivery);
    expect(delivery.oldestSentAtMs).toBe(200);
  });

  it('are cut to a new size and all lost when the path takes less', () => {
    const flight = new InFlight(0);
    flight.push(1000, 1);
    flight.push(1500, 2);
    flight.split(400);
    expect(Array.from({ length: flight.count }, (_, i) => flight.endOf(i))).toEqual([400, 800, 1000, 1400, 1500]);
    expect(flight.lostBytes).toBe(1500);
  });
});
