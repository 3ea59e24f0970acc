import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LEFT_IPV4, LEFT_IPV6, NetstackWorld, RIGHT_IPV4, RIGHT_IPV6 } from '../../test/netstack-world.ts';
import { buildPacket, RawPeer, readPacket, text, timestamps } from '../../test/raw-tcp.ts';
import { seededRng } from '../../test/seeded-rng.ts';
import { PERFECT_LINK } from '../../test/sim/lossy-link.ts';
import vectors from '../../test/vectors/netstack/verified-packets.json' with { type: 'json' };
import { formatHex, parseHex } from '../bytes/hex.ts';
import { PacketArena } from '../bytes/packet-arena.ts';
import { addToChecksum, finishChecksum } from '../ip/checksum.ts';
import { Netstack, type NetstackEvent } from './netstack.ts';

const hex = (value: string): Uint8Array => parseHex(value) as Uint8Array;

describe('packets that Linux has accepted', () => {
  it('answers the SYN with the agreed options', () => {
    const peer = new RawPeer();
    peer.stack.listenTcp(80, { isDeferred: false });
    const [answer] = peer.inject(hex(vectors.tcpSyn)).map(readPacket);
    expect(answer).toMatchObject({
      flags: 'SA',
      acknowledgment: 2,
      sourcePort: 80,
      destinationPort: 49_152,
      window: 65_535,
    });
    const options = formatHex(Uint8Array.from(answer?.options ?? []));
    expect(options.startsWith('020404d8010104020101080a')).toBe(true);
    expect(options.endsWith('0000000101030307')).toBe(true);
  });

  it('answers the pings of both families byte for byte', () => {
    const peer = new RawPeer();
    peer.stack.setAddresses([RIGHT_IPV4, RIGHT_IPV6], 0);
    const [ipv4] = peer.inject(hex(vectors.echoIpv4)).map(formatHex);
    expect(ipv4).toBe('450000240000400040017256644000026440000100005c35123400016162636465666768');
    const [ipv6] = peer.inject(hex(vectors.echoIpv6)).map(formatHex);
    expect(ipv6).toBe(
      '6000000000103a40fd7a115ca1e000000000000000000002fd7a115ca1e00000000000000000000181007978123400016162636465666768',
    );
  });

  it('sends the same pings', () => {
    const peer = new RawPeer();
    peer.stack.setAddresses([LEFT_IPV4, LEFT_IPV6], 0);
    const echo = { identifier: 0x1234, sequence: 1, payload: text('abcdefgh') };
    peer.stack.sendEcho({ ...echo, remote: RIGHT_IPV4 }, 0);
    peer.stack.sendEcho({ ...echo, remote: RIGHT_IPV6 }, 0);
    expect(peer.drain().map(formatHex)).toEqual([vectors.echoIpv4, vectors.echoIpv6]);
  });

  it('receives and sends the UDP datagram', () => {
    const peer = new RawPeer();
    peer.stack.setAddresses([RIGHT_IPV6], 0);
    const port = peer.stack.openUdp(53);
    peer.inject(hex(vectors.udpIpv6));
    const received = port.receive();
    expect([received?.from.text, received?.local.text]).toEqual([`[${LEFT_IPV6.text}]:5353`, RIGHT_IPV6.text]);
    expect(received?.data).toEqual(text('test'));
    peer.stack.setAddresses([LEFT_IPV6], 0);
    peer.stack.openUdp(5353).send(RIGHT_IPV6, 53, text('test'), 0);
    expect(peer.drain().map(formatHex)).toEqual([vectors.udpIpv6]);
  });
});

