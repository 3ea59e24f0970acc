import { parseAddress } from '@heddle/proto/ip/address';
import type { UdpPort } from '@heddle/proto/netstack/udp';
import type { TailnetUdpSocket } from '../types.ts';
import type { StreamHost } from './tcp-stream.ts';

type MessageListener = (data: Uint8Array, from: { readonly address: string; readonly port: number }) => void;

/** A UDP port of the tailnet. Datagrams that arrive before a listener is set wait in the port's bounded queue. */
export class UdpSocket implements TailnetUdpSocket {
  readonly #udp: UdpPort;
  readonly #host: StreamHost;
  readonly #onClose: () => void;
  #listener: MessageListener | undefined;
  #isClosed = false;

  constructor(udp: UdpPort, host: StreamHost, onClose: () => void) {
    this.#udp = udp;
    this.#host = host;
    this.#onClose = onClose;
  }

  get port(): number {
    return this.#udp.port;
  }

  /** @throws {TypeError} when the address is not one. */
  send(data: Uint8Array, address: string, port: number): boolean {
    const remote = parseAddress(address);
    if (remote === undefined) throw new TypeError(`"${address}" is not an IP address`);
    if (this.#isClosed) return false;
    const isQueued = this.#udp.send(remote, port, data, this.#host.now());
    this.#host.wake();
    return isQueued;
  }

  onMessage(listener: MessageListener): void {
    this.#listener = listener;
    this.handleReadable();
  }

  handleReadable(): void {
    const listener = this.#listener;
    if (listener === undefined) return;
    for (let datagram = this.#udp.receive(); datagram !== undefined; datagram = this.#udp.receive()) {
      listener(datagram.data, { address: datagram.from.address.text, port: datagram.from.port });
    }
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#udp.close();
    this.#onClose();
  }
}
