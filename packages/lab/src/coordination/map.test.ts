import { MapFrameReader } from '@heddle/proto/control/map-frames';
import { NetmapBuilder } from '@heddle/proto/control/netmap-builder';
import { formatPublicKey } from '@heddle/proto/keys/public-key';
import { decompressPortable, decompressZstd } from '@heddle/tailnet/control/zstd';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Json, TestMachine } from '../../test/test-machine.ts';
import { type Lab, type LabOptions, startLab } from '../lab.ts';
import { encodeMapMessage } from './map-frame.ts';

let lab: Lab;
let machines: TestMachine[];

async function start(options: LabOptions = {}): Promise<void> {
  lab = await startLab({ domain: 'ts.test', ...options });
}

async function join(hostname: string): Promise<TestMachine> {
  const machine = await TestMachine.connect(lab.controlUrl);
  machines.push(machine);
  await machine.register(hostname, { Auth: { AuthKey: lab.authKey } });
  return machine;
}

/** Two nodes; the stream of the first has seen that the second exists. */
async function joinTwo() {
  const [a, b] = [await join('a'), await join('b')];
  const map = a.openMap();
  await map.next('Peers');
  return { a, b, map };
}

beforeEach(() => {
  machines = [];
});

afterEach(async () => {
  for (const machine of machines) machine.close();
  await lab.close();
});

describe('the first message of a stream', () => {
  test('is a whole netmap as a client reads it', async () => {
    await start();
    const { a, b } = await joinTwo();
    await b.update({ Endpoints: ['192.0.2.1:41641', 'nonsense'], Hostinfo: { NetInfo: { PreferredDERP: 900 } } });
    const builder = new NetmapBuilder(Date.now);
    builder.apply(await a.openMap().next('Node'));
    const netmap = builder.build()!;
    expect(netmap.self).toMatchObject({ id: 1, name: 'a.ts.test.', isExpired: false });
    expect(formatPublicKey('node', netmap.self.key)).toBe(a.nodeKey);
    const peer = netmap.peers.get(2)!;
    expect(peer).toMatchObject({ name: 'b.ts.test.', homeDerp: 900, isOnline: false });
    expect(formatPublicKey('disco', peer.discoKey!)).toBe(b.discoKey);
    expect(peer.endpoints.map(({ text }) => text)).toEqual(['192.0.2.1:41641']);
    expect(peer.allowedIps.map(({ address }) => address.text)).toEqual(['100.64.0.2', 'fd7a:115c:a1e0::2']);
    expect(netmap.dns).toMatchObject({ isProxied: true, domains: ['ts.test'] });
    expect(netmap.filterRules).toHaveLength(1);
    expect(netmap.derpMap).toEqual(lab.derpMap);
  });

  test('describes the relay of the lab', async () => {
    await start();
    const [node] = lab.derpMap.regions.get(900)!.nodes;
    expect(node).toMatchObject({ hostName: '127.0.0.1', ipv4: '127.0.0.1', isInsecureForTests: true });
    expect(node).toMatchObject({ derpPort: lab.relay!.port, stunPort: lab.relay!.stunPort });
    expect(lab.controlUrl).toBe(`http://127.0.0.1:${lab.relay!.port}`);
  });

  test('an old client gets the filter in its old form', async () => {
    await start();
    const a = await join('a');
    const message = await a.openMap({ Version: 80 }).next('Node');
    expect(message['PacketFilters']).toBeUndefined();
    expect(message['PacketFilter']).toHaveLength(1);
  });

  test('is all there is without Stream', async () => {
    await start();
    const a = await join('a');
    const map = a.openMap({ Stream: false });
    await map.next('Peers');
    await map.end();
    const readOnly = a.openMap({ Stream: false, ReadOnly: true, OmitPeers: true, Endpoints: ['192.0.2.9:1'] });
    expect((await readOnly.next('DERPMap'))['Peers']).toBeUndefined();
    expect(lab.nodes()).toMatchObject([{ endpoints: [], isOnline: false }]);
  });

  test('comes as zstd when the node asks for it', async () => {
    await start();
    const a = await join('a');
    expect(await a.openMap({ Compress: 'zstd' }).next('Node')).toMatchObject({ Domain: 'ts.test' });
  });
});

