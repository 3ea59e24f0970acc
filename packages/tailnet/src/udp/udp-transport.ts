import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import type { PacketArena } from '@heddle/proto/bytes/packet-arena';
import { parseAddress } from '@heddle/proto/ip/address';
import { createEndpoint, type Endpoint } from '@heddle/proto/ip/endpoint';

/** Datagrams handed to the sockets and not yet reported sent; at the bound the data path stops pulling. */
const IN_FLIGHT_MAX = 256;
/** Asked of the kernel for both directions: absorbs bursts while the event loop is busy. The kernel may give less. */
const SOCKET_BUFFER_BYTES = 7 * 1024 * 1024;
/** Remote addresses remembered in their parsed form; the cache is emptied when it is full. */
const ENDPOINT_CACHE_MAX = 4096;
/** Attempts to find a port that is free in both families. */
const BIND_ATTEMPTS = 8;

export interface UdpTransportOptions {
  readonly arena: PacketArena;
  /** 0: any. */
  readonly port: number;
  /** Takes the slot. */
  readonly onDatagram: (slot: number, from: Endpoint) => void;
  readonly onSendError: (to: Endpoint, isUnreachable: boolean) => void;
  /** The sockets take datagrams again after {@link UdpTransport.isBlocked}. */
  readonly onDrain: () => void;
}

/**
 * The portable UDP path: one node:dgram socket per family on the same port, no FFI.
 * A machine without IPv6 gets IPv4 alone. Send errors count as loss, as on any network.
 */
export class UdpTransport {
  readonly port: number;
  readonly #options: UdpTransportOptions;
  readonly #sockets: { readonly v4: Socket; readonly v6: Socket | undefined };
  readonly #memory: Buffer;
  // One callback per slot, made once: a closure per datagram would be garbage at line rate.
  readonly #onSent: (((error: Error | null) => void) | undefined)[] = [];
  readonly #sentTo: (Endpoint | undefined)[] = [];
  readonly #endpoints = new Map<string, Map<number, Endpoint>>();
  #inFlight = 0;
  #isClosed = false;

  static async open(options: UdpTransportOptions): Promise<UdpTransport> {
    for (let attempt = 1; ; attempt++) {
      const v4 = await bind('udp4', options.port);
      if (v4 === undefined) throw new Error(`UDP port ${options.port} is not available`);
      const port = v4.address().port;
      const v6 = await bind('udp6', port);
      // Without IPv6 at all every attempt fails alike; a port taken in one family only is worth another try.
      if (v6 !== undefined || options.port !== 0 || attempt === BIND_ATTEMPTS) {
        return new UdpTransport(options, { v4, v6 }, port);
      }
      if (!(await hasIpv6())) return new UdpTransport(options, { v4, v6 }, port);
      v4.close();
    }
  }

  private constructor(options: UdpTransportOptions, sockets: { v4: Socket; v6: Socket | undefined }, port: number) {
    this.#options = options;
    this.#sockets = sockets;
    this.port = port;
    const { bytes } = options.arena;
    this.#memory = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (const socket of [sockets.v4, sockets.v6]) this.#attach(socket);
  }

  get isBlocked(): boolean {
    return this.#inFlight >= IN_FLIGHT_MAX;
  }

  get hasIpv6(): boolean {
    return this.#sockets.v6 !== undefined;
  }

  /** Takes the slot and frees it when the kernel has the datagram. */
  send(slot: number, to: Endpoint): void {
    const { arena } = this.#options;
    const socket = to.address.family === 4 ? this.#sockets.v4 : this.#sockets.v6;
    if (socket === undefined || this.#isClosed) {
      arena.free(slot);
      return;
    }
    this.#inFlight++;
    this.#sentTo[slot] = to;
    const onSent = this.#onSent[slot] ?? this.#createOnSent(slot);
    const start = arena.offset[slot] as number;
    socket.send(this.#memory, start, arena.length[slot] as number, to.port, to.address.text, onSent);
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const sockets = [this.#sockets.v4, this.#sockets.v6].filter((socket) => socket !== undefined);
    await Promise.all(sockets.map((socket) => new Promise<void>((resolve) => socket.close(() => resolve()))));
  }

  #attach(socket: Socket | undefined): void {
    if (socket === undefined) return;
    socket.on('message', (message, from) => this.#handleMessage(message, from));
    // A socket error without a datagram (an ICMP answer to an earlier one) says nothing that a lost packet would not.
    socket.on('error', () => {});
    for (const size of ['setRecvBufferSize', 'setSendBufferSize'] as const) {
      try {
        socket[size](SOCKET_BUFFER_BYTES);
      } catch {
        // The default size works, with more loss in bursts.
      }
    }
  }

  #handleMessage(message: Uint8Array, from: RemoteInfo): void {
    const endpoint = this.#endpointOf(from.address, from.port);
    const slot = endpoint === undefined ? -1 : this.#options.arena.copyIn(message);
    if (endpoint !== undefined && slot >= 0) this.#options.onDatagram(slot, endpoint);
  }

  #createOnSent(slot: number): (error: Error | null) => void {
    const onSent = (error: Error | null) => this.#handleSent(slot, error);
    this.#onSent[slot] = onSent;
    return onSent;
  }

  #handleSent(slot: number, error: Error | null): void {
    const to = this.#sentTo[slot];
    this.#sentTo[slot] = undefined;
    this.#options.arena.free(slot);
    this.#inFlight--;
    if (error !== null && to !== undefined) this.#options.onSendError(to, isUnreachable(error));
    if (this.#inFlight === IN_FLIGHT_MAX - 1) this.#options.onDrain();
  }

  #endpointOf(address: string, port: number): Endpoint | undefined {
    let ports = this.#endpoints.get(address);
    if (ports === undefined) {
      if (this.#endpoints.size >= ENDPOINT_CACHE_MAX) this.#endpoints.clear();
      ports = new Map();
      this.#endpoints.set(address, ports);
    }
    const known = ports.get(port);
    if (known !== undefined) return known;
    const parsed = parseAddress(address.split('%')[0] as string);
    if (parsed === undefined) return undefined;
    if (ports.size >= ENDPOINT_CACHE_MAX) ports.clear();
    const endpoint = createEndpoint(parsed, port);
    ports.set(port, endpoint);
    return endpoint;
  }
}

function isUnreachable(error: NodeJS.ErrnoException): boolean {
  return error.code === 'ENETUNREACH' || error.code === 'EHOSTUNREACH' || error.code === 'EADDRNOTAVAIL';
}

async function hasIpv6(): Promise<boolean> {
  const socket = await bind('udp6', 0);
  socket?.close();
  return socket !== undefined;
}

/** A bound socket, or `undefined` when the family is missing or the port is taken. */
function bind(type: 'udp4' | 'udp6', port: number): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const family = type === 'udp4' ? 4 : 6;
    const socket = createSocket({
      type,
      ipv6Only: type === 'udp6',
      // Only literal addresses are sent to: the system resolver would be asked for each datagram.
      lookup: (host, _options, callback) => callback(null, host, family),
    });
    socket.once('error', () => {
      socket.close();
      resolve(undefined);
    });
    socket.bind({ port, exclusive: true }, () => {
      socket.removeAllListeners('error');
      resolve(socket);
    });
  });
}
