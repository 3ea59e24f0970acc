import { describe, expect, it } from 'vitest';
import { LEFT_IPV4, LEFT_IPV6, NetstackWorld, RIGHT_IPV4, RIGHT_IPV6 } from '../../../test/netstack-world.ts';
import { buildPacket, RawPeer, type RawSegment, readPacket, text, timestamps } from '../../../test/raw-tcp.ts';
import { PERFECT_LINK } from '../../../test/sim/lossy-link.ts';
import type { TcpConnection } from '../netstack.ts';

describe('opening', () => {
  it('offers MSS, SACK, timestamps and a window scale, per family', () => {
    const peer = new RawPeer();
    peer.stack.setAddresses([RIGHT_IPV4, RIGHT_IPV6], 0);
    peer.stack.connectTcp({ local: undefined, remote: LEFT_IPV4, port: 80 }, 0);
    peer.stack.connectTcp({ local: undefined, remote: LEFT_IPV6, port: 80 }, 0);
    const [ipv4, ipv6] = peer.drain().map(readPacket) as [RawSegment, RawSegment];
    expect(ipv4.options.slice(0, 12)).toEqual([2, 4, 0x04, 0xd8, 1, 1, 4, 2, 1, 1, 8, 10]);
    expect(ipv4.options.slice(20)).toEqual([1, 3, 3, 7]);
    expect(ipv6.options.slice(0, 4)).toEqual([2, 4, 0x04, 0xc4]);
    expect([ipv4.flags, ipv4.window, ipv4.acknowledgment]).toEqual(['S', 65_535, 0]);
    expect(ipv4.sourcePort).toBeGreaterThanOrEqual(49_152);
  });

  it('agrees on nothing that the peer has not offered, and assumes 536 bytes', () => {
    const peer = new RawPeer({ isTimed: false });
    peer.stack.listenTcp(80, { isDeferred: false });
    const [answer] = peer.send({ flags: 'S', sequence: 0, options: [] }) as [RawSegment];
    expect(answer.options).toEqual([2, 4, 0x04, 0xd8]);
    peer.send({ acknowledgment: 1, window: 60_000 });
    peer.connection?.write(new Uint8Array(1000), peer.nowMs);
    expect(peer.answers().map((segment) => segment.payload.length)).toEqual([536, 464]);
  });

  it('works with the options of gVisor: MSS 1240, SACK, timestamps', () => {
    const peer = new RawPeer();
    peer.establish([2, 4, 0x04, 0xd8, 4, 2, 8, 10, 0, 0, 3, 0xe8, 0, 0, 0, 0, 1, 3, 3, 10]);
    peer.connection?.write(new Uint8Array(3000), peer.nowMs);
    const answers = peer.answers();
    expect(answers.map((segment) => segment.payload.length)).toEqual([1228, 1228, 544]);
    expect(answers.every((segment) => segment.options.length === 12)).toBe(true);
  });

  it('sends SYN six times more, doubling, and then gives up', () => {
    const peer = new RawPeer();
    peer.stack.connectTcp({ local: undefined, remote: LEFT_IPV4, port: 80 }, peer.nowMs);
    expect(peer.wait(200_000).map(({ atMs }) => atMs)).toEqual([0, 1000, 3000, 7000, 15_000, 31_000, 63_000]);
    expect(peer.events).toMatchObject([{ kind: 'tcp-closed', reason: 'timeout' }]);
  });

  it('is refused by a RST that acknowledges the SYN, and by no other', () => {
    const { peer, reply } = connecting();
    peer.inject(reply('RA', 2));
    peer.inject(reply('R', 1));
    expect(peer.takeEvents()).toEqual([]);
    peer.inject(reply('RA', 1));
    expect(peer.events).toMatchObject([{ kind: 'tcp-closed', reason: 'refused' }]);
  });

  it('resets an acknowledgment in SYN-SENT of something it has not sent', () => {
    const { peer, reply, isn } = connecting();
    const [reset] = peer.inject(reply('A', 99)).map(readPacket) as [RawSegment];
    expect([reset.flags, reset.sequence]).toEqual(['R', (isn + 99) >>> 0]);
  });

  it('opens when both ends send their SYN at once', () => {
    const { peer, reply } = connecting();
    const [synAck] = peer.inject(reply('S', 0)).map(readPacket) as [RawSegment];
    expect(synAck.flags).toBe('SA');
    peer.inject(reply('SA', 1));
    expect(peer.takeEvents()).toEqual(['tcp-connected']);
  });

  it('ends at once as unreachable without an own address of the family', () => {
    const peer = new RawPeer();
    peer.stack.connectTcp({ local: undefined, remote: LEFT_IPV6, port: 80 }, 0);
    expect(peer.drain()).toEqual([]);
    expect(peer.events).toMatchObject([{ kind: 'tcp-closed', reason: 'unreachable' }]);
  });

  it('refuses ports out of range and mixed families', () => {
    const { stack } = new RawPeer();
    expect(() => stack.connectTcp({ local: undefined, remote: LEFT_IPV4, port: 0 }, 0)).toThrow(RangeError);
    expect(() => stack.connectTcp({ local: RIGHT_IPV6, remote: LEFT_IPV4, port: 1 }, 0)).toThrow(TypeError);
    stack.listenTcp(80, { isDeferred: false });
    expect(() => stack.listenTcp(80, { isDeferred: false })).toThrow(RangeError);
  });

  it('sends the FIN of an application that closes before it is connected', () => {
    const world = new NetstackWorld(PERFECT_LINK, 1);
    world.right.listenTcp(80, { isDeferred: false });
    const kinds: string[] = [];
    world.onRight = (event) => kinds.push(event.kind);
    world.left.connectTcp({ local: undefined, remote: RIGHT_IPV4, port: 80 }, world.nowMs).shutdown(world.nowMs);
    world.run(1000);
    expect(kinds).toEqual(['tcp-incoming', 'tcp-remote-end']);
  });
});

