import { describe, expect, it } from 'vitest';
import { isSameTuple, parseLoopbackTuple, reverseTuple, unmapAddress } from './tcp-end.ts';

const end = (address: string, port = 3030) => ({ address, port });
const bytesOf = (address: string): unknown => parseLoopbackTuple(end(address), end(address))?.from.address;

describe('a tuple of a connection within the machine', () => {
  it('is made of loopback addresses alone', () => {
    expect(bytesOf('127.0.0.1')).toEqual(Uint8Array.of(127, 0, 0, 1));
    expect(bytesOf('127.255.3.254')).toEqual(Uint8Array.of(127, 255, 3, 254));
    expect(bytesOf('::ffff:127.0.0.2')).toEqual(Uint8Array.of(127, 0, 0, 2));
    expect(bytesOf('::1')).toEqual(Uint8Array.of(...new Array(15).fill(0), 1));
    for (const address of ['10.0.0.1', '128.0.0.1', '0.0.0.0', '1127.0.0.1', '127.0.0.1.5', '127.0.0.256', '127.0.1']) {
      expect(bytesOf(address), address).toBeUndefined();
    }
    for (const address of ['::', '::2', 'fe80::1', '::ffff:10.0.0.1', '::1%lo', 'localhost', '', '127.0.0.1\n']) {
      expect(bytesOf(address), address).toBeUndefined();
    }
  });

  it('is not made where one end alone is loopback, or the families differ', () => {
    expect(parseLoopbackTuple(end('127.0.0.1'), end('192.0.2.1'))).toBeUndefined();
    expect(parseLoopbackTuple(end('192.0.2.1'), end('127.0.0.1'))).toBeUndefined();
    expect(parseLoopbackTuple(end('127.0.0.1'), end('::1'))).toBeUndefined();
    expect(parseLoopbackTuple(end('::ffff:127.0.0.1'), end('127.0.0.1'))).toBeDefined();
  });

  it.each([0, -1, 65536, 1.5, Number.NaN])('is not made with the port %d', (port) => {
    expect(parseLoopbackTuple(end('::1', port), end('::1'))).toBeUndefined();
    expect(parseLoopbackTuple(end('::1'), end('::1', port))).toBeUndefined();
  });

  it('is another one in the other direction, and with any part changed', () => {
    const tuple = parseLoopbackTuple(end('127.0.0.1', 1), end('127.0.0.2', 2))!;
    const same = parseLoopbackTuple(end('127.0.0.1', 1), end('127.0.0.2', 2))!;
    expect(isSameTuple(tuple, same)).toBe(true);
    expect(isSameTuple(tuple, reverseTuple(tuple))).toBe(false);
    expect(reverseTuple(reverseTuple(tuple))).toEqual(tuple);
    for (const [from, to] of [
      [end('127.0.0.3', 1), end('127.0.0.2', 2)],
      [end('127.0.0.1', 3), end('127.0.0.2', 2)],
      [end('127.0.0.1', 1), end('127.0.0.3', 2)],
      [end('127.0.0.1', 1), end('127.0.0.2', 3)],
      [end('::1', 1), end('::1', 2)],
    ] as const) {
      expect(isSameTuple(tuple, parseLoopbackTuple(from, to)!)).toBe(false);
    }
  });

  it('takes IPv4 out of IPv6, and nothing else', () => {
    const mapped = Uint8Array.of(...new Array(10).fill(0), 255, 255, 127, 0, 0, 1);
    expect(unmapAddress(mapped)).toEqual(Uint8Array.of(127, 0, 0, 1));
    for (const other of [mapped.slice(0, 15), mapped.with(0, 1), mapped.with(11, 254), mapped.slice(12)]) {
      expect(unmapAddress(other)).toBe(other);
    }
  });
});
