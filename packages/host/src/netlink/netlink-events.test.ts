import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { withNetworkNamespace } from '../../test/network-namespace.ts';
import { encodeMessage } from './message.ts';
import { Netlink } from './netlink.ts';
import { NetlinkError } from './netlink-error.ts';
import { type NetlinkChanges, NetlinkEvents } from './netlink-events.ts';
import type { NetlinkSocket } from './route-socket.ts';

const EVENT = encodeMessage({ type: 0x14, flags: 0, sequence: 0, port: 0 }, [
  Uint8Array.of(2, 8, 0, 254, 1, 0, 0, 0, 8, 0, 2, 0, 127, 0, 0, 1),
]);
const FROM_KERNEL = Uint8Array.of(16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
const FROM_PROCESS = Uint8Array.of(16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0);

type Reply = Uint8Array | 'ENOBUFS' | 'EBADF';

/** A kernel that queues what it is given for the socket that is open; `EAGAIN` when there is nothing. */
class FakeKernel {
  queue: Reply[] = [];
  sender = FROM_KERNEL;
  receiveCount = 0;
  openCount = 0;
  closeCount = 0;
  openFailure: NetlinkError | undefined;

  readonly open = (): NetlinkSocket => {
    if (this.openFailure !== undefined) throw this.openFailure;
    this.openCount++;
    return {
      sendTo: () => {},
      receive: (buffer) => {
        this.receiveCount++;
        const reply = this.queue.shift() ?? 'EAGAIN';
        if (typeof reply === 'string') throw Object.assign(new Error(reply), { code: reply });
        buffer.set(reply.subarray(0, buffer.length));
        return { lengthBytes: reply.length, sender: this.sender };
      },
      close: () => {
        this.closeCount++;
        this.queue = [];
      },
    };
  };
}

const countOf = ({ events, isOverrun }: NetlinkChanges): readonly [number, boolean] => [events.length, isOverrun];

describe('a subscription', () => {
  it('asks once when nothing happened', () => {
    const kernel = new FakeKernel();
    const events = NetlinkEvents.open(kernel.open);
    expect(events.drain()).toEqual({ events: [], isOverrun: false });
    expect(kernel).toMatchObject({ receiveCount: 1, openCount: 1 });
  });

  it('tells each event once', () => {
    const kernel = new FakeKernel();
    const events = NetlinkEvents.open(kernel.open);
    kernel.queue.push(EVENT, EVENT);
    expect(events.drain()).toMatchObject({
      events: [{ kind: 'address', isGone: false, address: { address: '127.0.0.1' } }, {}],
      isOverrun: false,
    });
    expect(countOf(events.drain())).toEqual([0, false]);
  });

  it.each<readonly [string, Reply]>([
    ['the queue overflowed', 'ENOBUFS'],
    ['the socket broke', 'EBADF'],
    ['an event does not decode', EVENT.subarray(0, 20)],
    ['an event is larger than the buffer', new Uint8Array(0x10001)],
  ])('begins anew, and says so, when %s', (_, reply) => {
    const kernel = new FakeKernel();
    const events = NetlinkEvents.open(kernel.open);
    kernel.queue.push(EVENT, reply, EVENT);
    expect(countOf(events.drain())).toEqual([1, true]);
    expect(kernel).toMatchObject({ openCount: 2, closeCount: 1 });
    expect(countOf(events.drain())).toEqual([0, false]);
  });

  it('does not listen for ever to a kernel that never stops', () => {
    const kernel = new FakeKernel();
    const events = NetlinkEvents.open(kernel.open);
    kernel.queue.push(...Array<Reply>(2000).fill(EVENT));
    expect(countOf(events.drain())).toEqual([1024, true]);
    expect(kernel.receiveCount).toBe(1024);
  });

  it('does not believe another process, and does not let it hide the events', () => {
    const kernel = new FakeKernel();
    const events = NetlinkEvents.open(kernel.open);
    kernel.sender = FROM_PROCESS;
    kernel.queue.push(EVENT, EVENT.subarray(0, 20), EVENT);
    expect(countOf(events.drain())).toEqual([0, false]);
    expect(kernel).toMatchObject({ receiveCount: 4, openCount: 1 });
  });

  it('that cannot begin anew fails, and tells the overrun when it can', () => {
    const kernel = new FakeKernel();
    const events = NetlinkEvents.open(kernel.open);
    kernel.queue.push('ENOBUFS');
    kernel.openFailure = new NetlinkError('netlink/failed', 'No descriptor is left');
    expect(() => events.drain()).toThrow(kernel.openFailure);
    expect(() => events.drain()).toThrow(kernel.openFailure);
    kernel.openFailure = undefined;
    expect(countOf(events.drain())).toEqual([0, true]);
    expect(countOf(events.drain())).toEqual([0, false]);
    expect(kernel).toMatchObject({ openCount: 2, closeCount: 1 });
  });

  it('that is closed is of no more use', () => {
    const kernel = new FakeKernel();
    const events = NetlinkEvents.open(kernel.open);
    events.close();
    events.close();
    expect(kernel.closeCount).toBe(1);
    expect(() => events.drain()).toThrow(TypeError);
  });
});

/** `change of kind name` of each event, in order. */
function describeEvents({ events, isOverrun }: NetlinkChanges): string[] {
  expect(isOverrun).toBe(false);
  return events.map((event) => {
    const sign = event.isGone ? '-' : '+';
    if (event.kind === 'link') return `${sign}${event.link.name}`;
    return sign + (event.kind === 'address' ? event.address.address : event.route.prefix);
  });
}

const ip = (command: string): void => void execFileSync('ip', command.split(' '), { stdio: 'pipe' });

describe('the kernel below', () => {
  it('has told every change by `ip` as soon as that returns', ({ skip }) => {
    const refusal = withNetworkNamespace(() => {
      const events = NetlinkEvents.open();
      const after = (command: string): string[] => {
        ip(command);
        const told = describeEvents(events.drain());
        expect(events.drain()).toEqual({ events: [], isOverrun: false });
        return told;
      };
      expect(after('link add name br0 type bridge')).toContain('+br0');
      expect(after('link set dev br0 up')).toContain('+br0');
      expect(after('addr add 10.1.0.1/24 dev br0')).toEqual(expect.arrayContaining(['+10.1.0.1', '+10.1.0.0/24']));
      expect(after('addr add fd00:1::1/64 dev br0 nodad')).toEqual(
        expect.arrayContaining(['+fd00:1::1', '+fd00:1::/64']),
      );
      expect(after('route add 10.9.0.0/16 via 10.1.0.2 table 52')).toEqual(['+10.9.0.0/16']);
      expect(after('-6 route add fd00:9::/48 via fd00:1::2')).toEqual(['+fd00:9::/48']);
      expect(after('-6 route del fd00:9::/48')).toEqual(['-fd00:9::/48']);
      expect(after('link set dev br0 alias x')).toContain('+br0');
      expect(after('link show')).toEqual([]);
      expect(after('addr del fd00:1::1/64 dev br0')).toContain('-fd00:1::1');
      expect(after('link del dev br0')).toContain('-br0');
      events.close();
    });
    if (refusal !== undefined) skip(refusal);
  });

  it('tells of the routes that a link takes with it by an event of the link alone', ({ skip }) => {
    const refusal = withNetworkNamespace(() => {
      const netlink = Netlink.open();
      const events = NetlinkEvents.open();
      for (const command of ['link add name br0 type bridge', 'link set dev br0 up', 'addr add 10.1.0.1/24 dev br0'])
        ip(command);
      ip('route add 10.9.0.0/16 via 10.1.0.2');
      expect(describeEvents(events.drain())).toContain('+10.9.0.0/16');
      ip('link set dev br0 down');
      const told = describeEvents(events.drain());
      expect(told).toContain('+br0');
      expect(told).not.toContain('-10.9.0.0/16');
      expect(netlink.routes().map(({ prefix }) => prefix)).not.toContain('10.9.0.0/16');
      netlink.close();
      events.close();
    });
    if (refusal !== undefined) skip(refusal);
  });

  it('tells of a port that leaves its bridge, which is still there', ({ skip }) => {
    const refusal = withNetworkNamespace(() => {
      for (const command of ['link add name br0 type bridge', 'link add name v0 type veth peer name v1']) ip(command);
      ip('link set dev v0 master br0');
      const netlink = Netlink.open();
      const events = NetlinkEvents.open();
      const [br0, v0] = ['br0', 'v0'].map((name) => netlink.links().find((link) => link.name === name));
      expect(v0?.masterIndex).toBe(br0?.index);
      ip('link set dev v0 nomaster');
      const told = describeEvents(events.drain());
      expect(told).toContain('+v0');
      expect(told).not.toContain('-v0');
      expect(netlink.links().find(({ name }) => name === 'v0')?.masterIndex).toBeUndefined();
      netlink.close();
      events.close();
    });
    if (refusal !== undefined) skip(refusal);
  });

  it('says when there was more than the queue holds, and goes on from there', ({ skip }) => {
    const refusal = withNetworkNamespace(() => {
      ip('link add name br0 type bridge');
      const netlink = Netlink.open();
      const events = NetlinkEvents.open();
      const linkIndex = netlink.links().find(({ name }) => name === 'br0')?.index ?? 0;
      const address = { linkIndex, address: '10.1.0.1', prefixBits: 24, broadcast: undefined };
      for (let count = 0; count < 1000; count++) {
        netlink.addAddress(address);
        netlink.deleteAddress(address);
      }
      expect(events.drain().isOverrun).toBe(true);
      expect(events.drain()).toEqual({ events: [], isOverrun: false });
      netlink.addAddress(address);
      expect(describeEvents(events.drain())).toContain('+10.1.0.1');
      netlink.close();
      events.close();
    });
    if (refusal !== undefined) skip(refusal);
  });

  it.runIf(process.platform === 'linux')('gets every descriptor back', () => {
    NetlinkEvents.open().close();
    const before = readdirSync('/proc/self/fd').length;
    for (let count = 0; count < 200; count++) {
      const events = NetlinkEvents.open();
      events.drain();
      events.close();
    }
    expect(readdirSync('/proc/self/fd').length).toBe(before);
  });
});
