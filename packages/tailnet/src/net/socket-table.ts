import type { IpAddress } from '@heddle/proto/ip/address';
import type { Netstack, NetstackEvent } from '@heddle/proto/netstack/netstack';
import type { TcpCloseReason, TcpConnection } from '@heddle/proto/netstack/tcp/connection';
import { TailnetError } from '../tailnet-error.ts';
import type { TailnetConnection, TailnetListener, TailnetUdpSocket } from '../types.ts';
import { closeError, type StreamHost, TcpStream } from './tcp-stream.ts';
import { UdpSocket } from './udp-socket.ts';

/** Echo requests that wait for their reply; the next one is refused. */
const PINGS_MAX = 256;
const PING_PAYLOAD_BYTES = 32;

/** A connection on its way: what the netstack's events about it are told to. */
interface Dial {
  readonly stream: TcpStream;
  readonly resolve: (stream: TcpStream) => void;
  readonly reject: (error: TailnetError) => void;
}

interface Ping {
  readonly sentAtMs: number;
  readonly resolve: (roundTripMs: number | undefined) => void;
}

export interface DialOptions {
  readonly address: IpAddress;
  readonly port: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

/** The sockets of a node: turns the netstack's events into streams, listeners, datagrams and ping replies. */
export class SocketTable {
  readonly #netstack: Netstack;
  readonly #host: StreamHost;
  readonly #listeners = new Map<number, (connection: TailnetConnection) => void>();
  readonly #udp = new Map<number, UdpSocket>();
  readonly #pings = new Map<number, Ping>();
  readonly #streams = new Set<TcpStream>();
  readonly #dials = new Set<Dial>();
  #pingCount = 0;

  constructor(netstack: Netstack, host: StreamHost) {
    this.#netstack = netstack;
    this.#host = host;
  }

  /** @throws {TailnetError} `dial/*` */
  dial(options: DialOptions): Promise<TcpStream> {
    const { address, port, timeoutMs, signal } = options;
    return new Promise((resolve, reject) => {
      const connection = this.#netstack.connectTcp({ local: undefined, remote: address, port }, this.#host.now());
      const stream = this.#createStream(connection);
      const settle = () => {
        this.#dials.delete(dial);
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
      };
      const fail = (error: TailnetError) => {
        settle();
        // The stream was never handed out: nobody listens for its error.
        stream.on('error', () => {});
        stream.destroy(error);
        reject(error);
      };
      const timer = setTimeout(() => fail(closeError('timeout', address.text, port)), timeoutMs);
      const onAbort = () => fail(new TailnetError('dial/aborted', `dialling ${address.text} was cancelled`));
      signal?.addEventListener('abort', onAbort, { once: true });
      const dial: Dial = {
        stream,
        resolve: () => {
          settle();
          connection.userData = stream;
          resolve(stream);
        },
        reject: fail,
      };
      connection.userData = dial;
      this.#dials.add(dial);
      this.#host.wake();
      if (signal?.aborted) onAbort();
    });
  }

