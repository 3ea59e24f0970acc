import { describe, expect, it } from 'vitest';
import { RawPeer, type RawSegment, sackBlocks, text, timestamps } from '../../../test/raw-tcp.ts';

/*
 * What a Linux 6.18 kernel answers to the same segments (docs/spec/netstack.md#linux), asked of our stack. The kernel
 * was driven by hand-built segments through a TUN; these tests drive the stack in the same way.
 */
describe('the answers of a Linux kernel', () => {
  it('takes and acknowledges data that lacks the agreed timestamps', () => {
    const peer = new RawPeer();
    const connection = peer.establish();
    const answers = peer.send({ flags: 'PA', acknowledgment: 1, payload: text('hello'), options: [] });
    expect(summary(answers)).toEqual(['A 1 6']);
    expect(connection.readableBytes).toBe(5);
  });

  it('drops data with an older timestamp and acknowledges at once', () => {
    const peer = new RawPeer();
    const connection = peer.establish();
    const options = timestamps(500, 0);
    const answers = peer.send({ flags: 'PA', acknowledgment: 1, payload: text('stale'), options });
    expect(summary(answers)).toEqual(['A 1 1']);
    expect(connection.readableBytes).toBe(0);
    expect(peer.stack.counters.count('tcp-old-timestamp')).toBe(1);
  });

  it('answers a RST inside the window but not at RCV.NXT with a challenge ACK', () => {
    const peer = new RawPeer();
    peer.establish();
    expect(summary(peer.send({ flags: 'R', sequence: 100 }))).toEqual(['A 1 1']);
    expect(peer.takeEvents()).toEqual([]);
  });

  it('answers a SYN on an established connection with a challenge ACK', () => {
    const peer = new RawPeer();
    peer.establish();
    expect(summary(peer.send({ flags: 'S', sequence: 5000 }))).toEqual(['A 1 1']);
    expect(peer.takeEvents()).toEqual([]);
  });

  it('is reset by a RST at exactly RCV.NXT, even without timestamps', () => {
    const peer = new RawPeer();
    peer.establish();
    expect(peer.send({ flags: 'R', sequence: 1, options: [] })).toEqual([]);
    expect(peer.events).toMatchObject([{ kind: 'tcp-closed', reason: 'reset' }]);
  });

  it('reports data out of order as a SACK block, and the same again as a DSACK first', () => {
    const peer = new RawPeer();
    peer.establish();
    const ahead = { acknowledgment: 1, sequence: 11, payload: text('ahead') };
    const [first] = peer.send(ahead) as [RawSegment];
    expect(sackBlocks(first, 0x10000000)).toEqual([[11, 16]]);
    const [second] = peer.send(ahead) as [RawSegment];
    expect(second.options.slice(12, 16)).toEqual([1, 1, 5, 0x12]);
    expect(sackBlocks(second, 0x10000000)).toEqual([
      [11, 16],
      [11, 16],
    ]);
    expect(second.acknowledgment).toBe(1);
  });

  it('acknowledges the first small writes at once and a later one after 40 ms', () => {
    const peer = new RawPeer();
    peer.establish();
    let sequence = 1;
    const write = (): RawSegment[] => {
      const answers = peer.send({ flags: 'PA', acknowledgment: 1, sequence, payload: text('0123456789') });
      sequence += 10;
      return answers;
    };
    // The kernel stops after three, we after sixteen.
    for (let i = 0; i < 16; i++) expect(write()).toHaveLength(1);
    expect(write()).toEqual([]);
    expect(peer.wait(100).map(({ atMs }) => atMs)).toEqual([40]);
  });

  it('does not answer an empty segment at RCV.NXT while its window is closed', () => {
    const peer = peerWithClosedWindow();
    expect(peer.send({ acknowledgment: 1, sequence: 65_536 })).toEqual([]);
  });

  it('answers an empty segment one before RCV.NXT, and a byte beyond a closed window, which it does not take', () => {
    const peer = peerWithClosedWindow();
    const [toEmpty] = peer.send({ acknowledgment: 1, sequence: 65_535 }) as [RawSegment];
    expect([toEmpty.acknowledgment, toEmpty.window]).toEqual([65_536, 0]);
    peer.nowMs += 1000;
    const [toByte] = peer.send({ acknowledgment: 1, sequence: 65_536, payload: text('x') }) as [RawSegment];
    expect([toByte.acknowledgment, toByte.window]).toEqual([65_536, 0]);
    expect(peer.connection?.readableBytes).toBe(65_535);
  });

  it('probes a closed window with an empty segment at SND.UNA-1, after an RTO and then twice as long', () => {
    const peer = new RawPeer();
    const connection = peer.establish(undefined, 0);
    connection.write(text('waiting'), peer.nowMs);
    const probes = peer.wait(2000);
    expect(probes.map(({ segment }) => [segment.sequence, segment.payload.length])).toEqual([
      [0, 0],
      [0, 0],
      [0, 0],
    ]);
    const [first, second, third] = probes.map(({ atMs }) => atMs) as [number, number, number];
    expect(first).toBeGreaterThanOrEqual(200);
    expect(second - first).toBeCloseTo(2 * first);
    expect(third - second).toBeCloseTo(4 * first);
  });

  it('withholds the FIN while the window is closed, then sends it with the data in one segment', () => {
    const peer = new RawPeer();
    const connection = peer.establish(undefined, 0);
    connection.write(text('last words'), peer.nowMs);
    connection.shutdown(peer.nowMs);
    for (const { segment } of peer.wait(1000)) expect([segment.sequence, segment.flags]).toEqual([0, 'A']);
    const opened = peer.send({ acknowledgment: 1, window: 100 });
    expect(summary(opened)).toEqual(['FPA 1 1 "last words"']);
  });

  it('refuses a SYN to a closed port with RST and ACK, sequence 0', () => {
    const peer = new RawPeer();
    const answers = peer.send({ flags: 'S', sequence: 0, options: [] });
    expect(answers.map((answer) => [answer.flags, answer.acknowledgment])).toEqual([['RA', 1]]);
    // `sequence` is relative to an initial sequence that does not exist yet.
    expect(answers[0]?.sequence).toBe(0);
  });

  it('refuses a bare ACK to a closed port with a RST at its acknowledgment', () => {
    const peer = new RawPeer();
    const [answer] = peer.send({ flags: 'A', sequence: 77, acknowledgment: 4711, options: [] }) as [RawSegment];
    expect([answer.flags, answer.sequence]).toEqual(['R', 4711]);
  });

  it('never answers a RST', () => {
    const peer = new RawPeer();
    expect(peer.send({ flags: 'RA', acknowledgment: 4711, options: [] })).toEqual([]);
  });

  it('answers an acknowledgment of data it has not sent at once', () => {
    const peer = new RawPeer();
    peer.establish();
    expect(summary(peer.send({ acknowledgment: 500 }))).toEqual(['A 1 1']);
  });

  it('sends RST and ACK when it is aborted with unread data', () => {
    const peer = new RawPeer();
    const connection = peer.establish();
    peer.send({ flags: 'PA', acknowledgment: 1, payload: text('unread') });
    connection.abort(peer.nowMs);
    expect(summary(peer.answers())).toEqual(['RA 1 7']);
    expect(peer.events.at(-1)).toMatchObject({ kind: 'tcp-closed', reason: 'aborted' });
    expect(peer.stack.connectionCount).toBe(0);
  });

  it('closes cleanly with a FIN and sends it again until it is acknowledged', () => {
    const peer = new RawPeer();
    peer.establish().shutdown(peer.nowMs);
    const fins = peer.wait(900);
    expect(fins.length).toBeGreaterThanOrEqual(2);
    for (const { segment } of fins) expect([segment.flags, segment.sequence]).toEqual(['FA', 1]);
    peer.send({ acknowledgment: 2 });
    expect(peer.wait(5000)).toEqual([]);
  });
});

function summary(segments: readonly RawSegment[]): string[] {
  return segments.map(({ flags, sequence, acknowledgment, payload }) => {
    const data = payload.length > 0 ? ` "${new TextDecoder().decode(payload)}"` : '';
    return `${flags} ${sequence} ${acknowledgment}${data}`;
  });
}

/** The peer has filled the first window: RCV.NXT is 65,536 and the window closed. */
function peerWithClosedWindow(): RawPeer {
  const peer = new RawPeer();
  peer.establish();
  let sequence = 1;
  while (sequence < 65_536) {
    const length = Math.min(1000, 65_536 - sequence);
    peer.send({ acknowledgment: 1, sequence, payload: new Uint8Array(length) });
    sequence += length;
  }
  peer.nowMs += 1000;
  return peer;
}
