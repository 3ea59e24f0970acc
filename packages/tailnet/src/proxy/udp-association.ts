import { createSocket, type Socket as DatagramSocket } from 'node:dgram';
import type { Socket } from 'node:net';
import { type IpAddress, parseAddress } from '@heddle/proto/ip/address';
import type { TailnetUdpSocket } from '../types.ts';
import type { OpenConnection } from './connection-log.ts';
import { formatHostPort } from './listen-spec.ts';
import { type ProxyContext, refuse } from './proxy-context.ts';
import { decodeDatagram, encodeDatagram, encodeReply, SocksReply } from './socks5.ts';

/** A destination may answer that long after the last datagram to it. */
const DESTINATION_IDLE_MS = 120_000;
/** Destinations of one association; beyond it the one used longest ago is forgotten. */
const DESTINATION_COUNT_MAX = 1024;
/** Answers queued for a client that does not take them; further ones are dropped. */
const SEND_QUEUE_BYTES_MAX = 1024 * 1024;
const NO_ADDRESS = parseAddress('0.0.0.0') as IpAddress;

/**
 * Serves SOCKS5 UDP ASSOCIATE (RFC 1928 §7) until the client ends its TCP connection: one local UDP port for the client,
 * one port of the tailnet for all its destinations. Fragments are dropped, which the RFC allows.
 */
export async function serveUdpAssociation(socket: Socket, context: ProxyContext): Promise<void> {
  const record = context.connections.open('socks5-udp', '*:*');
  let association: UdpAssociation | undefined;
  try {
    association = await openAssociation(socket, context, record);
  } catch (error) {
    record.finish('proxy/udp-failed');
    context.log({ level: 'warn', message: `Cannot open a UDP association: ${(error as Error).message}` });
    refuse(socket, encodeReply(SocksReply.failure, NO_ADDRESS, 0));
    return;
  }
  const { address, port } = association.local;
  socket.write(encodeReply(SocksReply.ok, parseAddress(address) ?? NO_ADDRESS, port));
  socket.once('end', () => socket.end());
  socket.once('close', () => association.close());
  if (socket.destroyed) association.close();
  socket.resume();
}

async function openAssociation(
  socket: Socket,
  { node }: ProxyContext,
  record: OpenConnection,
): Promise<UdpAssociation> {
  const address = socket.localAddress ?? '127.0.0.1';
  const relay = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  try {
    await new Promise<void>((resolve, reject) => {
      relay.once('error', reject);
      relay.bind(0, address, () => resolve());
    });
    return new UdpAssociation({ relay, clientAddress: socket.remoteAddress ?? address, node, record });
  } catch (error) {
    relay.close();
    throw error;
  }
}

interface UdpAssociationOptions {
  readonly relay: DatagramSocket;
  /** Datagrams from elsewhere are dropped. The port is that of the first datagram: clients seldom announce it. */
  readonly clientAddress: string;
  readonly node: ProxyContext['node'];
  readonly record: OpenConnection;
}

class UdpAssociation {
  readonly local: { readonly address: string; readonly port: number };
  readonly #options: UdpAssociationOptions;
  readonly #tailnet: TailnetUdpSocket;
  /** When each destination was last sent to, the one longest ago first. Only these may answer. */
  readonly #sentAtMs = new Map<string, number>();
  #clientPort: number | undefined;

  constructor(options: UdpAssociationOptions) {
    const { relay, node } = options;
    this.#options = options;
    this.local = relay.address();
    this.#tailnet = node.createUdpSocket();
    this.#tailnet.onMessage((data, from) => this.#handleAnswer(data, from.address, from.port));
    relay.removeAllListeners('error');
    // A datagram that cannot be sent is lost, as UDP may lose any.
    relay.on('error', () => undefined);
    relay.on('message', (bytes, from) => this.#handleRequest(bytes, from.address, from.port));
  }

  close(): void {
    this.#options.relay.close();
    this.#tailnet.close();
    this.#options.record.finish('closed');
  }

  #handleRequest(bytes: Uint8Array, address: string, port: number): void {
    const { clientAddress, node, record } = this.#options;
    if (address !== clientAddress || (this.#clientPort !== undefined && this.#clientPort !== port)) return;
    const datagram = decodeDatagram(bytes);
    if (typeof datagram === 'string' || datagram.fragment !== 0) return;
    const destination = node.resolve(datagram.target.host)[0];
    if (destination === undefined || datagram.target.port === 0) return;
    this.#clientPort = port;
    if (this.#sentAtMs.size === 0) record.target = formatHostPort(datagram.target);
    this.#touch(`${destination} ${datagram.target.port}`);
    record.sentBytes += datagram.payload.length;
    this.#tailnet.send(datagram.payload, destination, datagram.target.port);
  }

  #handleAnswer(data: Uint8Array, address: string, port: number): void {
    const { relay, clientAddress, record } = this.#options;
    const sentAtMs = this.#sentAtMs.get(`${address} ${port}`);
    if (this.#clientPort === undefined || sentAtMs === undefined) return;
    if (performance.now() - sentAtMs > DESTINATION_IDLE_MS) return;
    const from = parseAddress(address);
    if (from === undefined || relay.getSendQueueSize() > SEND_QUEUE_BYTES_MAX) return;
    record.receivedBytes += data.length;
    relay.send(encodeDatagram(from, port, data), this.#clientPort, clientAddress);
  }

  #touch(destination: string): void {
    this.#sentAtMs.delete(destination);
    this.#sentAtMs.set(destination, performance.now());
    if (this.#sentAtMs.size <= DESTINATION_COUNT_MAX) return;
    for (const oldest of this.#sentAtMs.keys()) {
      this.#sentAtMs.delete(oldest);
      return;
    }
  }
}
