import { describe, expect, test } from 'vitest';
import { NodeHost, netmapOf } from '../../test/node-world.ts';
import type { NetmapNode } from '../control/netmap.ts';
import { PeerTable } from './peer-table.ts';

const [self, a, b, c] = [9, 1, 2, 3].map((n) => new NodeHost(n, n, () => 0)) as [
  NodeHost,
  NodeHost,
  NodeHost,
  NodeHost,
];

function update(table: PeerTable, ...peers: NetmapNode[]) {
  return table.update(netmapOf(self.describe(), peers));
}

describe('a peer table', () => {
  test('gives peers handles from 0 on and finds them by id and by key inside other bytes', () => {
    const table = new PeerTable();
    expect(update(table, a.describe(), b.describe()).map(({ kind, handle }) => [kind, handle])).toEqual([
      ['added', 0],
      ['added', 1],
    ]);
    const packet = new Uint8Array(40);
    packet.set(b.nodeKey.publicKey, 8);
    expect(table.lookup(packet, 8)).toBe(1);
    expect(table.lookup(packet, 7)).toBe(-1);
    expect(table.lookup(packet, 9)).toBe(-1);
    expect(table.handleOf(1)).toBe(0);
    expect(table.publicKey(1)).toBe(b.nodeKey.publicKey);
    expect(table.size).toBe(2);
  });

  test('keeps handles while id and key stay the same', () => {
    const table = new PeerTable();
    update(table, a.describe(), b.describe());
    const next = b.describe({ homeDerp: 12 });
    expect(update(table, next, a.describe())).toMatchObject([
      { kind: 'updated', handle: 1, isRestarted: false },
      { kind: 'updated', handle: 0, isRestarted: false },
    ]);
    expect(table.node(1)).toBe(next);
  });

  test('says removals first and gives their handles to others afterwards', () => {
    const table = new PeerTable();
    update(table, a.describe(), b.describe());
    expect(update(table, c.describe(), b.describe()).map(({ kind, handle }) => [kind, handle])).toEqual([
      ['removed', 0],
      ['added', 0],
      ['updated', 1],
    ]);
    expect(table.lookup(a.nodeKey.publicKey, 0)).toBe(-1);
    expect(table.handleOf(1)).toBe(-1);
    expect(table.lookup(c.nodeKey.publicKey, 0)).toBe(0);
  });

  test('takes a new node key of a known node for another peer', () => {
    const table = new PeerTable();
    update(table, a.describe());
    expect(update(table, a.describe({ key: b.nodeKey.publicKey })).map(({ kind }) => kind)).toEqual([
      'removed',
      'added',
    ]);
    expect(table.lookup(a.nodeKey.publicKey, 0)).toBe(-1);
    expect(table.lookup(b.nodeKey.publicKey, 0)).toBe(0);
  });

  test('takes a new disco key for a restart, but not the first one', () => {
    const table = new PeerTable();
    update(table, a.describe({ discoKey: undefined }));
    expect(update(table, a.describe())).toMatchObject([{ kind: 'updated', isRestarted: false }]);
    expect(update(table, a.describe({ discoKey: b.discoKey.publicKey }))).toMatchObject([{ isRestarted: true }]);
    expect(update(table, a.describe({ discoKey: undefined }))).toMatchObject([{ isRestarted: false }]);
  });

  test('has no handle for an expired peer until it is valid again', () => {
    const table = new PeerTable();
    update(table, a.describe());
    expect(update(table, a.describe({ isExpired: true }))).toEqual([{ kind: 'removed', handle: 0 }]);
    expect(table.lookup(a.nodeKey.publicKey, 0)).toBe(-1);
    expect(table.handleOf(1)).toBe(-1);
    expect(update(table, a.describe())).toMatchObject([{ kind: 'added', handle: 0 }]);
  });

  test('keeps a key that two entries claim for the one that stays', () => {
    const table = new PeerTable();
    const twin = b.describe({ key: a.nodeKey.publicKey });
    update(table, a.describe(), twin);
    update(table, twin);
    expect(table.lookup(a.nodeKey.publicKey, 0)).toBe(table.handleOf(2));
    update(table, a.describe(), twin);
    update(table, a.describe());
    expect(table.lookup(a.nodeKey.publicKey, 0)).toBe(table.handleOf(1));
  });

  test('swaps the keys of two nodes', () => {
    const table = new PeerTable();
    update(table, a.describe(), b.describe());
    update(table, a.describe({ key: b.nodeKey.publicKey }), b.describe({ key: a.nodeKey.publicKey }));
    expect(table.lookup(b.nodeKey.publicKey, 0)).toBe(table.handleOf(1));
    expect(table.lookup(a.nodeKey.publicKey, 0)).toBe(table.handleOf(2));
  });
});
