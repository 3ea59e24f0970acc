import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatPrefix } from '../ip/prefix.ts';
import { parseNode, parseTime } from './node-json.ts';

const Key = `nodekey:${'11'.repeat(32)}`;
const MINIMAL = { ID: 1, Key };

describe('a node', () => {
  it('needs an id and a key, and nothing else', () => {
    expect(parseNode(MINIMAL)).toMatchObject({
      id: 1,
      name: '',
      homeDerp: 0,
      isExpired: false,
      addresses: [],
      tags: [],
    });
    expect(parseNode({ Key })).toBeUndefined();
    expect(parseNode({ ID: 0, Key })).toBeUndefined();
    expect(parseNode({ ID: 1.5, Key })).toBeUndefined();
    expect(parseNode({ ID: JSON.parse('-8674665223082153551'), Key })).toBeDefined();
    expect(parseNode({ ID: 1, Key: `nodekey:${'00'.repeat(32)}` })).toBeUndefined();
    expect(parseNode({ ID: 1, Key: `mkey:${'11'.repeat(32)}` })).toBeUndefined();
  });

  it('is refused for an address that cannot be read, but not for a route or an endpoint', () => {
    expect(parseNode({ ...MINIMAL, Addresses: ['100.64.0.1/33'] })).toBeUndefined();
    const node = parseNode({ ...MINIMAL, AllowedIPs: ['10.0.0.0/8', 'x'], Endpoints: ['1.2.3.4:0', '1.2.3.4:5', 7] })!;
    expect(node.allowedIps.map(formatPrefix)).toEqual(['10.0.0.0/8']);
    expect(node.endpoints.map((endpoint) => endpoint.text)).toEqual(['1.2.3.4:5']);
  });

  it('may use its addresses when AllowedIPs is null, and nothing when it is empty', () => {
    const Addresses = ['100.64.0.1/32'];
    expect(parseNode({ ...MINIMAL, Addresses, AllowedIPs: null })!.allowedIps.map(formatPrefix)).toEqual(Addresses);
    expect(parseNode({ ...MINIMAL, Addresses })!.allowedIps.map(formatPrefix)).toEqual(Addresses);
    expect(parseNode({ ...MINIMAL, Addresses, AllowedIPs: [] })!.allowedIps).toEqual([]);
  });

  it('has one name, however the server writes it', () => {
    for (const Name of ['Alpha.TS.test', 'alpha.ts.test.', 'ALPHA.ts.test..']) {
      expect(parseNode({ ...MINIMAL, Name })!.name).toBe('alpha.ts.test.');
    }
  });

  it('has its home in HomeDERP, else in the old DERP text', () => {
    const home = (more: object): number => parseNode({ ...MINIMAL, ...more })!.homeDerp;
    expect(home({ HomeDERP: 7, DERP: '127.3.3.40:9' })).toBe(7);
    expect(home({ DERP: '127.3.3.40:9' })).toBe(9);
    expect(home({ DERP: '127.3.3.40:0' })).toBe(0);
    expect(home({ DERP: '10.0.0.1:9' })).toBe(0);
  });

  it('has the capabilities of both forms', () => {
    const node = parseNode({ ...MINIMAL, Capabilities: ['a'], CapMap: { b: null, c: [1] } })!;
    expect([...node.capabilities]).toEqual(['a', 'b', 'c']);
  });

  it('keeps a bounded number of endpoints', () => {
    const Endpoints = Array.from({ length: 200 }, (_, i) => `192.0.2.1:${i + 1}`);
    expect(parseNode({ ...MINIMAL, Endpoints })!.endpoints).toHaveLength(64);
  });

  it('any JSON is survived', () => {
    const fields = [
      'Addresses',
      'AllowedIPs',
      'Endpoints',
      'Hostinfo',
      'CapMap',
      'Tags',
      'KeyExpiry',
      'Name',
      'DiscoKey',
      'DERP',
    ];
    fc.assert(
      fc.property(
        fc.dictionary(fc.constantFrom(...fields), fc.jsonValue()),
        (json) => void parseNode({ ...MINIMAL, ...json }),
      ),
    );
  });
});

describe('a time', () => {
  it.each([
    ['1970-01-01T00:02:03Z', 123_000],
    ['2026-11-21T08:50:34.111618224Z', Date.parse('2026-11-21T08:50:34.111Z')],
    ['2024-02-29T23:59:60Z', Date.parse('2024-03-01T00:00:00Z')],
    ['2026-01-01T00:00:00+02:30', Date.parse('2025-12-31T21:30:00Z')],
    ['2026-01-01T00:00:00.5-01:00', Date.parse('2026-01-01T01:00:00.500Z')],
  ])('%s', (text, unixMs) => expect(parseTime(text)).toBe(unixMs));

  it('equals what the platform reads', () => {
    const times = fc.date({ min: new Date('0002-01-01'), max: new Date('9999-12-31'), noInvalidDate: true });
    fc.assert(fc.property(times, (date) => parseTime(date.toISOString()) === date.getTime()));
  });

  it('is absent for the zero time and everything unreadable', () => {
    for (const json of ['0001-01-01T00:00:00Z', '', '2026-13-01T00:00:00Z', '2026-01-01', 5, null, undefined]) {
      expect(parseTime(json)).toBeUndefined();
    }
  });
});
