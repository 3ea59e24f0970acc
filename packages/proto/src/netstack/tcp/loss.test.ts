import { describe, expect, it } from 'vitest';
import { RawPeer, type RawSegment, sack, text, timestamps } from '../../../test/raw-tcp.ts';

const SEGMENT = 1228;

/** SACK blocks in terms of segment numbers, 0 the first: left edge, right edge. */
function blocks(peer: RawPeer, ...edges: number[]): number[] {
  return sack(...edges.map((edge) => (peer.remoteIsn + 1 + edge * SEGMENT) >>> 0));
}

function at(segment: number): number {
  return 1 + segment * SEGMENT;
}

/** Numbers of the segments sent, in order. */
function numbers(segments: readonly RawSegment[]): number[] {
  return segments.filter((s) => s.payload.length > 0).map((s) => (s.sequence - 1) / SEGMENT);
}

/** A peer to which ten segments have just been sent. */
function sending(options: { isTimed?: boolean; synOptions?: readonly number[] } = {}): RawPeer {
  const peer = new RawPeer(options);
  const connection = peer.establish(options.synOptions);
  connection.write(new Uint8Array(100 * SEGMENT), peer.nowMs);
  expect(numbers(peer.answers())).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  peer.nowMs += 10;
  return peer;
}

/** How often the first segment is among these. */
function resent(segments: readonly RawSegment[]): number {
  return segments.filter((segment) => segment.sequence === 1).length;
}