describe('listening', () => {
  it('answers a SYN of a deferred listener only after accept', () => {
    const peer = new RawPeer();
    peer.stack.listenTcp(80, { isDeferred: true });
    const syn = { flags: 'S', sequence: 0, options: timestamps(peer.nowMs, 0) };
    expect(peer.send(syn)).toEqual([]);
    expect(peer.takeEvents()).toEqual(['tcp-incoming']);
    expect(peer.send(syn)).toEqual([]);
    peer.connection?.accept(peer.nowMs);
    expect(peer.answers().map((answer) => answer.flags)).toEqual(['SA']);
    peer.send({ acknowledgment: 1 });
    expect(peer.takeEvents()).toEqual(['tcp-connected']);
  });

  it('resets a deferred connection that is rejected, or that nobody accepts within a minute', () => {
    for (const isRejected of [true, false]) {
      const peer = new RawPeer();
      peer.stack.listenTcp(80, { isDeferred: true });
      peer.send({ flags: 'S', sequence: 0, options: [] });
      if (isRejected) peer.connection?.reject(peer.nowMs);
      const resets = peer.wait(61_000);
      expect(resets.map(({ segment }) => [segment.flags, segment.acknowledgment])).toEqual([['RA', 1]]);
      expect(peer.stack.connectionCount).toBe(0);
    }
  });

  it('sends SYN-ACK again when the SYN comes again, and five times by itself', () => {
    const peer = new RawPeer();
    peer.stack.listenTcp(80, { isDeferred: false });
    const syn = { flags: 'S', sequence: 0, options: [] };
    peer.send(syn);
    expect(peer.send(syn).map((answer) => answer.flags)).toEqual(['SA']);
    expect(peer.wait(100_000)).toHaveLength(5);
    expect(peer.takeEvents()).toEqual([]);
    expect(peer.stack.connectionCount).toBe(0);
  });

  it('ignores a RST and resets an ACK, and does not let them reach an existing connection', () => {
    const peer = new RawPeer();
    peer.establish();
    const options = { sourcePort: 50_001, options: [] };
    expect(peer.send({ ...options, flags: 'R' })).toEqual([]);
    expect(peer.send({ ...options, flags: 'A', acknowledgment: 9 }).map((answer) => answer.flags)).toEqual(['R']);
    expect(peer.takeEvents()).toEqual([]);
    expect(peer.stack.connectionCount).toBe(1);
  });

  it('stays within its bounds in a flood of SYNs, and works again after it', () => {
    const peer = new RawPeer();
    peer.stack.listenTcp(80, { isDeferred: false });
    let answered = 0;
    for (let i = 0; i < 10_000; i++) {
      const source = [100, 64 + (i % 3), 1, 1];
      answered += peer.inject(withSource(synPacket(1000 + i), source)).length;
    }
    expect(answered).toBe(2048);
    expect(peer.stack.connectionCount).toBe(2048);
    expect(peer.stack.counters.count('tcp-half-open-full')).toBe(10_000 - 2048);
    peer.wait(100_000);
    expect(peer.stack.connectionCount).toBe(0);
    expect(peer.inject(synPacket(1000))).toHaveLength(1);
  });

  it('leaves a third of the half-open connections to other peers', () => {
    const peer = new RawPeer();
    peer.stack.listenTcp(80, { isDeferred: false });
    for (let i = 0; i < 3000; i++) peer.inject(synPacket(1000 + i));
    expect(peer.stack.connectionCount).toBe(1365);
    expect(peer.inject(withSource(synPacket(1000), [100, 64, 0, 77]))).toHaveLength(1);
  });

  it('accepts nothing more after unlisten, while accepted connections live on', () => {
    const peer = new RawPeer();
    const connection = peer.establish();
    peer.stack.unlistenTcp(80);
    expect(peer.inject(synPacket(1000)).map((packet) => readPacket(packet).flags)).toEqual(['RA']);
    expect(connection.write(text('alive'), peer.nowMs)).toBe(5);
  });
});

