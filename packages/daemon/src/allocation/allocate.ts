import type { IpPrefix } from '@heddle/proto/ip/prefix';
import { hasOverlap } from '../plan/claimed-prefix.ts';
import type { BusyPrefix, BusyPrefixes } from './busy-prefixes.ts';
import { findFreePrefixes } from './free-prefix.ts';
import { judgeRequest } from './judge-request.ts';

/** What is wanted. */
export interface AllocationRequest {
  /** The first is used up first. One smaller than `bits` gives nothing. */
  readonly pools: readonly IpPrefix[];
  readonly bits: number;
  readonly busy: BusyPrefixes;
}

/** A network nobody uses. */
export interface FreeNetwork {
  readonly prefix: IpPrefix;
  /** Sentences about what it was not possible to avoid; empty as a rule. In a list they are made when they are read. */
  readonly warnings: readonly string[];
}

export type Allocation = ({ readonly kind: 'free' } & FreeNetwork) | { readonly kind: 'exhausted' };

/**
 * Chooses the first free network of a size. The same request always gives the same one; the caller keeps others from
 * asking until it has added the network to what is busy.
 *
 * All pools are searched with growing tolerance: (1) beside everything; (2) inside what covers a whole pool anyway, as a
 * route 10.0.0.0/8 to the company; (3) inside any route that is wider, and on default networks of other programs. What
 * {@link judgeRequest} refuses is never chosen.
 *
 * @throws {RangeError} when the family of a pool has no such `bits`.
 */
export function allocatePrefix(request: AllocationRequest): Allocation {
  const [first] = listFree({ ...request, countMax: 1 });
  return first === undefined ? { kind: 'exhausted' } : { kind: 'free', ...first };
}

/** Lists the networks that {@link allocatePrefix} would give one after the other, at most `countMax`. */
export function listFree(request: AllocationRequest & { readonly countMax: number }): readonly FreeNetwork[] {
  const { pools, bits, busy, countMax } = request;
  const hard = busy.hard.map(({ prefix }) => prefix);
  const found: IpPrefix[] = [];
  let cleanCount = 0;
  for (const [tolerance, isAvoided] of TOLERANCES.entries()) {
    for (const pool of pools) {
      if (found.length >= countMax) break;
      const around = [...hard, ...found];
      for (const one of busy.soft) if (isAvoided(one, pool, bits)) around.push(one.prefix);
      found.push(...findFreePrefixes({ pool, bits, busy: around, countMax: countMax - found.length }));
    }
    if (tolerance === 0) cleanCount = found.length;
  }
  // What lies beside everything meets nothing.
  return found.map((prefix, i) => (i < cleanCount ? { prefix, warnings: [] } : withWarnings(prefix, busy)));
}

function withWarnings(prefix: IpPrefix, busy: BusyPrefixes): FreeNetwork {
  return {
    prefix,
    get warnings() {
      return judgeRequest(prefix, busy).warnings;
    },
  };
}

/** By number as in {@link allocatePrefix}: what of the soft ones is still avoided in a pool. */
const TOLERANCES: readonly ((one: BusyPrefix, pool: IpPrefix, bits: number) => boolean)[] = [
  () => true,
  (one, pool, bits) => isAlwaysAvoided(one, bits) || one.prefix.bits > pool.bits || !hasOverlap(one.prefix, pool),
  (one, _, bits) => isAlwaysAvoided(one, bits),
];

function isAlwaysAvoided({ kind, prefix }: BusyPrefix, bits: number): boolean {
  return kind === 'route' && prefix.bits >= bits;
}
