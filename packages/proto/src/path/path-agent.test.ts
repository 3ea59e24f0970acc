import { describe, expect, it } from 'vitest';
import {
  type EasyNat,
  endpoint,
  kindOf,
  natWorld,
  openWorld,
  PEER,
  REGION,
  RELAY_MS,
  UDP_MS,
  type World,
} from '../../test/path-world.ts';
import { seededRng } from '../../test/seeded-rng.ts';

describe('finding a direct path', () => {
  it('sends the first packet by relay and looks for a direct path at once', () => {
    const world = openWorld().introduce();
    const route = { ...world.a.agent.chooseRoute(PEER, world.nowMs) };
    expect(route).toEqual({ endpoint: undefined, regionId: REGION });
    expect(world.a.agent.pollTimeout()?.atMs).toBe(world.nowMs);
    world.run(world.nowMs + 2 * UDP_MS);
    expect(world.a.agent.chooseRoute(PEER, world.nowMs)).toEqual({ endpoint: world.b.local, regionId: 0 });
    expect(world.a.events).toContainEqual({ kind: 'path-changed', peer: PEER });
    expect(world.a.agent.describe(PEER)).toEqual({
      kind: 'direct',
      endpoint: world.b.local,
      latencyMs: 2 * UDP_MS,
    });
  });

  it('makes both sides direct when only one of them sends', () => {
    const world = openWorld().introduce();
    world.b.isEchoing = false;
    world.send(world.a, { number: 0, isEcho: false });
    world.run(world.nowMs + 4 * UDP_MS);
    expect([kindOf(world.a), kindOf(world.b)]).toEqual(['direct', 'direct']);
    expect(world.b.events).toContainEqual({ kind: 'path-changed', peer: PEER });
  });

  it('passes two easy NATs within one round trip after the call', () => {
    const world = natWorld().introduce();
    world.b.isEchoing = false;
    world.send(world.a, { number: 0, isEcho: false });
    // The call arrives at b after RELAY_MS; b's ping and a's pong are one round trip; a's ping back ends half a one later.
    world.run(world.nowMs + RELAY_MS + 2 * UDP_MS);
    expect(kindOf(world.b)).toBe('direct');
    world.run(world.nowMs + UDP_MS);
    expect([kindOf(world.a), kindOf(world.b)]).toEqual(['direct', 'direct']);
    expect(world.a.agent.chooseRoute(PEER, world.nowMs)).toEqual({ endpoint: world.b.public, regionId: 0 });
  });

  it('passes the NATs when the netmap knows no endpoint: the call tells them', () => {
    const world = natWorld().introduce(false);
    world.send(world.a, { number: 0, isEcho: false });
    world.run(world.nowMs + 500);
    expect([kindOf(world.a), kindOf(world.b)]).toEqual(['direct', 'direct']);
  });
});

