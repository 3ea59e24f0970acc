import type { CryptoProvider, Rng } from '../crypto/provider.ts';
import type { NodePrivateKey } from '../keys/private-key.ts';
import { decodePublicKey, type NodePublicKey } from '../keys/public-key.ts';
import type { Wake } from '../time/machine.ts';
import { FrameType, KEY_BYTES, PING_BYTES, RELAY_PACKET_BYTES_MAX, SERVER_KEY_MAGIC } from './frames.ts';
import { decodeClientInfo, encodeServerInfo } from './login.ts';
import { isDisco, ServerConnection } from './server-connection.ts';
import { ServerRegistry } from './server-registry.ts';

/** Further connections are refused. */
export const CONNECTIONS_MAX = 4096;
const LOGIN_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 60_000;
const KEEP_ALIVE_JITTER_MS = 5_000;
/** DEVIATION: derper gives up after 2 s without any byte taken; a socket here reports only when it is empty again. */
const WRITE_TIMEOUT_MS = 10_000;
const PING_BYTES_MAX = 1000;

/** Why the server ends a connection; the client is told nothing, as the protocol has no error frame. */
export type DerpServerClose =
  | 'not-derp'
  | 'bad-client-info'
  | 'not-allowed'
  | 'bad-frame'
  | 'mesh-only'
  | 'login-timeout'
  | 'write-timeout';

export interface DerpServerEvent {
  readonly kind: 'close';
  readonly connection: number;
  readonly reason: DerpServerClose;
}

export interface DerpServerOptions {
  readonly serverKey: NodePrivateKey;
  readonly crypto: Pick<CryptoProvider, 'boxPrecompute' | 'secretboxSeal' | 'secretboxOpen'>;
  readonly rng: Rng;
  /** Decides at login; a real relay asks its coordination server. */
  readonly isAllowed: (key: NodePublicKey) => boolean;
}

/**
 * A relay without mesh: logs clients in and passes packets between them by node key. For the lab and for tests.
 *
 * Connection: awaiting-client-info ──ClientInfo──▶ ready ──▶ gone, by the owner's `removeConnection` or by a `close`
 * event, after which the owner closes the socket. A connection that breaks a rule is closed and harms no other.
 * The owner pulls bytes with `pollPending` and `pollTransmit`, and says with `setCongested` when a socket is full:
 * packets then queue (32, the oldest is dropped), as in derper.
 */
export class DerpServer {
  readonly #o: DerpServerOptions;
  readonly #connections = new Map<number, ServerConnection>();
  readonly #registry = new ServerRegistry<ServerConnection>();
  readonly #pending = new Set<number>();
  #events: DerpServerEvent[] = [];
  #nextId = 1;

