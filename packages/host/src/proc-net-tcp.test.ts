import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findProcTcpEnd } from './proc-net-tcp.ts';
import { parseLoopbackTuple, type TcpTuple } from './tcp-end.ts';

// As Linux 6.18 writes them: a listener, a client of user 1000, one that is closed, and the remains of another.
const TCP = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode                                                     
   0: 0100007F:8863 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3137197 1 00000000cd8563a8 100 0 0 10 0                   
   1: 0100007F:E230 0100007F:8863 01 00000000:00000000 00:00000000 00000000  1000        0 3137214 1 0000000001c4a2f1 20 0 0 10 -1                   
   2: 0100007F:E232 0100007F:8863 05 00000000:00000000 03:0000120E 00000000     0        0 0 3 00000000ad45f898                                      
   3: 0200007F:E230 0100007F:8863 06 00000000:00000000 03:0000120E 00000000     0        0 0 3 00000000ad45f898                                      
`;
const TCP6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000001000000:C79E 00000000000000000000000001000000:9743 01 00000000:00000000 00:00000000 00000000 65534        0 3139379 1 00000000e8930887 20 4 0 10 -1
   1: 0000000000000000FFFF00000100007F:A29E 0000000000000000FFFF00000100007F:8DBF 04 00000000:00000000 00:00000000 00000000  1000        0 3140355 1 00000000c6caff32 20 0 0 10 -1
`;

function tupleOf(address: string, from: number, to: number): TcpTuple {
  return parseLoopbackTuple({ address, port: from }, { address, port: to })!;
}

describe('a socket in the text of /proc', () => {
  it('is found by both its ends', () => {
    const found = findProcTcpEnd(TCP, tupleOf('127.0.0.1', 57904, 34915), 'plain');
    expect(found).toEqual({ state: 1, uid: 1000, inode: 3137214 });
    expect(findProcTcpEnd(TCP, tupleOf('127.0.0.1', 34915, 57904), 'plain')).toBeUndefined();
    expect(findProcTcpEnd(TCP, tupleOf('127.0.0.2', 57904, 34915), 'plain')).toBeUndefined();
    expect(findProcTcpEnd(TCP, tupleOf('127.0.0.1', 34915, 1), 'plain')).toBeUndefined();
  });

  it('is found over IPv6, and over IPv4 on a socket of IPv6', () => {
    const plain = findProcTcpEnd(TCP6, tupleOf('::1', 51102, 38723), 'plain');
    expect(plain).toEqual({ state: 1, uid: 65534, inode: 3139379 });
    const mapped = findProcTcpEnd(TCP6, tupleOf('127.0.0.1', 41630, 36287), 'mapped');
    expect(mapped).toEqual({ state: 4, uid: 1000, inode: 3140355 });
    expect(findProcTcpEnd(TCP6, tupleOf('127.0.0.1', 41630, 36287), 'plain')).toBeUndefined();
  });

  it('has inode 0 when nobody has it any more', () => {
    const found = findProcTcpEnd(TCP, tupleOf('127.0.0.1', 57906, 34915), 'plain');
    expect(found).toEqual({ state: 5, uid: 0, inode: 0 });
  });

  it('is not found when it is listed twice', () => {
    expect(findProcTcpEnd(TCP + TCP, tupleOf('127.0.0.1', 57904, 34915), 'plain')).toBeUndefined();
  });

  it('is not read from a line that is cut off or altered', () => {
    const tuple = tupleOf('127.0.0.1', 57904, 34915);
    const line = TCP.split('\n')[2]!;
    const inodeEnd = line.indexOf('3137214') + 7;
    for (let length = 0; length < line.length; length++) {
      expect(findProcTcpEnd(line.slice(0, length), tuple, 'plain')).toBeUndefined();
      const found = findProcTcpEnd(`${line.slice(0, length)}\n`, tuple, 'plain');
      if (length < inodeEnd - 6) expect(found).toBeUndefined();
    }
    for (const bad of [line.replace('1000 ', ' root'), line.replace(' 01 ', ' 1 '), line.replace('3137214', '-1')]) {
      expect(findProcTcpEnd(`${bad}\n`, tuple, 'plain')).toBeUndefined();
    }
  });

  it('is looked for in any text without an exception', () => {
    fc.assert(
      fc.property(fc.string(), fc.nat(TCP.length), (insert, at) => {
        const text = TCP.slice(0, at) + insert + TCP.slice(at);
        const found = findProcTcpEnd(text, tupleOf('127.0.0.1', 57904, 34915), 'plain');
        expect(found === undefined || typeof found.uid === 'number').toBe(true);
      }),
    );
  });
});