  /** @throws {TailnetError} `listen/port-in-use` */
  listen(port: number, onConnection: (connection: TailnetConnection) => void): TailnetListener {
    if (this.#listeners.has(port)) {
      throw new TailnetError('listen/port-in-use', `port ${port} of this node already has a listener`);
    }
    this.#listeners.set(port, onConnection);
    this.#netstack.listenTcp(port, { isDeferred: false });
    return {
      port,
      close: () => {
        if (this.#listeners.get(port) !== onConnection) return;
        this.#listeners.delete(port);
        this.#netstack.unlistenTcp(port);
      },
    };
  }

  openUdp(port: number | undefined): TailnetUdpSocket {
    const udpPort = this.#netstack.openUdp(port);
    const socket = new UdpSocket(udpPort, this.#host, () => this.#udp.delete(udpPort.port));
    this.#udp.set(udpPort.port, socket);
    return socket;
  }

  /** One ICMP echo; `undefined` when no reply came in time. */
  ping(remote: IpAddress, timeoutMs: number, signal: AbortSignal | undefined): Promise<number | undefined> {
    if (this.#pings.size >= PINGS_MAX) {
      throw new TailnetError('ping/too-many', `${PINGS_MAX} pings are waiting for a reply`, { isRetryable: true });
    }
    const id = this.#pingCount++ & 0x7fffffff;
    const [identifier, sequence] = [(id >> 16) & 0xffff, id & 0xffff];
    return new Promise((resolve) => {
      const finish = (roundTripMs: number | undefined) => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        this.#pings.delete(id);
        resolve(roundTripMs);
      };
      const onAbort = () => finish(undefined);
      const timer = setTimeout(onAbort, timeoutMs);
      signal?.addEventListener('abort', onAbort, { once: true });
      const sentAtMs = this.#host.now();
      this.#pings.set(id, { sentAtMs, resolve: finish });
      const payload = new Uint8Array(PING_PAYLOAD_BYTES);
      const isSent =
        signal?.aborted !== true && this.#netstack.sendEcho({ remote, identifier, sequence, payload }, sentAtMs);
      if (!isSent) finish(undefined);
      this.#host.wake();
    });
  }

  handleEvent(event: NetstackEvent): void {
    switch (event.kind) {
      case 'tcp-incoming':
        this.#accept(event.connection);
        return;
      case 'tcp-connected':
        dialOf(event.connection)?.resolve(dialOf(event.connection)?.stream as TcpStream);
        return;
      case 'tcp-readable':
        streamOf(event.connection)?.handleReadable();
        return;
      case 'tcp-writable':
        streamOf(event.connection)?.handleWritable();
        return;
      case 'tcp-remote-end':
        streamOf(event.connection)?.handleRemoteEnd();
        return;
      case 'tcp-closed':
        this.#handleClosed(event.connection, event.reason);
        return;
      case 'udp-readable':
        this.#udp.get(event.port.port)?.handleReadable();
        return;
      case 'echo-reply':
        this.#handleEchoReply(event.identifier, event.sequence);
        return;
    }
  }

  /** Ends everything: the node is going away. Streams close without an 'error' event: their owner asked for it. */
  close(): void {
    for (const stream of [...this.#streams]) stream.destroy();
    for (const dial of [...this.#dials]) dial.reject(new TailnetError('dial/closed', 'the node was closed'));
    for (const socket of [...this.#udp.values()]) socket.close();
    for (const ping of [...this.#pings.values()]) ping.resolve(undefined);
    this.#listeners.clear();
  }

  #accept(connection: TcpConnection): void {
    const onConnection = this.#listeners.get(connection.local.port);
    if (onConnection === undefined) {
      connection.abort(this.#host.now());
      return;
    }
    const stream = this.#createStream(connection);
    connection.userData = stream;
    onConnection(stream);
  }

  #createStream(connection: TcpConnection): TcpStream {
    const stream = new TcpStream(connection, this.#host);
    this.#streams.add(stream);
    stream.once('close', () => this.#streams.delete(stream));
    return stream;
  }

  #handleClosed(connection: TcpConnection, reason: TcpCloseReason): void {
    const dial = dialOf(connection);
    if (dial !== undefined) {
      const { address, port } = connection.remote;
      dial.reject(closeError(reason === 'reset' ? 'refused' : reason, address.text, port));
      return;
    }
    streamOf(connection)?.handleClosed(reason);
  }

  #handleEchoReply(identifier: number, sequence: number): void {
    const ping = this.#pings.get((identifier << 16) | sequence);
    ping?.resolve(this.#host.now() - ping.sentAtMs);
  }
}

function dialOf(connection: TcpConnection): Dial | undefined {
  const { userData } = connection;
  return userData instanceof TcpStream ? undefined : (userData as Dial | undefined);
}

function streamOf(connection: TcpConnection): TcpStream | undefined {
  return connection.userData instanceof TcpStream ? connection.userData : undefined;
}