describe('IP', () => {
  it('counts what is not for us, has a forbidden source, or an unknown protocol', () => {
    const peer = new RawPeer();
    peer.inject(rewrite(hex(vectors.echoIpv4), 16, [100, 64, 0, 9]));
    peer.inject(rewrite(hex(vectors.echoIpv4), 12, [224, 0, 0, 1]));
    peer.inject(rewrite(hex(vectors.echoIpv4), 9, [132]));
    expect(peer.stack.counters.snapshot()).toEqual({
      'ip-not-for-us': 1,
      'ip-bad-source': 1,
      'ip-unknown-protocol': 1,
    });
  });

  it('drops a packet truncated at any length', () => {
    const packet = hex(vectors.echoIpv4);
    for (let length = 0; length < packet.length; length++) {
      const peer = new RawPeer();
      expect(peer.inject(packet.subarray(0, length))).toEqual([]);
    }
  });

  it('never throws and leaks no slot, whatever bytes arrive', () => {
    const peer = new RawPeer();
    peer.stack.setAddresses([RIGHT_IPV4, RIGHT_IPV6], 0);
    peer.stack.openUdp(53);
    peer.establish();
    const bases = Object.values(vectors).slice(1).map(hex);
    bases.push(buildPacket({ ...segmentOf(peer), options: timestamps(peer.nowMs, 1), payload: text('data') }));
    const mutation = fc.array(fc.tuple(fc.nat(80), fc.nat(255)), { maxLength: 6 });
    fc.assert(
      fc.property(fc.nat(bases.length - 1), mutation, fc.uint8Array({ maxLength: 100 }), (index, changes, noise) => {
        const packet = (bases[index] as Uint8Array).slice();
        for (const [at, value] of changes) if (at < packet.length) packet[at] = value;
        fixChecksums(packet);
        peer.nowMs += 1;
        peer.inject(packet);
        peer.inject(noise);
        peer.stack.handleTimeout(peer.nowMs);
        expect(peer.arena.freeCount).toBe(peer.arena.slotCount);
      }),
      { numRuns: 3000 },
    );
  });

  it('loops packets to an own address inside the stack', () => {
    const peer = new RawPeer();
    peer.stack.listenTcp(80, { isDeferred: false });
    peer.stack.connectTcp({ local: undefined, remote: RIGHT_IPV4, port: 80 }, peer.nowMs);
    expect(peer.drain()).toEqual([]);
    expect(peer.takeEvents().sort()).toEqual(['tcp-connected', 'tcp-incoming']);
  });

  it('waits when the arena is exhausted and goes on when slots are free again', () => {
    const arena = new PacketArena(new Uint8Array(2048 * 4));
    const stack = new Netstack({ arena, rng: seededRng(1), mtuBytes: 1280 });
    stack.setAddresses([LEFT_IPV4], 0);
    const slots = Array.from({ length: 4 }, () => arena.allocate());
    stack.connectTcp({ local: undefined, remote: RIGHT_IPV4, port: 80 }, 0);
    expect(stack.pollPacket(0)).toBe(-1);
    expect(stack.pollTimeout()?.why).toBe('netstack packet');
    arena.free(slots[0] as number);
    expect(stack.pollPacket(0)).toBeGreaterThanOrEqual(0);
    expect(stack.pollPacket(0)).toBe(-1);
  });

  it('refuses an MTU that no slot holds', () => {
    const options = { arena: new PacketArena(new Uint8Array(2048)), rng: seededRng(1) };
    expect(() => new Netstack({ ...options, mtuBytes: 9000 })).toThrow(RangeError);
    expect(() => new Netstack({ ...options, mtuBytes: 500 })).toThrow(RangeError);
  });
});

