import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { endpoint, kindOf, natWorld, openWorld, PEER, type World } from '../../test/path-world.ts';

type Step =
  | { readonly kind: 'chat' | 'rest'; readonly ms: number }
  | { readonly kind: 'lose'; readonly percent: number; readonly isOneWay: boolean }
  | { readonly kind: 'move' | 'rebind' | 'probe' | 'restart-relay' | 'unreachable' };

const steps: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constantFrom('chat' as const, 'rest' as const), ms: fc.integer({ min: 20, max: 4000 }) }),
  fc.record({ kind: fc.constant('lose' as const), percent: fc.constantFrom(0, 10, 50, 100), isOneWay: fc.boolean() }),
  fc.record({ kind: fc.constantFrom('move', 'rebind', 'probe', 'restart-relay', 'unreachable') }),
);

let ports = 20_000;

function take(world: World, step: Step, random: () => number): void {
  const { a, b } = world;
  switch (step.kind) {
    case 'chat':
      world.chat(world.nowMs + step.ms);
      break;
    case 'rest':
      world.run(world.nowMs + 20 * step.ms);
      break;
    case 'lose':
      world.isLost = (from) => random() * 100 < step.percent && !(step.isOneWay && from === b);
      break;
    case 'move':
      ports++;
      if (b.nat === undefined) b.local = endpoint(`198.51.100.2:${ports}`);
      else b.nat.public = endpoint(`203.0.113.2:${ports}`);
      break;
    case 'rebind':
      a.agent.handleRebind(world.nowMs);
      break;
    case 'probe':
      b.agent.probe(PEER, world.nowMs);
      break;
    case 'restart-relay':
      world.isRelayDead = !world.isRelayDead;
      break;
    default:
      a.agent.noteSendError(b.public, true, world.nowMs);
  }
  world.drain();
}

function seeded(seed: number): () => number {
  let state = seed | 1;
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return state / 0x80000000;
  };
}

describe('whatever happens to the network', () => {
  // The world itself fails when a machine is due again right after its timeout.
  it('every packet has a way, timers progress, and a healed network becomes direct again', () => {
    const script = fc.record({ isNat: fc.boolean(), seed: fc.nat(), steps: fc.array(steps, { maxLength: 12 }) });
    fc.assert(
      fc.property(script, ({ isNat, seed, steps: todo }) => {
        const world = (isNat ? natWorld() : openWorld()).introduce();
        const random = seeded(seed);
        for (const step of todo) {
          take(world, step, random);
          const route = world.a.agent.chooseRoute(PEER, world.nowMs);
          expect(route.endpoint !== undefined || route.regionId !== 0).toBe(true);
        }
        world.isLost = () => false;
        world.isRelayDead = false;
        world.chat(world.nowMs + 15_000);
        // What the STUN prober does every 20 to 26 s while the node is active.
        world.refreshEndpoints();
        world.chat(world.nowMs + 15_000);
        expect([kindOf(world.a), kindOf(world.b)]).toEqual(['direct', 'direct']);
        expect(world.longestSilenceMs(world.nowMs - 2000, world.nowMs)).toBeLessThan(100);
        world.run(world.nowMs + 120_000);
        expect([world.a.agent.pollTimeout(), world.b.agent.pollTimeout()]).toEqual([undefined, undefined]);
      }),
      { numRuns: 40 },
    );
  });
});
