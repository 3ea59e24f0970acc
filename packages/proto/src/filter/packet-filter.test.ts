import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import vectors from '../../test/vectors/filter/verdicts.json' with { type: 'json' };
import { parseHex } from '../bytes/hex.ts';
import { type IpPrefix, parsePrefix } from '../ip/prefix.ts';
import { FLOW_COUNT_MAX } from './flow-table.ts';
import { PacketFilter } from './packet-filter.ts';
import { parseFilterRules } from './rules.ts';

const ALLOW_ALL = [{ SrcIPs: ['*'], DstPorts: [{ IP: '*', Ports: { First: 0, Last: 65535 } }] }];
const US = '100.64.0.1';
const PEER = '100.64.0.50';

function bytesOf(hex: string): Uint8Array {
  return parseHex(hex)!;
}

function prefixes(...texts: readonly string[]): IpPrefix[] {
  return texts.map((text) => parsePrefix(text)!);
}

function createFilter(rules: unknown = vectors.rules): PacketFilter {
  const filter = new PacketFilter();
  filter.setLocalPrefixes(prefixes(...vectors.localPrefixes));
  filter.setRules(parseFilterRules(rules));
  filter.setCapabilityOwners((capability) =>
    Object.entries(vectors.capabilities)
      .filter(([, capabilities]) => capabilities.includes(capability))
      .flatMap(([address]) => prefixes(address)),
  );
  return filter;
}

/** The packet lies behind other bytes and before others, as it does in the arena. */
function check(filter: PacketFilter, dir: string, packet: Uint8Array, isJailed = false): string {
  const memory = new Uint8Array(packet.length + 24).fill(0xff);
  memory.set(packet, 11);
  return dir === 'in'
    ? filter.checkInbound(memory, 11, packet.length, isJailed)
    : filter.checkOutbound(memory, 11, packet.length);
}

function udp(source: string, sourcePort: number, destination: string, destinationPort: number): Uint8Array {
  const packet = bytesOf('4500001c0000000040110000000000000000000000000000000800000000');
  packet.set(source.split('.').map(Number), 12);
  packet.set(destination.split('.').map(Number), 16);
  new DataView(packet.buffer).setUint16(20, sourcePort);
  new DataView(packet.buffer).setUint16(22, destinationPort);
  return packet;
}

function verdictOf(result: string): string {
  return result === 'accept' ? 'accept' : 'drop';
}

describe('the verdicts of the reference implementation', () => {
  test('every step in order, with one flow table, before and after the rules are taken away', () => {
    const filter = createFilter();
    for (const { dir, note, packet, verdict } of vectors.steps) {
      expect(verdictOf(check(filter, dir, bytesOf(packet))), note).toBe(verdict);
    }
    filter.setRules([]);
    for (const { dir, note, packet, verdict } of vectors.sameFlowsEmptyRules) {
      expect(verdictOf(check(filter, dir, bytesOf(packet))), note).toBe(verdict);
    }
  });

  test('a jailed peer is judged as if there were no rules', () => {
    const filter = createFilter();
    for (const { dir, packet } of vectors.steps) check(filter, dir, bytesOf(packet), true);
    for (const { dir, note, packet, verdict } of vectors.sameFlowsEmptyRules) {
      expect(verdictOf(check(filter, dir, bytesOf(packet), true)), note).toBe(verdict);
    }
  });

  test('one flow more than the table holds forgets the oldest', () => {
    const { firstFlowPort, outboundFlows, replyFromFirst, replyFromSecond, replyFromLast } = vectors.flowTableSize;
    const filter = createFilter([]);
    for (let i = 0; i < outboundFlows; i++) check(filter, 'out', udp(US, 40001, PEER, firstFlowPort + i));
    const reply = (i: number) => verdictOf(check(filter, 'in', udp(PEER, firstFlowPort + i, US, 40001)));
    expect(reply(0)).toBe(replyFromFirst);
    expect(reply(1)).toBe(replyFromSecond);
    expect(reply(outboundFlows - 1)).toBe(replyFromLast);
  });
});

