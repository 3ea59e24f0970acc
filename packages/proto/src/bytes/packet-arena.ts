/** Bytes left free before a packet that is built here: room for a DERP frame header (5), a key (32) and WireGuard's 16. */
export const PACKET_HEADROOM_BYTES = 64;
/** Bytes of one slot: headroom, the largest inner packet handled (1,952 bytes with padding) and the 16-byte AEAD tag. */
export const PACKET_SLOT_BYTES = 2048;

/**
 * Every packet of a node lives in one buffer of fixed-size slots; a packet is a slot number.
 *
 * A slot's packet is `bytes[offset[slot] .. offset[slot] + length[slot])`. Headers are added and removed by moving
 * `offset`, never by copying. Exactly one owner holds a slot; a function that "takes" a slot must pass it on or free it.
 * `peer` carries the handle of the peer the packet came from or goes to, -1 when not known yet.
 */
export class PacketArena {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly slotCount: number;
  readonly offset: Int32Array;
  readonly length: Int32Array;
  readonly peer: Int32Array;
  readonly #free: Int32Array;
  readonly #isUsed: Uint8Array;
  #freeCount: number;

  /** @param memory Backing bytes, 8-byte aligned; the slot count is its length divided by {@link PACKET_SLOT_BYTES}. */
  constructor(memory: Uint8Array) {
    if (memory.byteOffset % 8 !== 0) throw new RangeError('packet memory must be 8-byte aligned');
    this.bytes = memory;
    this.view = new DataView(memory.buffer, memory.byteOffset, memory.byteLength);
    this.slotCount = Math.floor(memory.byteLength / PACKET_SLOT_BYTES);
    this.offset = new Int32Array(this.slotCount);
    this.length = new Int32Array(this.slotCount);
    this.peer = new Int32Array(this.slotCount);
    this.#isUsed = new Uint8Array(this.slotCount);
    this.#free = new Int32Array(this.slotCount);
    // Last in, first out, lowest slots first: a quiet node touches few pages.
    for (let i = 0; i < this.slotCount; i++) this.#free[i] = this.slotCount - 1 - i;
    this.#freeCount = this.slotCount;
  }

  get freeCount(): number {
    return this.#freeCount;
  }

  /** Takes an empty slot with the headroom reserved, or returns -1 when all are in use. */
  allocate(): number {
    if (this.#freeCount === 0) return -1;
    this.#freeCount--;
    const slot = this.#free[this.#freeCount] as number;
    this.#isUsed[slot] = 1;
    this.offset[slot] = slot * PACKET_SLOT_BYTES + PACKET_HEADROOM_BYTES;
    this.length[slot] = 0;
    this.peer[slot] = -1;
    return slot;
  }

  /** @throws {RangeError} when the slot is not in use: it was freed twice, and two owners would share it. */
  free(slot: number): void {
    if (this.#isUsed[slot] !== 1) throw new RangeError(`packet slot ${slot} is not in use`);
    this.#isUsed[slot] = 0;
    this.#free[this.#freeCount] = slot;
    this.#freeCount++;
  }

  /** Bytes that still fit behind the packet in its slot. */
  tailroom(slot: number): number {
    const end = (this.offset[slot] as number) + (this.length[slot] as number);
    return (slot + 1) * PACKET_SLOT_BYTES - end;
  }

  /** Copies a packet into a fresh slot behind the headroom; -1 when it is too large or no slot is free. */
  copyIn(packet: Uint8Array): number {
    if (packet.length > PACKET_SLOT_BYTES - PACKET_HEADROOM_BYTES) return -1;
    const slot = this.allocate();
    if (slot < 0) return -1;
    this.bytes.set(packet, this.offset[slot] as number);
    this.length[slot] = packet.length;
    return slot;
  }

  /** The packet as a view into the arena: valid until the slot is freed. */
  packet(slot: number): Uint8Array {
    const start = this.offset[slot] as number;
    return this.bytes.subarray(start, start + (this.length[slot] as number));
  }
}