describe('closing', () => {
  it('reads on after its own FIN, and ends in TIME-WAIT', () => {
    const peer = new RawPeer();
    const connection = peer.establish();
    connection.shutdown(peer.nowMs);
    expect(flags(peer.answers())).toEqual(['FA']);
    peer.send({ acknowledgment: 2 });
    peer.send({ flags: 'PA', acknowledgment: 2, payload: text('late') });
    expect(connection.readableBytes).toBe(4);
    expect(flags(peer.send({ flags: 'FA', sequence: 5, acknowledgment: 2 }))).toEqual(['A']);
    expect(peer.events.at(-1)).toMatchObject({ kind: 'tcp-closed', reason: 'finished' });
    expect(connection.read(new Uint8Array(10), peer.nowMs)).toBe(4);
    expect(peer.stack.connectionCount).toBe(1);
    peer.wait(31_000);
    expect(peer.stack.connectionCount).toBe(0);
  });

  it("writes on after the peer's FIN, and is done when its own is acknowledged", () => {
    const peer = new RawPeer();
    const connection = peer.establish();
    expect(flags(peer.send({ flags: 'FA', acknowledgment: 1 }))).toEqual(['A']);
    expect(peer.takeEvents()).toEqual(['tcp-remote-end']);
    connection.write(text('answer'), peer.nowMs);
    connection.shutdown(peer.nowMs);
    expect(flags(peer.answers())).toEqual(['FPA']);
    peer.send({ sequence: 2, acknowledgment: 7 });
    expect(peer.stack.connectionCount).toBe(1);
    peer.send({ sequence: 2, acknowledgment: 8 });
    expect(peer.events.at(-1)).toMatchObject({ kind: 'tcp-closed', reason: 'finished' });
    expect(peer.stack.connectionCount).toBe(0);
  });

  it('closes when both ends send their FIN at once', () => {
    const peer = new RawPeer();
    peer.establish().shutdown(peer.nowMs);
    peer.answers();
    expect(flags(peer.send({ flags: 'FA', acknowledgment: 1 }))).toEqual(['A']);
    expect(peer.takeEvents()).toEqual(['tcp-remote-end']);
    peer.send({ sequence: 2, acknowledgment: 2 });
    expect(peer.takeEvents()).toEqual(['tcp-closed']);
  });

  it('takes text and FIN that acknowledge its FIN in one segment', () => {
    const peer = new RawPeer();
    const connection = peer.establish();
    connection.shutdown(peer.nowMs);
    peer.answers();
    peer.send({ flags: 'FPA', acknowledgment: 2, payload: text('bye') });
    expect(peer.takeEvents()).toEqual(['tcp-readable', 'tcp-remote-end', 'tcp-closed']);
    expect(connection.read(new Uint8Array(9), peer.nowMs)).toBe(3);
  });

  it('takes a FIN that arrives before the text in front of it', () => {
    const peer = new RawPeer();
    const connection = peer.establish();
    peer.send({ flags: 'FPA', sequence: 6, acknowledgment: 1, payload: text('world') });
    expect(peer.takeEvents()).toEqual([]);
    const [answer] = peer.send({ sequence: 1, acknowledgment: 1, payload: text('hello') }) as [RawSegment];
    expect(answer.acknowledgment).toBe(12);
    expect(peer.takeEvents()).toEqual(['tcp-readable', 'tcp-remote-end']);
    expect(connection.readableBytes).toBe(10);
  });

  it('answers a repeated FIN in TIME-WAIT and ignores a RST there', () => {
    const peer = inTimeWait();
    peer.send({ flags: 'R', sequence: 2, acknowledgment: 2 });
    expect(peer.stack.connectionCount).toBe(1);
    peer.nowMs += 1000;
    const [answer] = peer.send({ flags: 'FA', acknowledgment: 2 }) as [RawSegment];
    expect([answer.flags, answer.acknowledgment]).toEqual(['A', 2]);
  });

  it('opens again from TIME-WAIT at a SYN with a later timestamp, not at an older one', () => {
    const peer = inTimeWait();
    expect(flags(peer.send({ flags: 'S', sequence: 9, options: timestamps(10, 0) }))).not.toContain('SA');
    peer.nowMs += 1000;
    expect(flags(peer.send({ flags: 'S', sequence: 900, options: timestamps(peer.nowMs, 0) }))).toEqual(['SA']);
  });

  it('aborts a connection that is still in its handshake without a word, an answered one with a RST', () => {
    const { peer } = connecting();
    peer.connection?.abort(peer.nowMs);
    expect(peer.drain()).toEqual([]);
    expect(peer.stack.connectionCount).toBe(0);
    const answering = new RawPeer();
    answering.stack.listenTcp(80, { isDeferred: true });
    answering.send({ flags: 'S', sequence: 0, options: [] });
    answering.connection?.accept(answering.nowMs);
    answering.answers();
    answering.connection?.abort(answering.nowMs);
    expect(flags(answering.answers())).toEqual(['RA']);
  });

  it('answers data for an aborted connection with a RST', () => {
    const peer = new RawPeer();
    peer.establish().abort(peer.nowMs);
    peer.answers();
    expect(flags(peer.send({ flags: 'PA', acknowledgment: 1, payload: text('x') }))).toEqual(['R']);
  });

  it('ends the connections of an address that is taken away, and only those', () => {
    const peer = new RawPeer();
    peer.establish();
    peer.stack.setAddresses([RIGHT_IPV6], peer.nowMs);
    expect(peer.drain()).toEqual([]);
    expect(peer.events).toMatchObject([{ kind: 'tcp-closed', reason: 'address-removed' }]);
    expect(peer.stack.pollTimeout()).toBeUndefined();
  });

  it('does nothing at all after the end', () => {
    const peer = new RawPeer();
    const connection = peer.establish();
    connection.abort(peer.nowMs);
    peer.answers();
    peer.takeEvents();
    use(connection, peer.nowMs);
    expect(peer.wait(100_000)).toEqual([]);
    expect(peer.takeEvents()).toEqual([]);
  });
});

