import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseLsofHolders } from './lsof-output.ts';

const server = { address: '127.0.0.1', port: 3030 };
const client = { address: '127.0.0.1', port: 50412 };
const BOTH = 'p412\nu0\nf19\nn127.0.0.1:3030->127.0.0.1:50412\np733\nu501\nf23\nn127.0.0.1:50412->127.0.0.1:3030\n';

describe('the output of lsof', () => {
  it('names the process and the user of each end', () => {
    expect(parseLsofHolders(BOTH, client, server)).toEqual([{ pid: 733, uid: 501 }]);
    expect(parseLsofHolders(BOTH, server, client)).toEqual([{ pid: 412, uid: 0 }]);
  });

  it('may leave the descriptors out, and has brackets around IPv6', () => {
    const text = 'p14046\nu65534\nn[::1]:51102->[::1]:38723\n';
    const holders = parseLsofHolders(text, { address: '::1', port: 51102 }, { address: '::1', port: 38723 });
    expect(holders).toEqual([{ pid: 14046, uid: 65534 }]);
  });

  it('names every process that has a socket open, as often as it has it', () => {
    const line = 'n127.0.0.1:50412->127.0.0.1:3030\n';
    const text = `p1\nu501\nf3\n${line}f4\n${line}p2\nu0\nf3\n${line}`;
    expect(parseLsofHolders(text, client, server).map(({ pid }) => pid)).toEqual([1, 1, 2]);
  });

  it('is of no use for a socket that is not exactly the one', () => {
    for (const line of [
      'n127.0.0.1:50412',
      'n127.0.0.1:50412->127.0.0.1:30300',
      'n127.0.0.1:50412->127.0.0.1:3030 (LISTEN)',
    ]) {
      expect(parseLsofHolders(`p1\nu501\n${line}\n`, client, server)).toEqual([]);
    }
    expect(parseLsofHolders('', client, server)).toEqual([]);
  });

  it('never lends a process the user of the one before', () => {
    const line = 'n127.0.0.1:50412->127.0.0.1:3030\n';
    expect(parseLsofHolders(`p1\nu0\np2\n${line}`, client, server)).toEqual([]);
    expect(parseLsofHolders(`p1\nu0\np2\nuroot\n${line}`, client, server)).toEqual([]);
    expect(parseLsofHolders(`u0\n${line}`, client, server)).toEqual([]);
    expect(parseLsofHolders(`p1x\nu0\n${line}`, client, server)).toEqual([]);
  });

  it('is parsed from any text without an exception', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('p1', 'u0', 'u501', 'f3', 'n127.0.0.1:50412->127.0.0.1:3030', 'p', '')),
        (lines) => {
          for (const { uid } of parseLsofHolders(lines.join('\n'), client, server)) expect([0, 501]).toContain(uid);
        },
      ),
    );
  });
});
