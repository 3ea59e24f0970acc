import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { encodeMessage } from './message.ts';
import { Netlink } from './netlink.ts';
import { NetlinkError } from './netlink-error.ts';
import type { NetlinkSocket } from './route-socket.ts';

const FROM_KERNEL = Uint8Array.of(16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
const FROM_PROCESS = Uint8Array.of(16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0);
const DONE = { type: 3, flags: 2, body: [0, 0, 0, 0] };
const ADDRESS = { type: 0x14, flags: 2, body: [2, 8, 0, 254, 1, 0, 0, 0, 8, 0, 2, 0, 127, 0, 0, 1] };
const LOCALHOST = { linkIndex: 1, family: 4, address: '127.0.0.1', prefixBits: 8, scope: 'host', isTentative: false };

/** A family whose addresses are not ours. */
const PHONET = 35;

interface Message {
  readonly type: number;
  readonly flags: number;
  readonly body: readonly number[];
  /** Under the number of an earlier request. */
  readonly isLate?: true;
}
type Reply = Message | 'EAGAIN' | 'EBADF' | 'ENOBUFS';

/** A kernel that gives each socket the next list of replies; an empty queue repeats the last reply. */
class FakeKernel {
  readonly #answers: (readonly Reply[])[];
  sender = FROM_KERNEL;
  receiveCount = 0;
  openCount = 0;
  closeCount = 0;
  sendCount = 0;
  /** What the next requests fail with. */
  readonly sendFailures: string[] = [];

  constructor(...answers: (readonly Reply[])[]) {
    this.#answers = answers;
  }

  readonly open = (): NetlinkSocket => {
    this.openCount++;
    const replies = [...(this.#answers.shift() ?? [])];
    let sequence = 0;
    return {
      sendTo: (request) => {
        this.sendCount++;
        const code = this.sendFailures.shift();
        if (code !== undefined) throw Object.assign(new Error(code), { code });
        sequence = new DataView(request.buffer).getUint32(8, true);
      },
      receive: (buffer) => {
        this.receiveCount++;
        const reply = (replies.length > 1 ? replies.shift() : replies[0]) ?? 'EAGAIN';
        if (typeof reply === 'string') throw Object.assign(new Error(reply), { code: reply });
        const { body, type, flags, isLate } = reply;
        const header = { type, flags, sequence: isLate ? sequence - 1 : sequence, port: 0 };
        const datagram = encodeMessage(header, [Uint8Array.from(body)]);
        buffer.set(datagram.subarray(0, buffer.length));
        return { lengthBytes: datagram.length, sender: this.sender };
      },
      close: () => {
        this.closeCount++;
      },
    };
  };
}

function failureOf(call: () => unknown): unknown {
  try {
    return call();
  } catch (error) {
    return error;
  }
}

describe('a netlink socket', () => {
  it('asks for one list after the other on the same socket', () => {
    const kernel = new FakeKernel([ADDRESS, DONE, ADDRESS, ADDRESS, DONE]);
    const netlink = Netlink.open(kernel.open);
    expect([netlink.addresses(), netlink.addresses()]).toEqual([[LOCALHOST], [LOCALHOST, LOCALHOST]]);
    netlink.close();
    netlink.close();
    expect(kernel).toMatchObject({ openCount: 1, closeCount: 1 });
    expect(() => netlink.addresses()).toThrow(TypeError);
  });

  it.each<readonly [string, readonly Reply[]]>([
    ['an interrupted list', [ADDRESS, { ...ADDRESS, flags: 0x12 }]],
    ['a list that stops short', [ADDRESS, 'EAGAIN']],
  ])('asks anew, on another socket, after %s', (_, broken) => {
    const kernel = new FakeKernel(broken, broken, broken, [ADDRESS, DONE]);
    const netlink = Netlink.open(kernel.open);
    expect(netlink.addresses()).toEqual([LOCALHOST]);
    expect(kernel).toMatchObject({ openCount: 4, closeCount: 3 });
  });

  it('gives up after the third time, and can be asked again', () => {
    const broken: readonly Reply[] = [{ ...DONE, flags: 0x12 }];
    const kernel = new FakeKernel(broken, broken, broken, broken, [ADDRESS, DONE]);
    const netlink = Netlink.open(kernel.open);
    const failure = failureOf(() => netlink.addresses());
    expect(failure).toBeInstanceOf(NetlinkError);
    expect(failure).toMatchObject({ code: 'netlink/changing', isRetryable: true });
    expect(kernel).toMatchObject({ openCount: 4, closeCount: 4 });
    expect(netlink.addresses()).toEqual([LOCALHOST]);
  });

  it.each<readonly [string, readonly Reply[], string]>([
    ['a refusal', [{ type: 2, flags: 0, body: [0xff, 0xff, 0xff, 0xff] }], 'netlink/failed'],
    ['a broken socket', ['EBADF'], 'netlink/failed'],
    ['an entry that does not decode', [{ ...ADDRESS, body: [2, 8] }], 'netlink/invalid-answer'],
    ['a datagram beyond the buffer', [{ ...ADDRESS, body: Array(0x10000).fill(0) }], 'netlink/invalid-answer'],
  ])('gives up at once, and lets go of the socket, after %s', (_, replies, code) => {
    const kernel = new FakeKernel(replies, [ADDRESS, DONE]);
    const netlink = Netlink.open(kernel.open);
    expect(failureOf(() => netlink.addresses())).toMatchObject({ code, isRetryable: false });
    expect(kernel.closeCount).toBe(1);
    expect(netlink.addresses()).toEqual([LOCALHOST]);
  });

  it('reads at most 64 MiB of a list that never ends', () => {
    const kernel = new FakeKernel([{ ...ADDRESS, body: [PHONET, ...Array(0xffef).fill(0)] }]);
    expect(failureOf(() => Netlink.open(kernel.open).addresses())).toMatchObject({ code: 'netlink/invalid-answer' });
    expect(kernel.receiveCount).toBe(1024);
  });

  it('believes nobody but the kernel, and does not listen to others for ever', () => {
    const kernel = new FakeKernel([ADDRESS, DONE]);
    kernel.sender = FROM_PROCESS;
    expect(failureOf(() => Netlink.open(kernel.open).addresses())).toMatchObject({ code: 'netlink/invalid-answer' });
    expect(kernel.receiveCount).toBe(0x4000);
  });

  it.runIf(process.platform !== 'linux')('is unsupported on this system', () => {
    expect(failureOf(() => Netlink.open())).toMatchObject({ code: 'netlink/unsupported' });
  });
});

const ACK = { type: 2, flags: 0x100, body: Array(20).fill(0) };
const EEXIST = { type: 2, flags: 0, body: [0xef, 0xff, 0xff, 0xff] };
const ADDRESS_TO_ADD = { linkIndex: 1, address: '10.0.0.1', prefixBits: 24, broadcast: undefined };

describe('a change', () => {
  it('is done when the kernel says so, under its own number, one after the other on the same socket', () => {
    const kernel = new FakeKernel([{ ...EEXIST, isLate: true }, ADDRESS, ACK, ACK, ADDRESS, DONE]);
    const netlink = Netlink.open(kernel.open);
    netlink.addAddress(ADDRESS_TO_ADD);
    netlink.deleteLink(9);
    expect(netlink.addresses()).toEqual([LOCALHOST]);
    expect(kernel).toMatchObject({ sendCount: 3, receiveCount: 6, openCount: 1, closeCount: 0 });
  });

  it('is refused with the reason, and the socket goes on', () => {
    const kernel = new FakeKernel([EEXIST, ACK]);
    const netlink = Netlink.open(kernel.open);
    const failure = failureOf(() => netlink.addLink({ name: 'br0', kind: 'bridge', group: 7 }));
    expect(failure).toBeInstanceOf(NetlinkError);
    expect(failure).toMatchObject({ code: 'netlink/refused', errno: 'EEXIST', isRetryable: false });
    expect((failure as Error).message).toBe('The kernel refused to add link "br0" (EEXIST)');
    netlink.changeLink(2, { isUp: true });
    expect(kernel).toMatchObject({ sendCount: 2, openCount: 1 });
  });

  it.each(['EAGAIN', 'ENOBUFS'] as const)('is not asked for again when the answer is lost (%s)', (code) => {
    const kernel = new FakeKernel([code], [ACK]);
    const netlink = Netlink.open(kernel.open);
    const failure = failureOf(() => netlink.deleteAddress(ADDRESS_TO_ADD));
    expect(failure).toMatchObject({ code: 'netlink/unanswered', errno: code, isRetryable: false });
    expect(kernel).toMatchObject({ sendCount: 1, receiveCount: 1, openCount: 1, closeCount: 1 });
    netlink.deleteAddress(ADDRESS_TO_ADD);
    expect(kernel).toMatchObject({ sendCount: 2, openCount: 2 });
  });

  it('is asked for again, on another socket, while the kernel does not take the request', () => {
    const kernel = new FakeKernel([], [], [], [ACK]);
    kernel.sendFailures.push('ENOBUFS', 'ENOMEM', 'EAGAIN');
    Netlink.open(kernel.open).deleteLink(9);
    expect(kernel).toMatchObject({ sendCount: 4, receiveCount: 1, openCount: 4, closeCount: 3 });
  });

  it('fails as one that may succeed later when the kernel never takes it', () => {
    const kernel = new FakeKernel();
    kernel.sendFailures.push('ENOBUFS', 'ENOBUFS', 'ENOBUFS', 'ENOBUFS');
    const failure = failureOf(() => Netlink.open(kernel.open).deleteLink(9));
    expect(failure).toMatchObject({ code: 'netlink/changing', isRetryable: true });
    expect(kernel).toMatchObject({ sendCount: 4, receiveCount: 0, closeCount: 4 });
  });

  it.each<readonly [string, Reply, string]>([
    ['a broken socket', 'EBADF', 'netlink/failed'],
    ['half an error', { ...EEXIST, body: [0xef, 0xff] }, 'netlink/invalid-answer'],
    ['a datagram beyond the buffer', { ...ACK, body: Array(0x10000).fill(0) }, 'netlink/invalid-answer'],
    ['nothing but answers to others', { ...ACK, isLate: true }, 'netlink/invalid-answer'],
  ])('gives up, and lets go of the socket, after %s', (_, reply, code) => {
    const kernel = new FakeKernel([reply], [ACK]);
    const netlink = Netlink.open(kernel.open);
    expect(failureOf(() => netlink.deleteLink(9))).toMatchObject({ code, isRetryable: false });
    expect(kernel).toMatchObject({ sendCount: 1, closeCount: 1 });
    netlink.deleteLink(9);
  });

  it('is not done because another process says so', () => {
    const kernel = new FakeKernel([ACK]);
    kernel.sender = FROM_PROCESS;
    const failure = failureOf(() => Netlink.open(kernel.open).deleteLink(9));
    expect(failure).toMatchObject({ code: 'netlink/invalid-answer' });
    expect(kernel.receiveCount).toBe(64);
  });

  it('that makes no sense is not asked for', () => {
    const kernel = new FakeKernel([ACK]);
    const netlink = Netlink.open(kernel.open);
    expect(() => netlink.deleteLink(0)).toThrow(RangeError);
    netlink.close();
    expect(() => netlink.deleteLink(9)).toThrow(TypeError);
    expect(kernel.sendCount).toBe(0);
  });
});

describe.runIf(process.platform === 'linux')('the kernel below', () => {
  it('has lo, switched on, with 127.0.0.1/8 and its local route', () => {
    const netlink = Netlink.open();
    const lo = netlink.links().find(({ name }) => name === 'lo');
    expect(lo).toMatchObject({ index: 1, kind: undefined, isUp: true, isRunning: true });
    expect(netlink.findLink('lo')).toEqual(lo);
    expect(netlink.findLink('not-there')).toBeUndefined();
    expect(netlink.findLink('lo')).toEqual(lo);
    expect(() => netlink.findLink('tun%d')).toThrow(RangeError);
    expect(netlink.addresses()).toContainEqual(LOCALHOST);
    expect(netlink.routes()).toContainEqual({
      family: 4,
      table: 255,
      prefix: '127.0.0.0/8',
      linkIndex: 1,
      gateway: undefined,
      source: '127.0.0.1',
      protocol: 2,
      metric: 0,
      type: 'local',
    });
    netlink.close();
  });

  it('gets every descriptor back', () => {
    Netlink.open().close();
    const before = readdirSync('/proc/self/fd').length;
    for (let count = 0; count < 200; count++) {
      const netlink = Netlink.open();
      if (count % 10 === 0) netlink.links();
      netlink.close();
    }
    expect(readdirSync('/proc/self/fd').length).toBe(before);
  });

  it('does not hand the socket to children', () => {
    const before = new Set(sockets().map(({ target }) => target));
    const netlink = Netlink.open();
    const flags = sockets()
      .filter(({ target }) => !before.has(target))
      .map(({ fd }) => /^flags:\s*([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1] ?? '');
    netlink.close();
    expect(flags.map((octal) => (Number.parseInt(octal, 8) & O_CLOEXEC) !== 0)).toEqual([true]);
  });
});

const O_CLOEXEC = 0x80000;

/** The open sockets of this process; `target` has the number that is never used twice. */
function sockets(): { fd: string; target: string }[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${fd}`);
      return target.startsWith('socket:') ? [{ fd, target }] : [];
    } catch {
      return []; // The descriptor of the listing itself.
    }
  });
}