describe('silence', () => {
  it('gives up five minutes after the first retransmission that nobody answers', () => {
    const peer = new RawPeer();
    const connection = peer.establish();
    connection.write(text('anyone?'), peer.nowMs);
    const sent = peer.wait(400_000);
    expect(sent.at(-1)?.segment.flags).toBe('RA');
    expect(sent.at(-1)?.atMs).toBeGreaterThan(300_000);
    expect(peer.events.at(-1)).toMatchObject({ kind: 'tcp-closed', reason: 'timeout' });
  });

  it('probes a closed window for ever while the probes are answered', () => {
    const peer = new RawPeer();
    const connection = peer.establish(undefined, 0);
    connection.write(text('patience'), peer.nowMs);
    for (let i = 0; i < 20; i++) {
      expect(peer.wait(61_000).length).toBeGreaterThanOrEqual(1);
      peer.send({ acknowledgment: 1, window: 0 });
    }
    const [data] = peer.send({ acknowledgment: 1, window: 100 }) as [RawSegment];
    expect(data.payload).toEqual(text('patience'));
  });

  it('gives up a closed window whose probes nobody answers', () => {
    const peer = new RawPeer();
    peer.establish(undefined, 0).write(text('hello?'), peer.nowMs);
    peer.wait(400_000);
    expect(peer.events.at(-1)).toMatchObject({ kind: 'tcp-closed', reason: 'timeout' });
  });

  it('keeps a silent connection for ever without keepalive, and ends it after five probes with it', () => {
    const peer = new RawPeer();
    const connection = peer.establish();
    expect(peer.wait(10_000_000)).toEqual([]);
    connection.setKeepAlive(true, peer.nowMs);
    const probes = peer.wait(200_000);
    expect(probes.map(({ atMs }) => atMs)).toEqual([60_000, 75_000, 90_000, 105_000, 120_000, 135_000]);
    expect(probes.map(({ segment }) => [segment.sequence, segment.flags])).toEqual([
      ...new Array(5).fill([0, 'A']),
      [1, 'RA'],
    ]);
  });

  it('starts the minute anew whenever the peer says something', () => {
    const peer = new RawPeer();
    peer.establish().setKeepAlive(true, peer.nowMs);
    peer.wait(50_000);
    peer.send({ acknowledgment: 1 });
    expect(peer.wait(59_000)).toEqual([]);
    expect(peer.wait(2000)).toHaveLength(1);
  });

  it('answers a keepalive probe', () => {
    const peer = new RawPeer();
    peer.establish();
    expect(flags(peer.send({ sequence: 0, acknowledgment: 1 }))).toEqual(['A']);
  });

  it('does not fall into a ping-pong of challenge acknowledgments', () => {
    const peer = new RawPeer();
    peer.establish();
    let answers = 0;
    for (let i = 0; i < 100; i++) answers += peer.send({ sequence: 0x7000, acknowledgment: 900 }).length;
    expect(answers).toBe(1);
    peer.nowMs += 501;
    expect(peer.send({ acknowledgment: 900 })).toHaveLength(1);
  });
});