describe('packet filter', () => {
  test('refuses everything before it knows rules and addresses', () => {
    const filter = new PacketFilter();
    expect(check(filter, 'in', udp(PEER, 1, US, 53))).toBe('not-ours');
    filter.setLocalPrefixes(prefixes('100.64.0.1/32'));
    expect(check(filter, 'in', udp(PEER, 1, US, 53))).toBe('no-rule');
    filter.setRules(parseFilterRules(ALLOW_ALL));
    expect(check(filter, 'in', udp(PEER, 1, US, 53))).toBe('accept');
  });

  test('names the reason of every refusal', () => {
    const filter = createFilter([]);
    const packetOf = (note: string) => bytesOf(vectors.steps.find((step) => step.note.startsWith(note))!.packet);
    expect(check(filter, 'in', packetOf('19 bytes'))).toBe('short');
    expect(check(filter, 'in', packetOf('IP version 5'))).toBe('bad-version');
    expect(check(filter, 'in', packetOf('multicast destination'))).toBe('multicast');
    expect(check(filter, 'in', packetOf('link-local destination'))).toBe('link-local');
    expect(check(filter, 'in', packetOf('UDP 53 to an address that is not ours'))).toBe('not-ours');
    expect(check(filter, 'in', packetOf('later fragment with a tiny offset'))).toBe('malformed');
    expect(check(filter, 'in', packetOf('GRE without rule'))).toBe('no-rule');
  });

  test('IPv6 link-local ends where fe80::/10 ends', () => {
    const filter = createFilter(ALLOW_ALL);
    filter.setLocalPrefixes(prefixes('::/0'));
    const packet = bytesOf(vectors.steps.find((step) => step.note === 'IPv6 multicast destination')!.packet);
    const verdict = (high: number, low: number) => {
      packet[24] = high;
      packet[25] = low;
      return check(filter, 'in', packet);
    };
    expect(verdict(0xfe, 0x7f)).toBe('accept');
    expect(verdict(0xfe, 0x80)).toBe('link-local');
    expect(verdict(0xfe, 0xbf)).toBe('link-local');
    expect(verdict(0xfe, 0xc0)).toBe('accept');
    expect(verdict(0xff, 0x00)).toBe('multicast');
  });

  test('a flow that is used stays while unused ones are forgotten', () => {
    const filter = createFilter([]);
    check(filter, 'out', udp(US, 1, PEER, 9));
    check(filter, 'out', udp(US, 2, PEER, 9));
    for (let i = 0; i < FLOW_COUNT_MAX - 1; i++) {
      check(filter, 'out', udp(US, 1000 + i, PEER, 9));
      expect(check(filter, 'in', udp(PEER, 9, US, 1))).toBe('accept');
    }
    expect(check(filter, 'in', udp(PEER, 9, US, 2))).toBe('no-rule');
  });

  test('a capability source follows the netmap', () => {
    const filter = createFilter();
    const syn = bytesOf(vectors.steps.find((step) => step.note.includes('that lacks it'))!.packet);
    expect(check(filter, 'in', syn)).toBe('no-rule');
    filter.setCapabilityOwners((name) => (name === 'example.com/trusted' ? prefixes('100.64.0.31/32') : []));
    expect(check(filter, 'in', syn)).toBe('accept');
  });

  test('every truncation of every packet is refused, except that a later fragment has no ports to lose', () => {
    const filter = createFilter(ALLOW_ALL);
    filter.setLocalPrefixes(prefixes('0.0.0.0/0', '::/0'));
    for (const { packet } of vectors.steps) {
      const bytes = bytesOf(packet);
      for (let length = 1; length < bytes.length; length++) {
        expect(check(filter, 'in', bytes.subarray(0, length))).not.toBe('accept');
      }
    }
  });

  test('random bytes never throw', () => {
    const filter = createFilter();
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 100 }),
        fc.constantFrom(0x45, 0x4f, 0x60),
        fc.boolean(),
        (bytes, head, out) => {
          if (bytes.length > 0) bytes[0] = head;
          check(filter, out ? 'out' : 'in', bytes);
        },
      ),
    );
  });
});