describe('keeping a direct path', () => {
  it('has no gap in a conversation while the path becomes direct', () => {
    const world = natWorld().introduce();
    world.chat(world.nowMs + 2000);
    expect(world.longestSilenceMs(1100, 3000)).toBeLessThanOrEqual(40);
    expect(world.a.arrivals.at(-1)?.way).toBe('udp');
    expect(world.a.sent.derp).toBeLessThan(6);
  });

  it('pings every three seconds while active, and nothing more on a fast path', () => {
    const world = openWorld().introduce();
    world.chat(world.nowMs + 1000);
    const before = world.a.sent.pings;
    world.chat(world.nowMs + 30_000);
    // Ten heartbeats of our own and ten pongs for the other side's.
    expect(world.a.sent.pings - before).toBeGreaterThanOrEqual(19);
    expect(world.a.sent.pings - before).toBeLessThanOrEqual(23);
  });

  it('falls silent 45 s after the last packet, with no timer left', () => {
    const world = openWorld().introduce();
    world.chat(world.nowMs + 1000);
    world.run(world.nowMs + 60_000);
    const { a, b } = world;
    const before = a.sent.pings + b.sent.pings;
    world.run(world.nowMs + 600_000);
    expect(a.sent.pings + b.sent.pings).toBe(before);
    expect([a.agent.pollTimeout(), b.agent.pollTimeout()]).toEqual([undefined, undefined]);
  });

  it('sends both ways after a pause, until the path is confirmed again', () => {
    const world = openWorld().introduce();
    world.chat(world.nowMs + 1000);
    world.run(world.nowMs + 120_000);
    expect(world.a.agent.chooseRoute(PEER, world.nowMs)).toEqual({ endpoint: world.b.local, regionId: REGION });
    world.run(world.nowMs + 2 * UDP_MS);
    expect(world.a.agent.chooseRoute(PEER, world.nowMs)).toEqual({ endpoint: world.b.local, regionId: 0 });
  });

  it('lets no packet wait when a fifth of all datagrams is lost', () => {
    const world = openWorld().introduce();
    const rng = seededRng(99);
    const byte = new Uint8Array(1);
    world.isLost = () => {
      rng.fill(byte);
      return (byte[0] as number) < 51;
    };
    world.chat(world.nowMs + 60_000);
    expect(world.longestSilenceMs(1200, 61_000)).toBeLessThan(400);
    expect(kindOf(world.a)).toBe('direct');
  });
});