function flags(segments: readonly RawSegment[]): string[] {
  return segments.map((segment) => segment.flags);
}

function use(connection: TcpConnection, nowMs: number): void {
  connection.accept(nowMs);
  connection.reject(nowMs);
  connection.shutdown(nowMs);
  connection.abort(nowMs);
  connection.setNoDelay(true);
  connection.setKeepAlive(true, nowMs);
  expect([connection.write(text('x'), nowMs), connection.read(new Uint8Array(1), nowMs)]).toEqual([0, 0]);
  expect([connection.readableBytes, connection.writableBytes]).toEqual([0, 0]);
}

/** A stack in SYN-SENT towards the peer's port 80; `reply` builds the peer's segments, `ack` relative to its ISN. */
function connecting() {
  const peer = new RawPeer();
  peer.connection = peer.stack.connectTcp({ local: undefined, remote: LEFT_IPV4, port: 80 }, peer.nowMs);
  const [syn] = peer.drain().map(readPacket) as [RawSegment];
  const reply = (flagLetters: string, acknowledgment: number): Uint8Array =>
    buildPacket({
      sourcePort: 80,
      destinationPort: syn.sourcePort,
      sequence: 5000,
      acknowledgment: flagLetters.includes('A') ? (syn.sequence + acknowledgment) >>> 0 : 0,
      flags: flagLetters,
      window: 1000,
      options: [],
      payload: new Uint8Array(0),
    });
  return { peer, reply, isn: syn.sequence };
}

function inTimeWait(): RawPeer {
  const peer = new RawPeer();
  peer.establish().shutdown(peer.nowMs);
  peer.answers();
  peer.send({ flags: 'FA', acknowledgment: 2 });
  expect(peer.events.at(-1)?.kind).toBe('tcp-closed');
  return peer;
}

function synPacket(sourcePort: number): Uint8Array {
  return buildPacket({
    sourcePort,
    destinationPort: 80,
    sequence: 1,
    acknowledgment: 0,
    flags: 'S',
    window: 1000,
    options: [],
    payload: new Uint8Array(0),
  });
}

/** The packet from another source address, its checksums adjusted (RFC 1624). */
function withSource(packet: Uint8Array, source: readonly number[]): Uint8Array {
  const view = new DataView(packet.buffer);
  for (const at of [10, 36]) {
    let sum = ~view.getUint16(at) & 0xffff;
    for (let i = 0; i < 4; i += 2) {
      sum += (~view.getUint16(12 + i) & 0xffff) + (((source[i] as number) << 8) | (source[i + 1] as number));
    }
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
    view.setUint16(at, ~sum & 0xffff);
  }
  packet.set(source, 12);
  return packet;
}
