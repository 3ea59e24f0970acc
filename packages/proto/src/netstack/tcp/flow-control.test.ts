import { describe, expect, it } from 'vitest';
import { RawPeer, type RawSegment, text } from '../../../test/raw-tcp.ts';

describe('sending', () => {
  it("never sends beyond the peer's window", () => {
    const peer = new RawPeer();
    peer.establish(undefined, 5000 & ~127).write(new Uint8Array(50_000), peer.nowMs);
    const sent = peer.answers().reduce((sum, segment) => sum + segment.payload.length, 0);
    expect(sent).toBeLessThanOrEqual(5000);
    expect(sent).toBeGreaterThanOrEqual(3 * 1228);
  });

  it('holds a small segment back while another is unacknowledged (Nagle), unless told otherwise', () => {
    const peer = new RawPeer();
    const connection = peer.establish();
    connection.write(text('a'), peer.nowMs);
    expect(payloads(peer.answers())).toEqual(['a']);
    connection.write(text('b'), peer.nowMs);
    connection.write(text('c'), peer.nowMs);
    expect(payloads(peer.answers())).toEqual([]);
    expect(payloads(peer.send({ acknowledgment: 2 }))).toEqual(['bc']);
    connection.setNoDelay(true);
    connection.write(text('d'), peer.nowMs);
    expect(payloads(peer.answers())).toEqual(['d']);
  });

  it('sends a small segment behind full ones at once (Minshall)', () => {
    const peer = new RawPeer();
    peer.establish().write(new Uint8Array(1228 + 10), peer.nowMs);
    expect(peer.answers().map((segment) => segment.payload.length)).toEqual([1228, 10]);
  });

  it('sends what it held back together with the FIN', () => {
    const peer = new RawPeer();
    const connection = peer.establish();
    connection.write(text('a'), peer.nowMs);
    peer.answers();
    connection.write(text('b'), peer.nowMs);
    connection.shutdown(peer.nowMs);
    expect(peer.answers().map((segment) => segment.flags)).toEqual(['FPA']);
  });

  it('waits for half the window before it uses a small one, but not for ever', () => {
    const peer = new RawPeer();
    const connection = peer.establish(undefined, 8 * 128);
    connection.write(new Uint8Array(4000), peer.nowMs);
    expect(peer.answers().map((segment) => segment.payload.length)).toEqual([1024]);
    expect(peer.send({ acknowledgment: 1025, window: 1 })).toEqual([]);
    const late = peer.wait(1100);
    expect(late[0]?.segment.payload.length).toBe(128);
    expect(late[0]?.atMs).toBeGreaterThanOrEqual(200);
  });

  it('takes writes up to a bound, and tells when there is room after a short one', () => {
    const peer = new RawPeer();
    const connection = peer.establish();
    const taken = connection.write(new Uint8Array(10_000_000), peer.nowMs);
    expect(taken).toBe(256 * 1024);
    expect(connection.writableBytes).toBe(0);
    let acknowledged = 1;
    for (let sent = peer.answers(); !peer.takeEvents().includes('tcp-writable'); ) {
      expect(sent.length).toBeGreaterThan(0);
      acknowledged += sent.reduce((sum, segment) => sum + segment.payload.length, 0);
      peer.nowMs += 10;
      sent = peer.send({ acknowledgment: acknowledged, window: 60_000 });
    }
    expect(connection.writableBytes).toBeGreaterThan(64 * 1024);
  });

  it('starts with ten segments and doubles each round trip', () => {
    const peer = new RawPeer();
    const connection = peer.establish(undefined, 65_535);
    connection.write(new Uint8Array(200_000), peer.nowMs);
    let acknowledged = 1;
    const rounds: number[] = [];
    for (let round = 0; round < 3; round++) {
      const sent = round === 0 ? peer.answers() : peer.send({ acknowledgment: acknowledged, window: 60_000 });
      rounds.push(sent.length);
      acknowledged += sent.reduce((sum, segment) => sum + segment.payload.length, 0);
      peer.nowMs += 10;
    }
    expect(rounds).toEqual([10, 20, 40]);
  });

  it('sends no more than ten segments after a pause longer than the timeout', () => {
    const peer = new RawPeer();
    const connection = peer.establish();
    connection.write(new Uint8Array(100 * 1228), peer.nowMs);
    let acknowledged = 1;
    for (let sent = peer.answers(); sent.length > 0; ) {
      acknowledged += sent.reduce((sum, segment) => sum + segment.payload.length, 0);
      peer.nowMs += 10;
      sent = peer.send({ acknowledgment: acknowledged, window: 60_000 });
    }
    peer.wait(5000);
    connection.write(new Uint8Array(100 * 1228), peer.nowMs);
    expect(peer.answers()).toHaveLength(10);
  });

  it('accepts an old acknowledgment quietly and takes the text with it', () => {
    const peer = new RawPeer();
    const connection = peer.establish();
    connection.write(text('abc'), peer.nowMs);
    peer.answers();
    peer.send({ acknowledgment: 4 });
    peer.send({ acknowledgment: 2, payload: text('text') });
    expect(connection.readableBytes).toBe(4);
  });
});

