import { formatPublicKey } from '@heddle/proto/keys/public-key';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { netmapOf, Side, statusOf } from '../test/plane-side.ts';
import { describeStatus } from './status.ts';

let left: Side;
let right: Side;

beforeEach(async () => {
  [left, right] = await Promise.all([
    new Side(1).open({ isUdpEnabled: true }),
    new Side(2).open({ isUdpEnabled: true }),
  ]);
});
afterEach(async () => {
  await Promise.all([left.plane.close(), right.plane.close()]);
});

describe('a status', () => {
  it('of a node that knows nothing yet is empty', () => {
    const status = describeStatus({
      state: { kind: 'starting' },
      controlUrl: 'http://control.test',
      nodeKey: undefined,
      netmap: undefined,
      plane: undefined,
    });
    expect(status).toEqual({
      state: { kind: 'starting' },
      name: '',
      dnsName: '',
      nodeKey: '',
      controlUrl: 'http://control.test',
      addresses: [],
      peerCount: 0,
      relay: undefined,
      endpoints: [],
      peers: [],
      counters: {},
    });
  });

  it('describes the node and its peers, and makes no state for those that are idle', () => {
    const expired = right.describe({ id: 3, isExpired: true, isOnline: undefined, name: '', hostname: 'old-one' });
    const netmap = netmapOf(left.describe(), [right.describe(), expired]);
    left.plane.setNetmap(netmap);
    const status = statusOf(left, netmap);
    expect(status).toMatchObject({
      name: 'side1',
      dnsName: 'side1.lab.test',
      nodeKey: formatPublicKey('node', left.nodeKey.publicKey),
      addresses: ['100.64.0.1'],
      peerCount: 2,
      relay: undefined,
      endpoints: left.plane.endpoints.map(({ endpoint }) => endpoint.text),
    });
    const idle = { path: { kind: 'none' }, rxBytes: 0, txBytes: 0, lastHandshakeUnixMs: 0 };
    expect(status.peers).toMatchObject([
      { name: 'side2', dnsName: 'side2.lab.test', allowedIps: ['100.64.0.2/32'], online: true, ...idle },
      { name: 'old-one', dnsName: '', online: false, ...idle },
    ]);
    expect(statusOf(left, netmap)).toEqual(status);
  });

  it('has the peers of a netmap while there is no data plane', () => {
    const netmap = netmapOf(left.describe(), [right.describe()]);
    const known = statusOf(left, netmap);
    const bare = describeStatus({ ...known, nodeKey: undefined, netmap, plane: undefined });
    expect(bare.peers).toMatchObject([{ name: 'side2', path: { kind: 'none' }, rxBytes: 0 }]);
    expect([bare.counters, bare.endpoints]).toEqual([{}, []]);
  });

  it('never shows a private key', () => {
    const text = JSON.stringify(statusOf(left, netmapOf(left.describe(), [right.describe()])));
    expect(text).not.toContain(left.nodeKey.exposeText().slice(8));
    expect(text).not.toContain('privkey');
  });

  it('counts drops by room and reason', () => {
    left.plane.node.counters.add('unroutable', 3);
    left.plane.node.netstack.counters.add('tcp-bad');
    expect(statusOf(left, undefined).counters).toMatchObject({ 'node/unroutable': 3, 'netstack/tcp-bad': 1 });
  });
});
