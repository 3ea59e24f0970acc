import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseContent } from './entry-reader.ts';
import type { InterfaceRecord, JournalEntry } from './interface-records.ts';
import { applyChange, copyChange, createContent, type StoreChange, type StoreChangeItem } from './store-content.ts';
import { diffEntries, formatContent, type StoreEntries, type StoreWrite } from './store-entries.ts';
import { linesOf, planWrites } from './write-planner.ts';

const EMPTY = createContent({ schemaVersion: 1, instanceId: 'id-1', createdUnixMs: 5 });

// Names whose order by character codes is not that of people, and that are the beginning of others.
const name = fc.constantFrom('a', 'B', 'a_b', 'ab');
const link = fc.constantFrom('a', 'B', 'a-', 'a.b', 'ab');
const cidr = fc.constantFrom('10.0.0.0/8', '10.0.0.0/16', '10.1.0.0/16', 'fd00::/64');
const number = fc.integer({ min: 1, max: 3 });

const record: fc.Arbitrary<InterfaceRecord> = fc.oneof(
  fc.tuple(link, number).map(([n, mark]) => tunOf(n, mark)),
  fc.tuple(cidr, number).map(([network, mark]) => subnetOf(network, mark)),
);
const entry: fc.Arbitrary<JournalEntry> = fc.record({ intent: fc.constantFrom('make', 'remove'), record });
const key = fc.oneof(
  link.map((n) => `tun/${n}`),
  cidr.map((network) => `subnet/${network}`),
  fc.constantFrom('meta', 'check', 'team/a', ''),
);

const item: fc.Arbitrary<StoreChangeItem> = fc.oneof(
  fc.tuple(name, number).map(([n, at]): StoreChangeItem => ({ kind: 'put-team', team: teamOf(n, at) })),
  name.map((n): StoreChangeItem => ({ kind: 'delete-team', name: n })),
  fc.tuple(name, number).map(([n, pid]): StoreChangeItem => ({ kind: 'put-runtime', runtime: runtimeOf(n, pid) })),
  name.map((n): StoreChangeItem => ({ kind: 'delete-runtime', team: n })),
  record.map((one): StoreChangeItem => ({ kind: 'put-interface', record: one })),
  key.map((one): StoreChangeItem => ({ kind: 'delete-interface', key: one })),
  entry.map((one): StoreChangeItem => ({ kind: 'put-journal', entry: one })),
  key.map((one): StoreChangeItem => ({ kind: 'delete-journal', key: one })),
  fc.option(name, { nil: undefined }).map((n): StoreChangeItem => ({ kind: 'set-active-team', name: n })),
);

function tunOf(n: string, mark: number): InterfaceRecord {
  const fields = { kind: 'tun', address: '10.0.0.1', prefixBits: 24, mtu: 1500, isPersistent: true } as const;
  return { ...fields, name: n, mark, createdUnixMs: 1 };
}

function subnetOf(network: string, mark: number): InterfaceRecord {
  const address = network.replace(/0?\/.*/, '1');
  return { kind: 'subnet', cidr: network, address, link: 'd0', linkKind: 'dummy', mtu: 1500, mark, createdUnixMs: 1 };
}

function teamOf(of: string, updatedUnixMs: number) {
  const fields = { kind: 'nebula', desired: 'up', isAutostart: true, configPath: '/c', networks: [] } as const;
  return { ...fields, name: of, createdUnixMs: 1, updatedUnixMs };
}

function runtimeOf(team: string, pid: number) {
  return { team, pid, startMark: '', bootId: '', state: 'up', sinceUnixMs: 1, restarts: 0 };
}

function write(entries: StoreEntries, writes: readonly StoreWrite[]): StoreEntries {
  const after = new Map(entries);
  for (const one of writes) {
    if (one.type === 'del') expect(after.delete(one.key)).toBe(true);
    else after.set(one.key, one.value);
  }
  return after;
}

const byKey = (writes: readonly StoreWrite[]): StoreWrite[] => [...writes].sort((a, b) => (a.key < b.key ? -1 : 1));

describe('planned writes', () => {
  it('are those that all texts before and after would give, change after change', () => {
    const changes = fc.array(fc.array(item, { maxLength: 6 }), { maxLength: 12 });
    fc.assert(
      fc.property(changes, (list: readonly StoreChange[]) => {
        let before = EMPTY;
        let lines = linesOf(formatContent(before));
        let entries = formatContent(before);
        for (const change of list.map(copyChange)) {
          const after = applyChange(before, change);
          const plan = planWrites({ before, after, change, lines });
          expect(byKey(plan.writes)).toEqual(byKey(diffEntries(entries, formatContent(after))));
          entries = write(entries, plan.writes);
          expect(plan.lines).toEqual(linesOf(formatContent(after)));
          expect(parseContent(entries)).toEqual({ kind: 'ok', content: after });
          [before, lines] = [after, plan.lines];
        }
      }),
      { numRuns: 300 },
    );
  });

  it('leave the lines before the change as they were', () => {
    const change = copyChange([{ kind: 'put-interface', record: tunOf('a', 1) }]);
    const lines = linesOf(formatContent(EMPTY));
    const copy = structuredClone(lines);
    const plan = planWrites({ before: EMPTY, after: applyChange(EMPTY, change), change, lines });
    expect(lines).toEqual(copy);
    expect(plan.lines.keys).toEqual(['meta', 'tun/a']);
  });

  it('of a journal in a database that has had one touch nothing else', () => {
    const first = copyChange([{ kind: 'put-journal', entry: { intent: 'make', record: tunOf('a', 1) } }]);
    const second = copyChange([{ kind: 'put-journal', entry: { intent: 'make', record: tunOf('b', 2) } }]);
    const one = applyChange(EMPTY, first);
    const two = applyChange(one, second);
    const plan = planWrites({ before: EMPTY, after: one, change: first, lines: linesOf(formatContent(EMPTY)) });
    expect(plan.writes.map(({ key }) => key)).toEqual(['meta', 'journal/tun/a', 'check']);
    const next = planWrites({ before: one, after: two, change: second, lines: plan.lines });
    expect(next.writes.map(({ key }) => key)).toEqual(['journal/tun/b']);
    expect(next.lines).toBe(plan.lines);
  });
});
