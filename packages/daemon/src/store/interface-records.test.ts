import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type InterfaceRecord,
  interfaceKey,
  interfaceShape,
  journalShape,
  type SubnetRecord,
  type TunRecord,
} from './interface-records.ts';

const tun: TunRecord = {
  kind: 'tun',
  name: 'tun0',
  address: '10.0.0.1',
  prefixBits: 24,
  address6: 'fd00::1',
  prefixBits6: 64,
  mtu: 1500,
  ownerUid: 1000,
  isPersistent: true,
  mark: 7,
  createdByUid: 0,
  createdUnixMs: 1,
};
const subnet: SubnetRecord = {
  kind: 'subnet',
  cidr: '10.1.0.0/24',
  address: '10.1.0.1',
  link: 'dummy0',
  linkKind: 'dummy',
  mtu: 1500,
  mark: 8,
  createdUnixMs: 1,
};

function expectBad(record: object, path: string): void {
  expect([record, interfaceShape(record)]).toEqual([record, { kind: 'bad', path, expected: expect.any(String) }]);
}

describe('a record of an interface', () => {
  it('has a key of its kind and of its name or network', () => {
    expect(interfaceKey(tun)).toBe('tun/tun0');
    expect(interfaceKey(subnet)).toBe('subnet/10.1.0.0/24');
    expect(interfaceKey({ ...subnet, cidr: 'fd00::/64', address: 'fd00::1' })).toBe('subnet/fd00::/64');
  });

  it('is read with its fields and no others', () => {
    const { address6, prefixBits6, ownerUid, createdByUid, ...least } = tun;
    const good: readonly InterfaceRecord[] = [
      tun,
      least,
      { ...tun, name: 'utun17', isPersistent: false, mtu: 576, prefixBits: 30, prefixBits6: 126, mark: 0x7fff_ffff },
      subnet,
      { ...subnet, cidr: 'fd00:0:0:1::/64', address: 'fd00:0:0:1::1', link: 'lo0:12', linkKind: 'alias' },
      { ...subnet, cidr: '10.1.0.128/25', address: '10.1.0.129' },
    ];
    for (const record of good) {
      expect(interfaceShape({ ...record, colour: 'blue' })).toEqual({ kind: 'ok', value: record });
      expect(interfaceShape(JSON.parse(JSON.stringify(record)))).toEqual({ kind: 'ok', value: record });
    }
  });

  it('of a TUN device is refused with the field that does not fit', () => {
    const cases: readonly (readonly [string, unknown])[] = [
      ['kind', 'tap'],
      ['kind', undefined],
      ['kind', '__proto__'],
      ['name', ''],
      ['name', 'a-name-too-long0'],
      ['name', '../x'],
      ['name', '0tun'],
      ['address', '10.0.0.256'],
      ['address', '10.0.0.01'],
      ['address', 'fd00::1'],
      ['prefixBits', 7],
      ['prefixBits', 31],
      ['address6', '10.0.0.1'],
      ['address6', 'FD00::1'],
      ['address6', 'fd00:0::1'],
      ['address6', `${'0'.repeat(100)}::1`],
      ['prefixBits6', 47],
      ['prefixBits6', 127],
      ['prefixBits6', undefined],
      ['mtu', 575],
      ['mtu', 65_536],
      ['ownerUid', -1],
      ['ownerUid', 4_294_967_295],
      ['isPersistent', 1],
      ['mark', 0],
      ['mark', 0x8000_0000],
      ['createdByUid', 1.5],
      ['createdUnixMs', -1],
    ];
    for (const [path, value] of cases) expectBad({ ...tun, [path]: value }, path);
    expectBad({ ...tun, address6: undefined }, 'prefixBits6');
  });

  it('of a subnet is refused with the field that does not fit', () => {
    const cases: readonly (readonly [string, unknown])[] = [
      ['cidr', '10.1.0.1/24'],
      ['cidr', '10.1.0.0'],
      ['cidr', '10.1.0.0/33'],
      ['cidr', '10.1.0.64/25'],
      ['cidr', 'fd00:0::/64'],
      ['cidr', 'fd00::1/64'],
      ['cidr', 'tun0'],
      ['address', '10.1.1.1'],
      ['address', 'fd00::1'],
      ['address', 'x'],
      ['link', 'lo0:'],
      ['link', 'lo0:01'],
      ['link', 'eth0:1'],
      ['linkKind', 'veth'],
      ['mtu', 0],
      ['mark', 0],
      ['createdByUid', '0'],
      ['createdUnixMs', undefined],
    ];
    for (const [path, value] of cases) expectBad({ ...subnet, [path]: value }, path);
  });

  it('in the journal is checked as any other', () => {
    expect(journalShape({ intent: 'make', record: tun })).toEqual({
      kind: 'ok',
      value: { intent: 'make', record: tun },
    });
    expect(journalShape({ intent: 'remove', record: subnet }).kind).toBe('ok');
    expect(journalShape({ intent: 'change', record: tun })).toMatchObject({ kind: 'bad', path: 'intent' });
    expect(journalShape({ intent: 'make', record: { ...tun, mark: 0 } })).toMatchObject({ path: 'record.mark' });
    expect(journalShape({ intent: 'make' })).toMatchObject({ kind: 'bad', path: 'record' });
  });

  it('of any content is read or refused', () => {
    const field = fc.constantFrom(...Object.keys(tun), ...Object.keys(subnet));
    const value = fc.oneof(fc.jsonValue(), fc.ipV4(), fc.ipV6(), fc.string());
    const edited = fc.tuple(fc.constantFrom(tun, subnet), field, value);
    fc.assert(
      fc.property(fc.oneof(fc.jsonValue(), edited), (any) => {
        const input =
          Array.isArray(any) && any.length === 3 ? { ...(any[0] as object), [String(any[1])]: any[2] } : any;
        const result = interfaceShape(input);
        if (result.kind === 'ok') expect(interfaceShape(result.value)).toEqual(result);
      }),
    );
  });
});