describe('losing a direct path', () => {
  function chatting(world: World): World {
    world.introduce();
    world.chat(world.nowMs + 5000);
    expect(kindOf(world.a)).toBe('direct');
    return world;
  }

  it('sends by relay as well within one heartbeat, and goes back to direct', () => {
    const world = chatting(openWorld());
    const diedAtMs = world.nowMs;
    world.isLost = () => true;
    world.chat(diedAtMs + 20_000);
    expect(world.longestSilenceMs(diedAtMs, world.nowMs)).toBeLessThan(800);
    expect(world.a.agent.chooseRoute(PEER, world.nowMs)).toEqual({ endpoint: undefined, regionId: REGION });
    expect(kindOf(world.a)).toBe('relay');
    world.isLost = () => false;
    const healedAtMs = world.nowMs;
    world.chat(healedAtMs + 10_000);
    expect(world.longestSilenceMs(healedAtMs, world.nowMs)).toBeLessThan(100);
    expect(world.a.agent.chooseRoute(PEER, world.nowMs)).toEqual({ endpoint: world.b.local, regionId: 0 });
  });

  it('notices it for a stream that nobody answers', () => {
    const world = chatting(openWorld());
    world.b.isEchoing = false;
    const diedAtMs = world.nowMs;
    world.isLost = () => true;
    world.chat(diedAtMs + 10_000);
    expect(world.longestSilenceMs(diedAtMs, world.nowMs, world.b)).toBeLessThan(2000);
  });

  it('notices it when only one direction dies', () => {
    const world = chatting(openWorld());
    const diedAtMs = world.nowMs;
    world.isLost = (from) => from === world.a;
    world.chat(diedAtMs + 10_000);
    expect(world.longestSilenceMs(diedAtMs, world.nowMs)).toBeLessThan(800);
  });

  it('asks before it doubts: a stream in one direction stays direct', () => {
    const world = chatting(openWorld());
    world.b.isEchoing = false;
    const before = { ...world.a.sent };
    world.chat(world.nowMs + 10_000);
    expect(world.a.sent.derp).toBe(before.derp);
    // One ping a second for the silence, beside the pongs.
    expect(world.a.sent.pings - before.pings).toBeLessThan(20);
  });

  it('follows a peer that moves to another address', () => {
    const world = chatting(openWorld());
    world.b.local = endpoint('198.51.100.77:50000');
    world.b.agent.setLocalEndpoints([world.b.local], world.nowMs);
    const movedAtMs = world.nowMs;
    world.chat(movedAtMs + 3000);
    expect(world.longestSilenceMs(movedAtMs, world.nowMs)).toBeLessThan(200);
    expect(world.a.agent.describe(PEER)).toMatchObject({ kind: 'direct', endpoint: world.b.local });
  });

  it('follows a peer whose NAT gives it another port', () => {
    const world = chatting(natWorld());
    const nat = world.b.nat as EasyNat;
    nat.public = endpoint('203.0.113.2:2222');
    nat.allowed.clear();
    const changedAtMs = world.nowMs;
    world.chat(changedAtMs + 6000);
    expect(world.longestSilenceMs(changedAtMs, world.nowMs)).toBeLessThan(800);
    expect(world.a.agent.describe(PEER)).toMatchObject({ kind: 'direct', endpoint: nat.public });
    expect(kindOf(world.b)).toBe('direct');
  });

  it('stays direct without a word when the relay dies', () => {
    const world = chatting(openWorld());
    world.isRelayDead = true;
    const diedAtMs = world.nowMs;
    world.chat(diedAtMs + 90_000);
    expect(world.longestSilenceMs(diedAtMs, world.nowMs)).toBeLessThanOrEqual(20);
  });

  it('sends copies by relay when data dies on a path that passes pings', () => {
    const world = chatting(openWorld());
    const diedAtMs = world.nowMs;
    world.isLost = (_from, isDisco) => !isDisco;
    world.chat(diedAtMs + 34_000);
    // 15 s until the sender doubts the path, 2 s until the other side follows it to the relay.
    expect(world.longestSilenceMs(diedAtMs + 17_500, world.nowMs)).toBeLessThan(100);
  });

  it('does not wait for nothing at every check of a path that still swallows data', () => {
    const world = chatting(openWorld());
    world.isLost = (_from, isDisco) => !isDisco;
    world.chat(world.nowMs + 20_000);
    const fromMs = world.nowMs;
    world.chat(fromMs + 200_000);
    expect(world.longestSilenceMs(fromMs, world.nowMs)).toBeLessThan(4000);
    world.isLost = () => false;
    world.chat(world.nowMs + 80_000);
    const before = world.a.sent.derp + world.b.sent.derp;
    world.chat(world.nowMs + 60_000);
    expect(world.a.sent.derp + world.b.sent.derp).toBe(before);
  });

  it('ends the copies on both sides even if the relay is faster than the direct path', () => {
    const world = openWorld();
    world.relayMs = 5;
    world.udpMs = 20;
    chatting(world);
    world.isLost = () => true;
    world.chat(world.nowMs + 30_000);
    world.isLost = () => false;
    world.chat(world.nowMs + 80_000);
    const before = world.a.sent.derp + world.b.sent.derp;
    world.chat(world.nowMs + 60_000);
    expect(world.a.sent.derp + world.b.sent.derp).toBe(before);
    expect(kindOf(world.a)).toBe('direct');
  });

  it('drops a path at once when the system says that the address is unreachable', () => {
    const world = chatting(openWorld());
    world.a.agent.noteSendError(world.b.local, true, world.nowMs);
    expect(world.a.agent.chooseRoute(PEER, world.nowMs)).toEqual({ endpoint: undefined, regionId: REGION });
    world.run(world.nowMs + 1000);
    expect(kindOf(world.a)).toBe('direct');
  });

  it('sends both ways after any other send error', () => {
    const world = chatting(openWorld());
    world.a.agent.noteSendError(world.b.local, false, world.nowMs);
    expect(world.a.agent.chooseRoute(PEER, world.nowMs)).toEqual({ endpoint: world.b.local, regionId: REGION });
    world.run(world.nowMs + 1500);
    expect(world.a.agent.chooseRoute(PEER, world.nowMs).regionId).toBe(0);
  });

  it('starts over when our own socket is another one', () => {
    const world = chatting(natWorld());
    (world.a.nat as EasyNat).public = endpoint('203.0.113.1:3333');
    world.a.agent.handleRebind(world.nowMs);
    expect(kindOf(world.a)).toBe('relay');
    const movedAtMs = world.nowMs;
    world.chat(movedAtMs + 2000);
    expect(world.longestSilenceMs(movedAtMs, world.nowMs)).toBeLessThan(200);
    expect(kindOf(world.a)).toBe('direct');
  });
});
