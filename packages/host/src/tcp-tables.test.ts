import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { encodeMessage } from './netlink/message.ts';
import { encodeDiagRequest } from './sock-diag.ts';
import { parseLoopbackTuple, type TcpEnd } from './tcp-end.ts';
import { type DiagSocket, openDiagTable, openProcTable } from './tcp-tables.ts';

const CLIENT = parseLoopbackTuple({ address: '127.0.0.1', port: 50412 }, { address: '127.0.0.1', port: 3030 })!;
const CLIENT6 = parseLoopbackTuple({ address: '::1', port: 50412 }, { address: '::1', port: 3030 })!;
const KERNEL = [16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/** The socket of the question, established, of user 1000 with inode 11. */
function answerFor(sequence: number): Uint8Array {
  const request = encodeDiagRequest(CLIENT, 0).subarray(16);
  const body = new Uint8Array(72);
  body.set([2, 1, 0, 0]);
  body.set(request.subarray(8, 56), 4);
  body.set(new Uint8Array(Uint32Array.of(1000, 11).buffer), 64);
  return encodeMessage({ type: 20, flags: 0, sequence, port: 4711 }, [body]);
}

function openAnswering(sender: readonly number[], datagram: Uint8Array): DiagSocket {
  return {
    sendTo: () => {},
    receive: (buffer) => {
      buffer.set(datagram.subarray(0, buffer.length));
      return { lengthBytes: datagram.length, sender: Uint8Array.from(sender) };
    },
    close: () => {},
  };
}

describe('an answer of SOCK_DIAG', () => {
  const ask = (sender: readonly number[], datagram: Uint8Array): TcpEnd | undefined =>
    openDiagTable(() => openAnswering(sender, datagram)).find(CLIENT);

  it('counts from the kernel alone', () => {
    expect(ask(KERNEL, answerFor(1))).toEqual({ state: 1, uid: 1000, inode: 11 });
    for (const at of [4, 5, 6, 7]) expect(ask(KERNEL.with(at, 1), answerFor(1))).toBeUndefined();
    expect(ask(KERNEL.with(0, 1), answerFor(1))).toBeUndefined();
    expect(ask(KERNEL.slice(0, 8), answerFor(1))).toBeUndefined();
    expect(ask([], answerFor(1))).toBeUndefined();
  });

  it('counts for the last question alone', () => {
    expect(ask(KERNEL, answerFor(2))).toBeUndefined();
    const table = openDiagTable(() => openAnswering(KERNEL, answerFor(1)));
    expect(table.find(CLIENT)).toBeDefined();
    expect(table.find(CLIENT)).toBeUndefined();
  });

  it('is none when it does not fit, or the socket fails', () => {
    expect(ask(KERNEL, new Uint8Array(10_000))).toBeUndefined();
    const socket = openAnswering(KERNEL, answerFor(1));
    const fail = () => {
      throw new Error('EAGAIN');
    };
    expect(openDiagTable(() => ({ ...socket, receive: fail })).find(CLIENT)).toBeUndefined();
    expect(openDiagTable(() => ({ ...socket, sendTo: fail })).find(CLIENT)).toBeUndefined();
  });
});

describe('the text below /proc', () => {
  const rest = '00000000:00000000 00:00000000 00000000  1000        0 11 1 0000000001c4a2f1 20 0 0 10 -1';
  const plain = `   0: 0100007F:C4EC 0100007F:0BD6 01 ${rest}\n`;
  const mapped = `   0: 0000000000000000FFFF00000100007F:C4EC 0000000000000000FFFF00000100007F:0BD6 01 ${rest}\n`;
  const ipv6 = `   0: 00000000000000000000000001000000:C4EC 00000000000000000000000001000000:0BD6 01 ${rest}\n`;
  const found = { state: 1, uid: 1000, inode: 11 };

  function withFiles(files: Readonly<Record<string, string>>, check: (folder: string) => void): void {
    const folder = mkdtempSync(join(tmpdir(), 'heddle-proc-'));
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    try {
      check(folder);
    } finally {
      rmSync(folder, { recursive: true });
    }
  }

  it('is read of both families', () => {
    withFiles({ tcp: plain, tcp6: ipv6 }, (folder) => {
      expect(openProcTable(folder).find(CLIENT)).toEqual(found);
      expect(openProcTable(folder).find(CLIENT6)).toEqual(found);
    });
    withFiles({ tcp6: mapped }, (folder) => {
      expect(openProcTable(folder).find(CLIENT)).toEqual(found);
      expect(openProcTable(folder).find(CLIENT6)).toBeUndefined();
    });
  });

  it('may be missing, or too long to be believed', () => {
    withFiles({}, (folder) => expect(openProcTable(folder).find(CLIENT)).toBeUndefined());
    withFiles({ tcp: plain + ' '.repeat(16 * 1024 * 1024) }, (folder) => {
      expect(openProcTable(folder).find(CLIENT)).toBeUndefined();
    });
  });
});