describe('receiving', () => {
  it('acknowledges every second full segment, others after 40 ms', () => {
    const peer = new RawPeer();
    const connection = peer.establish();
    let sequence = 1;
    const send = (): number => {
      const answers = peer.send({ acknowledgment: 1, sequence, payload: new Uint8Array(1228) });
      sequence += 1228;
      connection.read(new Uint8Array(1228), peer.nowMs);
      return answers.length;
    };
    for (let i = 0; i < 16; i++) send();
    expect([send(), send(), send(), send()]).toEqual([0, 1, 0, 1]);
    expect(send()).toBe(0);
    expect(peer.wait(50).map(({ atMs }) => atMs)).toEqual([40]);
  });

  it('acknowledges at once when a gap is filled', () => {
    const peer = new RawPeer();
    peer.establish();
    for (let i = 0; i < 20; i++) peer.send({ acknowledgment: 1, sequence: 1 + i * 10, payload: new Uint8Array(10) });
    peer.wait(50);
    expect(peer.send({ acknowledgment: 1, sequence: 211, payload: new Uint8Array(10) })).toHaveLength(1);
    const [answer] = peer.send({ acknowledgment: 1, sequence: 201, payload: new Uint8Array(10) }) as [RawSegment];
    expect(answer.acknowledgment).toBe(221);
  });

  it('puts segments together from any order, overlap and repetition', () => {
    const peer = new RawPeer();
    const connection = peer.establish();
    const all = Uint8Array.from({ length: 3000 }, (_, i) => i & 255);
    for (const [from, to] of [
      [1000, 2000],
      [2500, 3000],
      [1500, 2600],
      [0, 10],
      [5, 400],
      [300, 1100],
      [0, 1800],
    ] as const) {
      peer.send({ acknowledgment: 1, sequence: 1 + from, payload: all.subarray(from, to) });
    }
    const out = new Uint8Array(4000);
    expect(connection.read(out, peer.nowMs)).toBe(3000);
    expect(out.subarray(0, 3000)).toEqual(all);
  });

  it('does not take text beyond the window it has offered', () => {
    const peer = new RawPeer();
    const connection = peer.establish();
    for (let sequence = 1; sequence < 65_000; sequence += 1000) {
      peer.send({ acknowledgment: 1, sequence, payload: new Uint8Array(1000) });
    }
    peer.send({ acknowledgment: 1, sequence: 65_001, payload: new Uint8Array(1000) });
    expect(connection.readableBytes).toBe(65_535);
    peer.send({ acknowledgment: 1, sequence: 65_001 + 70_000, payload: new Uint8Array(100) });
    expect(peer.stack.counters.count('tcp-out-of-window')).toBe(1);
  });

  it('tells of a window that reading has opened, when it is worth a packet', () => {
    const peer = new RawPeer();
    const connection = peer.establish();
    for (let sequence = 1; sequence < 65_536; sequence += 1000) {
      peer.send({ acknowledgment: 1, sequence, payload: new Uint8Array(Math.min(1000, 65_536 - sequence)) });
    }
    expect(connection.read(new Uint8Array(100), peer.nowMs)).toBe(100);
    expect(peer.answers()).toEqual([]);
    connection.read(new Uint8Array(10_000), peer.nowMs);
    const [update] = peer.answers() as [RawSegment];
    expect(update.window << 7).toBeGreaterThan(9000);
  });

  it('grows the window for a reader that keeps up, to 4 MiB at most, and never takes a byte of it back', () => {
    const peer = new RawPeer();
    const connection = peer.establish();
    const out = new Uint8Array(0x100000);
    let sequence = 1;
    let edge = 0;
    let highest = 0;
    for (let round = 0; round < 14; round++) {
      const answers: RawSegment[] = [];
      for (let sent = 0; sent < Math.min(edge || 60_000, 2_500_000); sent += 1228, sequence += 1228) {
        answers.push(...peer.send({ acknowledgment: 1, sequence, payload: new Uint8Array(1228) }));
        connection.read(out, peer.nowMs);
      }
      peer.nowMs += 5;
      for (const answer of answers) {
        const right = answer.acknowledgment + (answer.window << 7);
        // Rounding to the window scale may hide less than 128 bytes.
        expect(right).toBeGreaterThan(highest - 128);
        highest = Math.max(highest, right);
        edge = answer.window << 7;
      }
    }
    expect(edge).toBeGreaterThan(0x200000);
    expect(edge).toBeLessThanOrEqual(0x400000);
  });

  it('gives large buffers back after ten seconds of silence, and goes on as before', () => {
    const peer = new RawPeer();
    const connection = peer.establish();
    const fill = (from: number): void => {
      for (let sequence = from; sequence < from + 65_000; sequence += 1000) {
        peer.send({ acknowledgment: 1, sequence, payload: new Uint8Array(1000).fill(sequence / 1000) });
      }
    };
    const out = new Uint8Array(65_000);
    fill(1);
    expect(connection.read(out, peer.nowMs)).toBe(65_000);
    peer.wait(9000);
    expect(peer.stack.pollTimeout()).toBeDefined();
    peer.wait(2000);
    expect(peer.stack.pollTimeout()).toBeUndefined();
    fill(65_001);
    expect(connection.read(out, peer.nowMs)).toBe(65_000);
    expect([out[0], out.at(-1)]).toEqual([65, 129]);
    connection.write(text('still here'), peer.nowMs);
    expect(payloads(peer.answers())).toEqual(['still here']);
  });

  it('keeps the window small for an application that does not read', () => {
    const peer = new RawPeer();
    peer.establish();
    const answers = peer.send({ acknowledgment: 1, payload: new Uint8Array(1000) });
    expect((answers[0]?.window ?? 0) << 7).toBeLessThanOrEqual(65_536);
  });
});

function payloads(segments: readonly RawSegment[]): string[] {
  return segments.map((segment) => new TextDecoder().decode(segment.payload));
}