describe('changes', () => {
  test('a new node', async () => {
    await start();
    const { map } = await joinTwo();
    const c = await join('c');
    expect(await map.next('PeersChanged')).toMatchObject({ PeersChanged: [{ ID: 3, Key: c.nodeKey, Online: false }] });
  });

  test('online and offline are patches', async () => {
    await start();
    const { b, map } = await joinTwo();
    // Already known from its stream request: only the stream itself is news.
    await b.update({});
    await map.next('PeersChanged');
    const other = b.openMap();
    await other.next('Peers');
    expect(await map.next('PeersChangedPatch')).toMatchObject({ PeersChangedPatch: [{ NodeID: 2, Online: true }] });
    expect(lab.nodes()[1]).toMatchObject({ isOnline: true });
    b.close();
    const offline = await map.next('PeersChangedPatch');
    expect(offline).toMatchObject({ PeersChangedPatch: [{ NodeID: 2, Online: false, LastSeen: expect.any(String) }] });
  });

  test('endpoints and home relay are patches, a disco key is a whole node', async () => {
    await start();
    const { b, map } = await joinTwo();
    await b.update({});
    await map.next('PeersChanged');
    await b.update({ Endpoints: ['192.0.2.1:1', '[2001:db8::1]:2'] });
    const endpoints = await map.next('PeersChangedPatch');
    expect(endpoints['PeersChangedPatch']).toEqual([{ NodeID: 2, Endpoints: ['192.0.2.1:1', '[2001:db8::1]:2'] }]);
    await b.update({ Hostinfo: { Hostname: 'b', OS: 'linux', NetInfo: { PreferredDERP: 900 } } });
    const home = await map.next('PeersChangedPatch');
    expect(home['PeersChangedPatch']).toEqual([{ NodeID: 2, DERPRegion: 900 }]);
    await b.update({ DiscoKey: b.nodeKey.replace('nodekey', 'discokey') });
    const disco = await map.next('PeersChanged');
    expect(disco).toMatchObject({ PeersChanged: [{ ID: 2, DiscoKey: b.nodeKey.replace('nodekey', 'discokey') }] });
  });

  test('an update that changes nothing tells nobody', async () => {
    await start();
    const { b, map } = await joinTwo();
    await b.update({});
    await map.next('PeersChanged');
    await b.update({});
    await b.update({ Endpoints: ['192.0.2.1:1'] });
    expect((await map.next('ControlTime'))['PeersChangedPatch']).toEqual([{ NodeID: 2, Endpoints: ['192.0.2.1:1'] }]);
  });

  test('an update without a disco key keeps the old one', async () => {
    await start();
    const { a, b } = await joinTwo();
    await b.update({});
    await b.update({ DiscoKey: `discokey:${'0'.repeat(64)}` });
    expect(await a.openMap().next('Peers')).toMatchObject({ Peers: [{ DiscoKey: b.discoKey }] });
  });

  test('what a node says of itself comes back to it', async () => {
    await start();
    const { a, map } = await joinTwo();
    await a.update({ Hostinfo: { Hostname: 'renamed' } });
    expect(await map.next('Node')).toMatchObject({ Node: { Name: 'renamed.ts.test.' } });
  });

  test('expiry', async () => {
    await start();
    const { b, map } = await joinTwo();
    const own = b.openMap();
    await own.next('Peers');
    expect(lab.expire(2)).toBe(true);
    expect(lab.expire(99)).toBe(false);
    expect(await own.next('Node')).toMatchObject({ Node: { Expired: true, KeyExpiry: expect.any(String) } });
    const expired = async (): Promise<Json> => ((await map.next('PeersChanged'))['PeersChanged'] as Json[])[0]!;
    let peer = await expired();
    while (peer['Expired'] !== true) peer = await expired();
    expect(peer).toMatchObject({ ID: 2, Expired: true });
    expect((await b.openMap().next('Node'))['Peers']).toBeUndefined();
  });

  test('a removed node loses its stream, and the others lose it', async () => {
    await start();
    const { b, map } = await joinTwo();
    const own = b.openMap();
    await own.next('Peers');
    lab.remove(2);
    await own.end();
    expect(await map.next('PeersRemoved')).toMatchObject({ PeersRemoved: [2] });
    expect(await b.update({})).toBe(404);
  });

  test('a new packet filter reaches every stream', async () => {
    await start({ filterRules: [] });
    const a = await join('a');
    const map = a.openMap();
    expect(await map.next('Node')).toMatchObject({ PacketFilters: { base: [] } });
    const rules = [{ SrcIPs: ['100.64.0.9'], DstPorts: [{ IP: '*', Ports: { First: 22, Last: 22 } }] }];
    lab.setFilterRules(rules);
    expect(await map.next('PacketFilters')).toMatchObject({ PacketFilters: { base: rules } });
  });

  test('quiet streams are kept alive', async () => {
    await start({ keepAliveMs: 5 });
    const a = await join('a');
    const map = a.openMap();
    for (let i = 0; i < 3; i++) expect(await map.next('KeepAlive')).toEqual({ KeepAlive: true });
  });

  test('a fifth stream of a node ends the first', async () => {
    await start();
    const a = await join('a');
    const first = a.openMap();
    await first.next('Peers');
    for (let i = 0; i < 4; i++) await a.openMap().next('Peers');
    await first.end();
    expect(lab.nodes()).toMatchObject([{ isOnline: true }]);
  });
});

describe('frames', () => {
  test.each([0, 1, 128 * 1024 - 20, 128 * 1024, 300_000])('of %d letters are read by zstd decoders', (letters) => {
    const message = { text: 'x'.repeat(letters) };
    for (const decompress of [decompressZstd, decompressPortable]) {
      const reader = new MapFrameReader(decompress);
      reader.handleBytes(encodeMapMessage(message, true));
      reader.handleBytes(encodeMapMessage(message, false));
      expect(reader.failure).toBeUndefined();
      expect(reader.pollMessage()).toEqual(message);
      expect(reader.pollMessage()).toEqual(message);
    }
  });
});