describe('UDP', () => {
  it('carries datagrams of any size in both families, in fragments', () => {
    for (const [left, right] of [
      [LEFT_IPV4, RIGHT_IPV4],
      [LEFT_IPV6, RIGHT_IPV6],
    ] as const) {
      const world = new NetstackWorld({ ...PERFECT_LINK, jitterMs: 5, duplicate: 0.2 }, 3);
      const receiver = world.right.openUdp(53);
      const sender = world.left.openUdp(undefined);
      for (const length of [0, 1, 1252, 1253, 5000, 60_000]) {
        const data = new Uint8Array(length);
        seededRng(length).fill(data);
        expect(sender.send(right, 53, data, world.nowMs)).toBe(true);
        world.run(100);
        const received = receiver.receive();
        expect(received?.data).toEqual(data);
        expect(received?.from.address.text).toBe(left.text);
        while (receiver.receive() !== undefined);
      }
    }
  });

  it('announces a port once until it has been read empty', () => {
    const peer = new RawPeer();
    peer.stack.setAddresses([RIGHT_IPV6], 0);
    const port = peer.stack.openUdp(53);
    peer.inject(hex(vectors.udpIpv6));
    peer.inject(hex(vectors.udpIpv6));
    expect(peer.takeEvents()).toEqual(['udp-readable']);
    while (port.receive() !== undefined);
    peer.inject(hex(vectors.udpIpv6));
    expect(peer.takeEvents()).toEqual(['udp-readable']);
  });

  it('drops datagrams beyond the bound of a port that nobody reads', () => {
    const peer = new RawPeer();
    peer.stack.setAddresses([RIGHT_IPV6], 0);
    peer.stack.openUdp(53);
    for (let i = 0; i < 300; i++) peer.inject(hex(vectors.udpIpv6));
    expect(peer.stack.counters.count('udp-queue-full')).toBe(300 - 256);
  });

  it('tells the sender of a datagram to a closed port, quoting it, but not without limit', () => {
    const peer = new RawPeer();
    peer.stack.setAddresses([RIGHT_IPV6], 0);
    const [answer] = peer.inject(hex(vectors.udpIpv6));
    expect(formatHex(answer as Uint8Array)).toContain(`0104`);
    expect(formatHex((answer as Uint8Array).subarray(48))).toBe(vectors.udpIpv6);
    expect((answer as Uint8Array).subarray(40, 42)).toEqual(Uint8Array.of(1, 4));
    let answered = 0;
    for (let i = 0; i < 100; i++) answered += peer.inject(hex(vectors.udpIpv6)).length;
    expect(answered).toBeLessThan(25);
    expect(peer.stack.counters.count('icmp-rate-limited')).toBeGreaterThan(70);
  });

  it('takes a zero checksum in IPv4 and not in IPv6', () => {
    const peer = new RawPeer();
    peer.stack.setAddresses([RIGHT_IPV6, RIGHT_IPV4], 0);
    const port = peer.stack.openUdp(53);
    peer.inject(rewrite(hex(vectors.udpIpv6), 46, [0, 0]));
    expect(port.receive()).toBeUndefined();
    const ipv4 = '4500002000004000401100006440000164400002' + '14e90035000c000074657374';
    peer.inject(rewrite(hex(ipv4), 8, [64]));
    expect(port.receive()?.data).toEqual(text('test'));
  });

  it('refuses to open a port twice and sends nothing after close', () => {
    const peer = new RawPeer();
    const port = peer.stack.openUdp(53);
    expect(() => peer.stack.openUdp(53)).toThrow(RangeError);
    port.close();
    expect(port.send(LEFT_IPV4, 53, text('x'), 0)).toBe(false);
    expect(() => peer.stack.openUdp(53)).not.toThrow();
  });
});

