import { PACKET_SLOT_BYTES, PacketArena } from '@heddle/proto/bytes/packet-arena';
import { type IpAddress, parseAddress } from '@heddle/proto/ip/address';
import { Netstack } from '@heddle/proto/netstack/netstack';
import { nodeRng } from '../src/crypto/node-provider.ts';
import { SocketTable } from '../src/net/socket-table.ts';
import type { StreamHost } from '../src/net/tcp-stream.ts';
import type { TailnetConnection } from '../src/types.ts';

/** One stack with its sockets; what it sends arrives at the other in the next turn of the event loop. */
export class SocketEnd implements StreamHost {
  readonly netstack: Netstack;
  readonly sockets: SocketTable;
  readonly address: IpAddress;
  readonly arena: PacketArena;
  other: SocketEnd | undefined;
  /** Packets put on the wire. */
  sentCount = 0;
  isCut = false;
  #isPlanned = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(address: string, arena: PacketArena) {
    this.arena = arena;
    this.address = parseAddress(address) as IpAddress;
    this.netstack = new Netstack({ arena, rng: nodeRng, mtuBytes: 1280 });
    this.netstack.setAddresses([this.address], this.now());
    this.sockets = new SocketTable(this.netstack, this);
  }

  now(): number {
    return performance.now();
  }

  wake(): void {
    if (this.#isPlanned) return;
    this.#isPlanned = true;
    setImmediate(() => {
      this.#isPlanned = false;
      this.#drain();
    });
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.isCut = true;
  }

  #drain(): void {
    const nowMs = this.now();
    for (let slot = this.netstack.pollPacket(nowMs); slot >= 0; slot = this.netstack.pollPacket(nowMs)) {
      this.sentCount++;
      if (this.isCut || this.other === undefined) this.arena.free(slot);
      else {
        this.other.netstack.handlePacket(slot, nowMs);
        this.other.wake();
      }
    }
    for (let event = this.netstack.pollEvent(); event !== undefined; event = this.netstack.pollEvent()) {
      this.sockets.handleEvent(event);
    }
    clearTimeout(this.#timer);
    const wake = this.netstack.pollTimeout();
    if (wake === undefined) return;
    this.#timer = setTimeout(
      () => {
        this.netstack.handleTimeout(this.now());
        this.wake();
      },
      Math.max(0, wake.atMs - this.now()),
    );
  }
}

/** Two ends of one wire, which is loopback quick and loses nothing. */
export class SocketPair {
  readonly arena: PacketArena = new PacketArena(new Uint8Array(PACKET_SLOT_BYTES * 2048));
  readonly left: SocketEnd = new SocketEnd('100.64.0.1', this.arena);
  readonly right: SocketEnd = new SocketEnd('100.64.0.2', this.arena);

  constructor() {
    this.left.other = this.right;
    this.right.other = this.left;
  }

  /** A connection from left to right: both streams. */
  async connect(port = 80): Promise<[TailnetConnection, TailnetConnection]> {
    const accepted = new Promise<TailnetConnection>((resolve) => {
      const listener = this.right.sockets.listen(port, (connection) => {
        listener.close();
        resolve(connection);
      });
    });
    return Promise.all([this.dial(port), accepted]);
  }

  dial(port: number, options: { timeoutMs?: number; signal?: AbortSignal } = {}): Promise<TailnetConnection> {
    const { timeoutMs = 5000, signal } = options;
    return this.left.sockets.dial({ address: this.right.address, port, timeoutMs, signal });
  }

  close(): void {
    for (const end of [this.left, this.right]) {
      end.sockets.close();
      end.stop();
    }
  }
}
