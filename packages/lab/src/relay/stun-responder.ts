import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { isIPv6 } from 'node:net';
import { parseAddress } from '@heddle/proto/ip/address';
import { createEndpoint } from '@heddle/proto/ip/endpoint';
import { decodeBindingRequest, encodeBindingResponse } from '@heddle/proto/stun/stun';

/** Answers STUN binding requests of tailnet nodes with the address they come from. Anything else is ignored. */
export class StunResponder {
  readonly #socket: Socket;

  private constructor(socket: Socket) {
    this.#socket = socket;
    // A client that is gone makes its port unreachable; there is nobody to tell.
    socket.on('error', () => {});
    socket.on('message', (bytes, from) => this.#answer(bytes, from));
  }

  /** @throws {Error} of the operating system when the port is taken. Port 0 takes any. */
  static async start(host: string, port: number): Promise<StunResponder> {
    const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4');
    socket.bind(port, host);
    await once(socket, 'listening');
    return new StunResponder(socket);
  }

  get port(): number {
    return this.#socket.address().port;
  }

  async close(): Promise<void> {
    const closed = once(this.#socket, 'close');
    this.#socket.close();
    await closed;
  }

  #answer(bytes: Uint8Array, from: RemoteInfo): void {
    const txId = decodeBindingRequest(bytes);
    // The zone of a link-local address is ours, not the client's.
    const address = parseAddress(from.address.split('%')[0] as string);
    if (typeof txId === 'string' || address === undefined) return;
    this.#socket.send(encodeBindingResponse(txId, createEndpoint(address, from.port)), from.port, from.address);
  }
}
