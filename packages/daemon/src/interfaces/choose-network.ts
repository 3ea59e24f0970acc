import { formatPrefix, type IpPrefix } from '@heddle/proto/ip/prefix';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { allocatePrefix, type FreeNetwork } from '../allocation/allocate.ts';
import type { BusyPrefixes } from '../allocation/busy-prefixes.ts';
import { judgeRange, judgeRequest } from '../allocation/judge-request.ts';

/** Networks from which interfaces get theirs, the first first. */
export interface AddressPools {
  readonly ipv4: readonly IpPrefix[];
  readonly ipv6: readonly IpPrefix[];
}

/**
 * Takes the first free network of a size.
 * @throws {TailnetError} `allocation/exhausted`
 */
export function chooseNetwork(pools: readonly IpPrefix[], bits: number, busy: BusyPrefixes): FreeNetwork {
  const result = allocatePrefix({ pools, bits, busy });
  if (result.kind === 'free') return result;
  const names = pools.map(formatPrefix).join(', ');
  throw new TailnetError('allocation/exhausted', `No network of ${bits} bits is free in ${names}`);
}

/**
 * Takes a network that somebody asks for by name.
 * @param network Host bits clear.
 * @param rangeCode For one that no interface may have.
 * @throws {TailnetError} `allocation/overlap`, `rangeCode`
 */
export function takeNetwork(
  network: IpPrefix,
  busy: BusyPrefixes,
  rangeCode: 'subnet/forbidden-range' | 'tun/bad-address',
): FreeNetwork {
  const range = judgeRange(network);
  if (range.refusals.length > 0) throw new TailnetError(rangeCode, range.refusals.join('; '));
  const { refusals, warnings } = judgeRequest(network, busy);
  if (refusals.length > 0) throw new TailnetError('allocation/overlap', refusals.join('; '));
  return { prefix: network, warnings: [...range.warnings, ...warnings] };
}