describe('loss recovery', () => {
  it('sends a missing segment again when three later ones have arrived, and none before', () => {
    const peer = sending();
    peer.send({ acknowledgment: 1, options: [...timestamps(peer.nowMs, 0), ...blocks(peer, 1, 2)] });
    peer.send({ acknowledgment: 1, options: [...timestamps(peer.nowMs, 0), ...blocks(peer, 1, 3)] });
    const third = peer.send({ acknowledgment: 1, options: [...timestamps(peer.nowMs, 0), ...blocks(peer, 1, 4)] });
    expect(numbers(third)[0]).toBe(0);
    expect(third.filter((segment) => segment.sequence === 1)).toHaveLength(1);
  });

  it('sends a missing segment again a quarter round trip after one later segment has arrived', () => {
    const peer = sending();
    const one = peer.send({ acknowledgment: 1, options: [...timestamps(peer.nowMs, 0), ...blocks(peer, 1, 2)] });
    expect(numbers(one)).not.toContain(0);
    const later = peer.wait(10);
    expect(later.map(({ atMs, segment }) => [atMs, segment.sequence])).toContainEqual([2.5, 1]);
  });

  it('fills several holes, each once, in order', () => {
    const peer = sending();
    const options = [...timestamps(peer.nowMs, 0), ...blocks(peer, 1, 3, 4, 6, 7, 10)];
    const sent = numbers(peer.send({ acknowledgment: 1, options }));
    expect(sent.filter((n) => n < 10)).toEqual([0, 3, 6]);
    expect(numbers(peer.wait(15).map(({ segment }) => segment)).filter((n) => n < 10)).toEqual([]);
  });

  it('shrinks the window once per loss event to seven tenths', () => {
    const peer = sending();
    const echo = peer.nowMs;
    peer.send({ acknowledgment: 1, options: [...timestamps(echo, 0), ...blocks(peer, 1, 10)] });
    peer.nowMs += 10;
    const sent = peer.send({ acknowledgment: at(10) });
    // What is in flight and what now goes out make seven segments.
    const highest = Math.max(...numbers(sent));
    expect(highest - 9).toBeLessThanOrEqual(7);
  });

  it('detects that a retransmission was lost too', () => {
    const peer = sending();
    const first = peer.send({ acknowledgment: 1, options: [...timestamps(peer.nowMs, 0), ...blocks(peer, 1, 10)] });
    expect(numbers(first)[0]).toBe(0);
    peer.nowMs += 12;
    const newest = Math.max(...numbers(first)) + 1;
    const options = [...timestamps(peer.nowMs, 0), ...blocks(peer, 1, newest)];
    expect(numbers([...peer.send({ acknowledgment: 1, options }), ...peer.wait(20).map((s) => s.segment)])).toContain(
      0,
    );
  });

  it('works without SACK by counting duplicates', () => {
    const synOptions = [2, 4, 0x04, 0xcc];
    const peer = sending({ isTimed: false, synOptions });
    const duplicate = { acknowledgment: 1, window: 65_535, options: [] };
    expect(resent(peer.send(duplicate))).toBe(0);
    expect(resent(peer.send(duplicate))).toBe(0);
    expect(resent(peer.send(duplicate))).toBe(1);
    expect(resent(peer.send(duplicate))).toBe(0);
    // A partial acknowledgment shows the next hole (RFC 6582); it is filled as the reduced window allows.
    const partial = { ...duplicate, acknowledgment: at(4) };
    const sent = [...peer.send(partial), ...peer.send(partial)];
    expect(numbers(sent)).toContain(4);
  });

  it('probes the tail before the retransmission timer when the last segments are lost', () => {
    const peer = sending();
    peer.send({ acknowledgment: at(9) });
    const connection = peer.connection;
    expect(connection).toBeDefined();
    const quiet = new RawPeer();
    const small = quiet.establish();
    small.write(new Uint8Array(2 * SEGMENT), quiet.nowMs);
    quiet.answers();
    const [probe] = quiet.wait(150);
    expect([probe?.atMs, probe?.segment.sequence]).toEqual([20, at(1)]);
  });

  it('doubles the retransmission timeout and sends one segment each time', () => {
    const peer = new RawPeer();
    peer.establish().write(text('x'), peer.nowMs);
    const sent = peer.wait(20_000).map(({ atMs }) => atMs);
    const gaps = sent.slice(2).map((time, i) => time - (sent[i + 1] as number));
    for (const [i, gap] of gaps.entries()) if (i > 0) expect(gap).toBeCloseTo(2 * (gaps[i - 1] as number));
  });

  it('goes on in slow start after a timeout, and does not resend what a block reports', () => {
    const peer = sending();
    peer.wait(1000);
    const options = [...timestamps(peer.nowMs, 0), ...blocks(peer, 2, 10)];
    // One acknowledged segment makes a window of two: the hole, and one new segment.
    expect(numbers(peer.send({ acknowledgment: at(1), options }))).toEqual([1, 10]);
  });

  it('restores the window when every retransmission is reported as a duplicate', () => {
    const peer = sending();
    const now = () => timestamps(peer.nowMs, 0);
    peer.send({ acknowledgment: 1, options: [...now(), ...blocks(peer, 1, 4)] });
    peer.nowMs += 5;
    // The late original, then the needless retransmission as DSACK: the timestamp echo is kept neutral (0).
    peer.send({ acknowledgment: at(4), options: now() });
    const sent = peer.send({ acknowledgment: at(10), options: [...now(), ...blocks(peer, 0, 1)] });
    expect(numbers(sent).length).toBeGreaterThanOrEqual(9);
  });

  it('forgets what was reported when the receiver drops it', () => {
    const peer = sending();
    peer.send({ acknowledgment: 1, options: [...timestamps(peer.nowMs, 0), ...blocks(peer, 1, 10)] });
    peer.nowMs += 20;
    // Everything up to the first reported segment is acknowledged, but that one is not: it was thrown away.
    peer.send({ acknowledgment: at(1) });
    const again = peer.wait(2000).map(({ segment }) => segment);
    expect(numbers(again)).toContain(1);
  });
});

describe('blocks that make no sense', () => {
  it('are ignored: beyond what was sent, reversed, or empty', () => {
    const peer = sending();
    for (const edges of [
      [20, 30],
      [5, 4],
      [3, 3],
    ]) {
      const answers = peer.send({
        acknowledgment: 1,
        options: [...timestamps(peer.nowMs, 0), ...blocks(peer, ...edges)],
      });
      expect(numbers(answers)).toEqual([]);
    }
    expect(numbers(peer.send({ acknowledgment: at(10) })).length).toBeGreaterThan(9);
  });
});
