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

type Reply = { readonly type: number; readonly flags: number; readonly body: readonly number[] } | 'EAGAIN' | 'EBADF';

/** A kernel that gives each socket the next list of replies; an empty queue repeats the last reply. */
class FakeKernel {
  readonly #answers: (readonly Reply[])[];
  sender = FROM_KERNEL;
  receiveCount = 0;
  openCount = 0;
  closeCount = 0;

  constructor(...answers: (readonly Reply[])[]) {
    this.#answers = answers;
  }

  readonly open = (): NetlinkSocket => {
    this.openCount++;
    const replies = [...(this.#answers.shift() ?? [])];
    let sequence = 0;
    return {
      sendTo: (request) => {
        sequence = new DataView(request.buffer).getUint32(8, true);
      },
      receive: (buffer) => {
        this.receiveCount++;
        const reply = (replies.length > 1 ? replies.shift() : replies[0]) ?? 'EAGAIN';
        if (typeof reply === 'string') throw Object.assign(new Error(reply), { code: reply });
        const { body, ...header } = reply;
        const datagram = encodeMessage({ ...header, sequence, port: 0 }, [Uint8Array.from(body)]);
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

describe.runIf(process.platform === 'linux')('the kernel below', () => {
  it('has lo, switched on, with 127.0.0.1/8 and its local route', () => {
    const netlink = Netlink.open();
    const lo = netlink.links().find(({ name }) => name === 'lo');
    expect(lo).toMatchObject({ index: 1, kind: undefined, isUp: true, isRunning: true });
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