describe('ICMP', () => {
  it('reports the reply to a ping once, and no reply it has not asked for', () => {
    const world = new NetstackWorld(PERFECT_LINK, 1);
    const events: NetstackEvent[] = [];
    world.onLeft = (event) => events.push(event);
    const payload = new Uint8Array(3000).fill(7);
    world.left.sendEcho({ remote: RIGHT_IPV6, identifier: 7, sequence: 1, payload }, world.nowMs);
    world.run(100);
    expect(events).toEqual([{ kind: 'echo-reply', remote: RIGHT_IPV6, identifier: 7, sequence: 1, payload }]);
    const peer = new RawPeer();
    peer.stack.setAddresses([RIGHT_IPV4], 0);
    const unsolicited = hex('450000240000400040017256644000016440000200005c35123400016162636465666768');
    peer.inject(unsolicited);
    expect(peer.takeEvents()).toEqual([]);
    expect(peer.stack.counters.count('icmp-ignored')).toBe(1);
  });

  it('cannot ping without an address of the family', () => {
    const peer = new RawPeer();
    const echo = { remote: RIGHT_IPV6, identifier: 1, sequence: 1, payload: text('') };
    expect(peer.stack.sendEcho(echo, 0)).toBe(false);
  });

  it('ends a connection attempt at port unreachable, if the quoted sequence is that of the SYN', () => {
    const peer = new RawPeer();
    peer.stack.connectTcp({ local: undefined, remote: LEFT_IPV4, port: 80 }, peer.nowMs);
    const [syn] = peer.drain() as [Uint8Array];
    const forged = syn.slice(0, 28);
    forged[27] = (forged[27] as number) ^ 1;
    peer.inject(unreachable(3, forged));
    expect(peer.takeEvents()).toEqual([]);
    peer.inject(unreachable(3, syn.subarray(0, 28)));
    expect(peer.events).toMatchObject([{ kind: 'tcp-closed', reason: 'refused' }]);
  });

  it('sends smaller segments when a router says so, but not smaller than 576 bytes', () => {
    const peer = new RawPeer();
    const connection = peer.establish();
    connection.write(new Uint8Array(2000), peer.nowMs);
    const [large] = peer.drain() as [Uint8Array];
    expect(large.length).toBe(1280);
    const sizes = peer.inject(unreachable(4, large.subarray(0, 28), 100)).map((packet) => packet.length);
    expect(Math.max(...sizes)).toBe(576);
    expect(sizes.reduce((sum, size) => sum + size - 52, 0)).toBe(2000);
  });
});

function rewrite(packet: Uint8Array, at: number, bytes: readonly number[]): Uint8Array {
  packet.set(bytes, at);
  if ((packet[0] as number) >> 4 === 4) fixIpv4Checksum(packet);
  return packet;
}

function fixIpv4Checksum(packet: Uint8Array): void {
  packet.set([0, 0], 10);
  const sum = finishChecksum(addToChecksum(0, packet, 0, 20));
  packet.set([sum >> 8, sum & 255], 10);
}

/** Makes mutated packets pass the checksums, so that the mutation reaches what lies behind. */
function fixChecksums(packet: Uint8Array): void {
  if (packet.length < 20 || packet[0] !== 0x45) return;
  fixIpv4Checksum(packet);
  if (packet[9] !== 6 || packet.length < 40) return;
  packet.set([0, 0], 36);
  const pseudo = addToChecksum(6 + packet.length - 20, packet, 12, 8);
  const sum = finishChecksum(addToChecksum(pseudo, packet, 20, packet.length - 20));
  packet.set([sum >> 8, sum & 255], 36);
}

function segmentOf(peer: RawPeer) {
  const sequence = 0x10000001;
  const acknowledgment = (peer.remoteIsn + 1) >>> 0;
  return { sourcePort: 50_000, destinationPort: 80, sequence, acknowledgment, flags: 'PA', window: 1024 };
}

/** ICMP type 3 from 100.64.0.1, quoting a packet of ours. */
function unreachable(code: number, quote: Uint8Array, mtuBytes = 0): Uint8Array {
  const packet = new Uint8Array(28 + quote.length);
  packet.set([0x45, 0, 0, packet.length, 0, 0, 0x40, 0, 64, 1, 0, 0, ...LEFT_IPV4.bytes, ...RIGHT_IPV4.bytes]);
  packet.set([3, code, 0, 0, 0, 0, mtuBytes >> 8, mtuBytes & 255], 20);
  packet.set(quote, 28);
  fixIpv4Checksum(packet);
  const sum = finishChecksum(addToChecksum(0, packet, 20, packet.length - 20));
  packet.set([sum >> 8, sum & 255], 22);
  return packet;
}
