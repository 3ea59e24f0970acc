import { wordOf } from '../../ip/address.ts';
import type { Endpoint } from '../../ip/endpoint.ts';
import { PROTOCOL_TCP } from '../ip-header.ts';

/**
 * The 4-tuple of a connection in the form packets are compared with: addresses as four signed 32-bit words (an IPv4
 * address is the first, the others are zero), and what of the pseudo-header never changes.
 */
export class Flow {
  readonly family: 4 | 6;
  readonly local: Endpoint;
  readonly remote: Endpoint;
  /** Local port << 16 | remote port, signed. */
  readonly ports: number;
  readonly local0: number;
  readonly local1: number;
  readonly local2: number;
  readonly local3: number;
  readonly remote0: number;
  readonly remote1: number;
  readonly remote2: number;
  readonly remote3: number;
  /** Sum of both addresses and the protocol; the segment's length is added per packet. */
  readonly pseudoSum: number;

  constructor(local: Endpoint, remote: Endpoint) {
    this.family = remote.address.family;
    this.local = local;
    this.remote = remote;
    this.ports = (local.port << 16) | remote.port;
    this.local0 = wordOf(local.address, 0);
    this.local1 = wordOf(local.address, 4);
    this.local2 = wordOf(local.address, 8);
    this.local3 = wordOf(local.address, 12);
    this.remote0 = wordOf(remote.address, 0);
    this.remote1 = wordOf(remote.address, 4);
    this.remote2 = wordOf(remote.address, 8);
    this.remote3 = wordOf(remote.address, 12);
    this.pseudoSum = PROTOCOL_TCP + sumOf(local.address.bytes) + sumOf(remote.address.bytes);
  }
}

function sumOf(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] as number) << 8) | (bytes[i + 1] as number);
  return sum;
}