  constructor(o: DerpServerOptions) {
    this.#o = o;
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  /** Greets a new client and returns the connection's number, or -1 when {@link CONNECTIONS_MAX} are open. */
  addConnection(nowMs: number): number {
    if (this.#connections.size === CONNECTIONS_MAX) return -1;
    const jitter = new Uint8Array(1);
    this.#o.rng.fill(jitter);
    const keepAliveMs = KEEP_ALIVE_MS + ((jitter[0] as number) / 256) * KEEP_ALIVE_JITTER_MS;
    const id = this.#nextId++;
    const connection = new ServerConnection({ id, nowMs, loginTimeoutMs: LOGIN_TIMEOUT_MS, keepAliveMs });
    this.#connections.set(id, connection);
    this.#send(connection, FrameType.serverKey, Uint8Array.of(...SERVER_KEY_MAGIC, ...this.#o.serverKey.publicKey));
    return id;
  }

  /** Reads stream bytes of a connection; the chunk is only borrowed. A number that is gone is ignored. */
  handleBytes(id: number, chunk: Uint8Array, nowMs: number): void {
    const connection = this.#connections.get(id);
    if (connection === undefined) return;
    const { reader } = connection;
    reader.feed(chunk);
    while (reader.next()) {
      const reason = this.#handleFrame(connection, nowMs);
      if (reason !== undefined) {
        this.#close(connection, reason);
        return;
      }
    }
    if (reader.isTooLarge) this.#close(connection, connection.login.kind === 'ready' ? 'bad-frame' : 'not-derp');
  }

  /** Says that the connection's socket takes no more bytes, or that it does again. */
  setCongested(id: number, isCongested: boolean, nowMs: number): void {
    const connection = this.#connections.get(id);
    if (connection === undefined) return;
    if (isCongested) connection.congestedAtMs ??= nowMs;
    else {
      connection.congestedAtMs = undefined;
      this.#pending.add(id);
    }
  }

  /** The client has gone. Who had packets from it is told. */
  removeConnection(id: number): void {
    const connection = this.#connections.get(id);
    if (connection === undefined) return;
    this.#connections.delete(id);
    this.#pending.delete(id);
    if (connection.login.kind !== 'ready') return;
    const { entry } = connection.login;
    for (const other of this.#registry.remove(entry, connection)) {
      for (const receiver of other.connections) {
        receiver.sendPeerGone(entry.key, 'disconnected');
        this.#pending.add(receiver.id);
      }
    }
  }

  /** A connection that may have bytes to write, or -1. */
  pollPending(): number {
    for (const id of this.#pending) {
      this.#pending.delete(id);
      return id;
    }
    return -1;
  }

  /** The next bytes for a connection's socket, which the caller then owns. */
  pollTransmit(id: number): Uint8Array | undefined {
    return this.#connections.get(id)?.pollTransmit();
  }

  pollEvent(): DerpServerEvent | undefined {
    return this.#events.shift();
  }

  handleTimeout(nowMs: number): void {
    for (const connection of this.#connections.values()) {
      const { login, congestedAtMs } = connection;
      if (login.kind === 'awaiting-client-info' && nowMs >= login.endsAtMs) this.#close(connection, 'login-timeout');
      else if (congestedAtMs !== undefined && nowMs >= congestedAtMs + WRITE_TIMEOUT_MS) {
        this.#close(connection, 'write-timeout');
      } else if (nowMs >= connection.keepAliveAtMs) {
        connection.keepAliveAtMs = nowMs + connection.keepAliveMs;
        if (login.kind === 'ready') this.#send(connection, FrameType.keepAlive, new Uint8Array(0));
      }
    }
  }

  /** Walks all connections: meant for a timer, not for every packet. */
  pollTimeout(): Wake | undefined {
    let atMs = Number.POSITIVE_INFINITY;
    for (const { login, congestedAtMs, keepAliveAtMs } of this.#connections.values()) {
      if (login.kind === 'awaiting-client-info') atMs = Math.min(atMs, login.endsAtMs);
      if (congestedAtMs !== undefined) atMs = Math.min(atMs, congestedAtMs + WRITE_TIMEOUT_MS);
      atMs = Math.min(atMs, keepAliveAtMs);
    }
    return this.#connections.size === 0 ? undefined : { atMs, why: 'derp server' };
  }

  /** Returns why the connection must end, if it must. */
  #handleFrame(connection: ServerConnection, nowMs: number): DerpServerClose | undefined {
    if (connection.login.kind === 'awaiting-client-info') return this.#handleClientInfo(connection);
    this.#registry.noteSpoke(connection.login.entry, connection);
    const { type, length } = connection.reader;
    switch (type) {
      case FrameType.sendPacket:
        return this.#handlePacket(connection, nowMs);
      case FrameType.ping:
        return this.#handlePing(connection);
      case FrameType.notePreferred:
        // Only mesh statistics depend on the home; the length is a rule all the same.
        return length === 1 ? undefined : 'bad-frame';
      case FrameType.watchConns:
      case FrameType.closePeer:
      case FrameType.forwardPacket:
        return 'mesh-only';
      default:
        return undefined;
    }
  }

  #handleClientInfo(connection: ServerConnection): DerpServerClose | undefined {
    const { type, bytes, offset, length } = connection.reader;
    if (type !== FrameType.clientInfo || length < KEY_BYTES) return 'not-derp';
    const payload = bytes.subarray(offset, offset + length);
    const key = decodePublicKey('node', payload.subarray(0, KEY_BYTES));
    const boxKey = this.#o.crypto.boxPrecompute(this.#o.serverKey.exposeBytes(), key);
    if (boxKey === undefined) return 'bad-client-info';
    if (decodeClientInfo(payload, boxKey, this.#o.crypto) === undefined) return 'bad-client-info';
    if (!this.#o.isAllowed(key)) return 'not-allowed';
    connection.login = { kind: 'ready', entry: this.#registry.add(key, connection) };
    this.#send(connection, FrameType.serverInfo, encodeServerInfo(boxKey, this.#o));
    return undefined;
  }

  #handlePacket(connection: ServerConnection, nowMs: number): DerpServerClose | undefined {
    const { bytes, offset, length } = connection.reader;
    if (length < KEY_BYTES || length > KEY_BYTES + RELAY_PACKET_BYTES_MAX) return 'bad-frame';
    if (connection.login.kind !== 'ready') return 'bad-frame';
    const from = connection.login.entry;
    const to = this.#registry.lookup(bytes, offset);
    const receiver = to?.connections.at(-1);
    const packetAt = offset + KEY_BYTES;
    const packetLength = length - KEY_BYTES;
    if (to !== undefined && receiver !== undefined) {
      this.#registry.noteSent(from, to);
      receiver.forward(from.key, bytes, packetAt, packetLength);
      this.#pending.add(receiver.id);
    } else if (isDisco(bytes, packetAt, packetLength)) this.#answerNotHere(connection, nowMs);
    return undefined;
  }

  #answerNotHere(connection: ServerConnection, nowMs: number): void {
    connection.notHereBucket.refill(nowMs);
    if (!connection.notHereBucket.take(1)) return;
    const { bytes, offset } = connection.reader;
    connection.sendPeerGone(bytes.subarray(offset, offset + KEY_BYTES), 'not-here');
    this.#pending.add(connection.id);
  }

  #handlePing(connection: ServerConnection): DerpServerClose | undefined {
    const { bytes, offset, length } = connection.reader;
    if (length < PING_BYTES || length > PING_BYTES_MAX) return 'bad-frame';
    this.#send(connection, FrameType.pong, bytes.subarray(offset, offset + PING_BYTES));
    return undefined;
  }

  #send(connection: ServerConnection, type: number, payload: Uint8Array): void {
    connection.send(type, payload);
    this.#pending.add(connection.id);
  }

  #close(connection: ServerConnection, reason: DerpServerClose): void {
    this.removeConnection(connection.id);
    this.#events.push({ kind: 'close', connection: connection.id, reason });
  }
}
