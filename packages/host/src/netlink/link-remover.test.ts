import { describe, expect, it } from 'vitest';
import { withNetworkNamespace } from '../../test/network-namespace.ts';
import { deleteLinkOnThread } from './link-remover.ts';
import { encodeMessage } from './message.ts';
import { Netlink } from './netlink.ts';
import { KERNEL, type RouteSocket } from './route-socket.ts';

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'));
const answer = (code: string, sequence = 1): Uint8Array =>
  encodeMessage({ type: 2, flags: 0, sequence, port: 9 }, [hex(code), new Uint8Array(16)]);

function socketThatSays(
  datagram: Uint8Array | string,
): RouteSocket & { isClosed: boolean; readonly sent: Uint8Array[] } {
  const socket = {
    isClosed: false,
    sent: [] as Uint8Array[],
    sendToOnThread: async (bytes: Uint8Array) => void socket.sent.push(bytes),
    receive: (buffer: Uint8Array) => {
      if (typeof datagram === 'string') throw Object.assign(new Error(datagram), { code: datagram });
      buffer.set(datagram);
      return { lengthBytes: datagram.length, sender: KERNEL };
    },
    close: () => {
      socket.isClosed = true;
    },
  };
  return socket;
}

describe('a link deleted on another thread', () => {
  it('is asked for with its index, and done when the kernel says so', async () => {
    const socket = socketThatSays(answer('00000000'));
    await deleteLinkOnThread(7, () => socket);
    expect(Buffer.from(socket.sent[0] ?? []).toString('hex')).toBe(
      '20000000110005000100000000000000' + '00000000070000000000000000000000',
    );
    expect(socket.isClosed).toBe(true);
  });

  it.each([
    ['edffffff', { code: 'netlink/refused', errno: 'ENODEV' }],
    ['ffffffff', { code: 'netlink/refused', errno: 'EPERM' }],
    ['01000000', { code: 'netlink/invalid-answer' }],
  ])('answered with %s fails', async (code, failure) => {
    const socket = socketThatSays(answer(code));
    await expect(deleteLinkOnThread(7, () => socket)).rejects.toMatchObject(failure);
    expect(socket.isClosed).toBe(true);
  });

  it.each<[string, Uint8Array | string, string]>([
    ['with nothing', 'EAGAIN', 'netlink/unanswered'],
    ['for another request', answer('00000000', 2), 'netlink/invalid-answer'],
    ['with bytes that are cut off', answer('00000000').subarray(0, 18), 'netlink/invalid-answer'],
  ])('answered %s is not known to be done', async (_, datagram, code) => {
    await expect(deleteLinkOnThread(7, () => socketThatSays(datagram))).rejects.toMatchObject({ code });
  });

  it('goes from the tables of the kernel', async ({ skip }) => {
    let done: Promise<void> = Promise.resolve();
    let check = (): void => {};
    // The namespace lives as long as the socket that was opened in it.
    const refusal = withNetworkNamespace(() => {
      const netlink = Netlink.open();
      netlink.addLink({ name: 'br0', kind: 'bridge', group: 1 });
      const { index } = netlink.links().find(({ name }) => name === 'br0') ?? { index: 0 };
      done = deleteLinkOnThread(index);
      check = () => {
        expect(netlink.links().map(({ name }) => name)).toEqual(['lo']);
        netlink.close();
      };
    });
    if (refusal !== undefined) skip(refusal);
    await done;
    check();
  });
});
