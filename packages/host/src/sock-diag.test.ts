import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeDiagAnswer, encodeDiagRequest } from './sock-diag.ts';
import { parseLoopbackTuple, TCP_STATE, type TcpTuple } from './tcp-end.ts';

// Questions answered by Linux 6.18 for clients of user 65534 with number 7; `ss -tne` shows the same user and inode.
const RECORDED = [
  {
    title: 'a client over IPv4',
    tuple: tupleOf('127.0.0.1', 57904, 34915),
    request:
      '4800000014000100070000000000000002060000ffffffffe23088637f0000010000000000000000000000007f00000100000000000000000000000000000000ffffffffffffffff',
    answer:
      '7c0000001400000007000000bf36000002010000e23088637f0000010000000000000000000000007f000001000000000000000000000000000000006e00000000000000000000000000000000000000feff0000bede2f00050008000000000008000f00000000000c00150001000000000000000600160052000000',
    inode: 3137214,
  },
  {
    title: 'a client over IPv6',
    tuple: tupleOf('::1', 51102, 38723),
    request:
      '480000001400010007000000000000000a060000ffffffffc79e9743000000000000000000000000000000010000000000000000000000000000000100000000ffffffffffffffff',
    answer:
      '7c0000001400000007000000a5e1fdd00a010000c79e97430000000000000000000000000000000100000000000000000000000000000001000000007000000000000000000000000000000000000000feff000033e72f00050008000000000008000f00000000000c00150001000000000000000600160012000000',
    inode: 3139379,
  },
  {
    title: 'a client over IPv4 on a socket of IPv6',
    tuple: tupleOf('127.0.0.1', 41630, 36287),
    request:
      '4800000014000100070000000000000002060000ffffffffa29e8dbf7f0000010000000000000000000000007f00000100000000000000000000000000000000ffffffffffffffff',
    answer:
      '7c00000014000000070000000d3631c30a010000a29e8dbf00000000000000000000ffff7f00000100000000000000000000ffff7f000001000000007200000000000000000000000000000000000000feff000003eb2f00050008000000000008000f00000000000c00150001000000000000000600160012000000',
    inode: 3140355,
  },
] as const;

function tupleOf(address: string, from: number, to: number): TcpTuple {
  return parseLoopbackTuple({ address, port: from }, { address, port: to })!;
}

const bytesOf = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'));
const first = RECORDED[0];

describe('the question for a socket', () => {
  it.each(RECORDED)('is the bytes the kernel answered for $title', ({ tuple, request }) => {
    expect(Buffer.from(encodeDiagRequest(tuple, 7)).toString('hex')).toBe(request);
  });
});

describe('the answer', () => {
  it.each(RECORDED)('describes $title', ({ tuple, answer, inode }) => {
    expect(decodeDiagAnswer(bytesOf(answer), tuple, 7)).toEqual({ state: TCP_STATE.established, uid: 65534, inode });
  });

  it('counts only for the question', () => {
    const answer = bytesOf(first.answer);
    expect(decodeDiagAnswer(answer, first.tuple, 8)).toBe('other-request');
    expect(decodeDiagAnswer(answer, { from: first.tuple.to, to: first.tuple.from }, 7)).toBe('other-socket');
    for (const other of [
      tupleOf('127.0.0.1', 57905, 34915),
      tupleOf('127.0.0.1', 57904, 34916),
      tupleOf('127.0.0.2', 57904, 34915),
      tupleOf('::1', 57904, 34915),
    ]) {
      expect(decodeDiagAnswer(answer, other, 7)).toBe('other-socket');
    }
  });

  it('is not the socket that listens where there is no such connection', () => {
    const listener = bytesOf(first.answer);
    const BODY = 16;
    listener[BODY + 1] = 10; // TCP_LISTEN, whose peer is 0.0.0.0 port 0
    listener.fill(0, BODY + 6, BODY + 8).fill(0, BODY + 24, BODY + 28);
    expect(decodeDiagAnswer(listener, first.tuple, 7)).toBe('other-socket');
  });

  it('may be that there is no socket, or an error', () => {
    const failure = (errno: number) =>
      bytesOf(
        `24000000020000000700000000000000${Buffer.from(Int32Array.of(-errno).buffer).toString('hex')}${'00'.repeat(16)}`,
      );
    expect(decodeDiagAnswer(failure(2), first.tuple, 7)).toBe('absent');
    expect(decodeDiagAnswer(failure(1), first.tuple, 7)).toBe('refused');
    expect(decodeDiagAnswer(failure(0), first.tuple, 7)).toBe('refused');
    expect(decodeDiagAnswer(bytesOf('10000000020000000700000000000000'), first.tuple, 7)).toBe('malformed');
  });

  it('is malformed at every length short of its fixed part, and with another message beside it', () => {
    const answer = bytesOf(first.answer);
    for (let length = 0; length < answer.length; length++) {
      expect(decodeDiagAnswer(answer.subarray(0, length), first.tuple, 7)).toBe('malformed');
    }
    for (let length = 16; length < 16 + 72; length++) {
      const short = answer.slice(0, length);
      new DataView(short.buffer).setUint32(0, length, true);
      expect(decodeDiagAnswer(short, first.tuple, 7)).toBe('malformed');
    }
    expect(decodeDiagAnswer(Uint8Array.of(...answer, ...answer), first.tuple, 7)).toBe('malformed');
    expect(decodeDiagAnswer(answer.with(4, 3), first.tuple, 7)).toBe('malformed');
    expect(decodeDiagAnswer(answer.with(16, 1), first.tuple, 7)).toBe('malformed');
  });

  it('is decoded from any bytes without an exception, and never believed', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(decodeDiagAnswer(bytes, first.tuple, 7)).toBeTypeOf('string');
      }),
    );
    fc.assert(
      fc.property(fc.nat(15 + 56), fc.nat(254), (at, change) => {
        const answer = bytesOf(first.answer);
        answer[at] = ((answer[at] ?? 0) + 1 + change) & 0xff;
        const decoded = decodeDiagAnswer(answer, first.tuple, 7);
        if (typeof decoded !== 'string') expect(decoded).toMatchObject({ uid: 65534, inode: first.inode });
      }),
    );
  });
});
