import type { PacketArena } from '@heddle/proto/bytes/packet-arena';
import type { Endpoint } from '@heddle/proto/ip/endpoint';
import type { NodePublicKey } from '@heddle/proto/keys/public-key';
import type { StunProber } from '@heddle/proto/netcheck/stun-prober';
import type { Node, NodeEvent } from '@heddle/proto/node/node';
import { earliestWake } from '@heddle/proto/time/machine';

/** Datagrams sent in one turn: afterwards the sockets get their chance to receive. */
const SEND_BUDGET = 256;
/** Rounds of "time passed, drain" in one turn; a machine that is due again at once has a defect. */
const STEP_BUDGET = 16;

export interface DriverSockets {
  readonly isBlocked: boolean;
  /** Takes the slot. */
  sendUdp(slot: number, to: Endpoint): void;
  /** Copies the bytes. */
  sendDerp(regionId: number, to: NodePublicKey, bytes: Uint8Array, offset: number, length: number): void;
}

export interface DriverOptions {
  readonly arena: PacketArena;
  readonly node: Node;
  readonly prober: StunProber;
  readonly sockets: DriverSockets;
  readonly onEvent: (event: NodeEvent) => void;
  readonly onProbeReport: () => void;
  /** The step budget was spent: which machine kept asking, and why. */
  readonly onSpin: (why: string) => void;
}

/**
 * Runs the machines of one network: inputs call {@link wake}, and once a turn of the event loop everything is drained.
 * One timer covers all deadlines; it is moved only to an earlier time and otherwise checked when it fires.
 */
export class Driver {
  readonly #options: DriverOptions;
  #timer: NodeJS.Timeout | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;
  #isDrainPlanned = false;
  #isClosed = false;

  constructor(options: DriverOptions) {
    this.#options = options;
  }

  now(): number {
    return performance.now();
  }

  /**
   * Drains in this turn of the event loop, after the sockets that are readable now have been read. What arrived is
   * handed out first, with a turn of its own for those who wait for it: their answer does not wait for our
   * acknowledgements to be sealed and sent, and these may carry it.
   */
  wake(): void {
    if (this.#isDrainPlanned || this.#isClosed) return;
    this.#isDrainPlanned = true;
    setImmediate(this.#handOut);
    setImmediate(this.#finishTurn);
  }

  readonly #handOut = (): void => {
    if (!this.#isClosed) this.#dispatch();
  };

  readonly #finishTurn = (): void => {
    this.#isDrainPlanned = false;
    if (!this.#isClosed) this.#drain();
  };

  /** Sends what is queued, resets of the last connections among it, and stops. */
  close(): void {
    if (!this.#isClosed) this.#transmit(this.now());
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  #drain(): void {
    const { node, prober } = this.#options;
    let why = '';
    for (let step = 0; step < STEP_BUDGET; step++) {
      const nowMs = this.now();
      const isDrained = this.#transmit(nowMs);
      this.#dispatch();
      const wake = earliestWake(node.pollTimeout(), prober.pollTimeout());
      if (wake !== undefined && wake.atMs <= nowMs) {
        why = wake.why;
        node.handleTimeout(nowMs);
        prober.handleTimeout(nowMs);
      }
      // What is left waits for the sockets, or for the next turn: being due now is then no reason to go on.
      if (!isDrained || wake === undefined) return;
      if (wake.atMs > nowMs) {
        this.#arm(wake.atMs);
        return;
      }
    }
    this.#options.onSpin(why);
    this.#arm(this.now() + 1);
  }

  /** False when the sockets are full or the budget is spent: the rest goes out in a later turn. */
  #transmit(nowMs: number): boolean {
    const { node, prober, sockets, arena } = this.#options;
    for (let probe = prober.pollTransmit(); probe !== undefined; probe = prober.pollTransmit()) {
      const slot = arena.copyIn(probe.bytes);
      if (slot >= 0) sockets.sendUdp(slot, probe.to);
    }
    for (let sent = 0; sent < SEND_BUDGET; sent++) {
      if (sockets.isBlocked) return false;
      if (!node.pollTransmit(nowMs)) return true;
      this.#send();
    }
    this.wake();
    return false;
  }

  #send(): void {
    const { arena, sockets, node } = this.#options;
    const { slot, endpoint, regionId, to } = node.transmit;
    if (regionId !== 0 && to !== undefined) {
      sockets.sendDerp(regionId, to, arena.bytes, arena.offset[slot] as number, arena.length[slot] as number);
    }
    if (endpoint === undefined) arena.free(slot);
    else sockets.sendUdp(slot, endpoint);
  }

  #dispatch(): void {
    const { node, prober, onEvent, onProbeReport } = this.#options;
    for (let event = node.pollEvent(); event !== undefined; event = node.pollEvent()) onEvent(event);
    for (let event = prober.pollEvent(); event !== undefined; event = prober.pollEvent()) onProbeReport();
  }

  #arm(atMs: number): void {
    if (this.#timer !== undefined && this.#timerAtMs <= atMs) return;
    clearTimeout(this.#timer);
    this.#timerAtMs = atMs;
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        this.#timerAtMs = Number.POSITIVE_INFINITY;
        this.wake();
      },
      Math.max(0, Math.ceil(atMs - this.now())),
    );
  }
}
