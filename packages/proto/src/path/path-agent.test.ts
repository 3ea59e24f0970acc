import { describe, expect, it } from 'vitest';
import { seededRng } from '../../test/seeded-rng.ts';
import { nobleProvider } from '../crypto/noble-provider.ts';
import { createEndpoint, type Endpoint, parseEndpoint } from '../ip/endpoint.ts';
import { generatePrivateKey } from '../keys/private-key.ts';
import type { DiscoPublicKey } from '../keys/public-key.ts';
import { PathAgent, type PathEvent, type PathSource } from './path-agent.ts';

const UDP_MS = 10;
const RELAY_MS = 25;
const REGION = 7;
const PEER = 0;

function endpoint(text: string): Endpoint {
  return parseEndpoint(text) as Endpoint;
}

interface Data {
  readonly number: number;
  readonly isEcho: boolean;
}

/** A home router: one public port per local port, and only addresses that were sent to may answer. */
class EasyNat {
  readonly allowed = new Set<string>();
  public: Endpoint;

  constructor(publicEndpoint: Endpoint) {
    this.public = publicEndpoint;
  }
}

class Host {
  readonly nodeKey = generatePrivateKey('node', nobleProvider, seededRng(1)).publicKey;
  discoKey = generatePrivateKey('disco', nobleProvider, seededRng(1));
  agent: PathAgent;
  events: PathEvent[] = [];
  /** [time, number, way] of every arrival. */
  arrivals: { atMs: number; number: number; way: 'udp' | 'derp'; isEcho: boolean }[] = [];
  sent = { udp: 0, derp: 0, pings: 0 };
  isEchoing = true;
  local: Endpoint;
  readonly nat: EasyNat | undefined;

  constructor(seed: number, local: string, nat: EasyNat | undefined) {
    const rng = seededRng(seed);
    this.nodeKey = generatePrivateKey('node', nobleProvider, rng).publicKey;
    this.discoKey = generatePrivateKey('disco', nobleProvider, rng);
    this.local = endpoint(local);
    this.nat = nat;
    this.agent = new PathAgent({ discoKey: this.discoKey, nodeKey: this.nodeKey, crypto: nobleProvider, rng });
  }

  get public(): Endpoint {
    return this.nat?.public ?? this.local;
  }
}

/** Two hosts, a relay, and a UDP network between them with virtual time. */
class World {
  nowMs = 1000;
  readonly a: Host;
  readonly b: Host;
  /** Drops UDP datagrams when it returns true. */
  isLost: (from: Host, isDisco: boolean) => boolean = () => false;
  isRelayDead = false;
  readonly #deliveries: { atMs: number; order: number; run: () => void }[] = [];
  #order = 0;

  constructor(a: Host, b: Host) {
    this.a = a;
    this.b = b;
  }

  /** Lets both know each other as the coordination server would. */
  introduce(hasEndpoints = true): this {
    for (const host of [this.a, this.b]) this.tell(host, hasEndpoints);
    for (const host of [this.a, this.b]) host.agent.setLocalEndpoints([host.public, host.local], this.nowMs);
    return this;
  }

  tell(host: Host, hasEndpoints: boolean, discoKey?: DiscoPublicKey | undefined): void {
    const other = this.other(host);
    const info = {
      nodeKey: other.nodeKey,
      discoKey: discoKey ?? other.discoKey.publicKey,
      endpoints: hasEndpoints ? [other.public] : [],
      homeDerp: REGION,
    };
    host.agent.updatePeer(PEER, info, this.nowMs);
  }

  other(host: Host): Host {
    return host === this.a ? this.b : this.a;
  }

  send(from: Host, data: Data): void {
    const route = from.agent.chooseRoute(PEER, this.nowMs);
    if (route.endpoint !== undefined) {
      from.sent.udp++;
      this.#udp(from, route.endpoint, false, (to, source) => this.#arrive(to, source, data));
    }
    if (route.regionId !== 0) {
      from.sent.derp++;
      this.#relay(from, route.regionId, (to, source) => this.#arrive(to, source, data));
    }
    this.drain();
  }

  /** Sends a packet every 20 ms until then, which the other host echoes. */
  chat(untilMs: number, from: Host = this.a): void {
    for (let number = 0; this.nowMs < untilMs; number++) {
      this.send(from, { number, isEcho: false });
      this.run(this.nowMs + 20);
    }
  }

  /** The longest time between two arrivals of echoes at `a` within a window. */
  longestSilenceMs(fromMs: number, toMs: number, at: Host = this.a): number {
    const times = at.arrivals.map(({ atMs }) => atMs).filter((atMs) => atMs >= fromMs && atMs <= toMs);
    return Math.max(...[...times, toMs].map((atMs, i) => atMs - (times[i - 1] ?? fromMs)));
  }

  run(untilMs: number): void {
    this.drain();
    for (;;) {
      const next = this.#deliveries[0];
      const wakes = [this.a, this.b].map((host) => host.agent.pollTimeout()?.atMs ?? Number.POSITIVE_INFINITY);
      const atMs = Math.min(next?.atMs ?? Number.POSITIVE_INFINITY, ...wakes);
      if (atMs > untilMs) break;
      this.nowMs = Math.max(this.nowMs, atMs);
      if (next !== undefined && next.atMs <= this.nowMs) {
        this.#deliveries.shift();
        next.run();
      }
      this.#handleTimeouts();
    }
    this.nowMs = untilMs;
  }

  drain(): void {
    for (const host of [this.a, this.b]) {
      for (let event = host.agent.pollEvent(); event !== undefined; event = host.agent.pollEvent()) {
        host.events.push(event);
        if (event.kind === 'endpoints-wanted') host.agent.setLocalEndpoints([host.public, host.local], this.nowMs);
      }
      for (let sent = host.agent.pollTransmit(); sent !== undefined; sent = host.agent.pollTransmit()) {
        const { bytes } = sent;
        if (sent.kind === 'udp') {
          host.sent.pings++;
          this.#udp(host, sent.to, true, (to, source) => to.agent.handleDisco(bytes, source, this.nowMs));
        } else {
          this.#relay(host, sent.regionId, (to, source) => to.agent.handleDisco(bytes, source, this.nowMs));
        }
      }
    }
  }

  #handleTimeouts(): void {
    this.drain();
    for (const host of [this.a, this.b]) host.agent.handleTimeout(this.nowMs);
    this.drain();
    for (const host of [this.a, this.b]) {
      const wake = host.agent.pollTimeout();
      if (wake !== undefined && wake.atMs <= this.nowMs) throw new Error(`no progress: ${wake.why}`);
    }
  }

  #udp(from: Host, to: Endpoint, isDisco: boolean, deliver: (to: Host, source: PathSource) => void): void {
    from.nat?.allowed.add(to.text);
    const source = from.public;
    if (this.isLost(from, isDisco)) return;
    this.#after(UDP_MS, () => {
      const receiver = [this.a, this.b].find((host) => host.public.text === to.text);
      if (receiver === undefined || receiver.nat?.allowed.has(source.text) === false) return;
      deliver(receiver, { kind: 'udp', endpoint: createEndpoint(source.address, source.port) });
    });
  }

  #relay(from: Host, regionId: number, deliver: (to: Host, source: PathSource) => void): void {
    if (this.isRelayDead) return;
    this.#after(RELAY_MS, () => deliver(this.other(from), { kind: 'derp', regionId, peer: PEER }));
  }

  #arrive(to: Host, source: PathSource, data: Data): void {
    to.arrivals.push({ atMs: this.nowMs, number: data.number, way: source.kind, isEcho: data.isEcho });
    to.agent.noteReceived(PEER, source, this.nowMs);
    if (!data.isEcho && to.isEchoing) this.send(to, { number: data.number, isEcho: true });
  }

  #after(delayMs: number, run: () => void): void {
    const atMs = this.nowMs + delayMs;
    const at = this.#deliveries.findIndex((other) => other.atMs > atMs);
    const delivery = { atMs, order: this.#order++, run };
    if (at < 0) this.#deliveries.push(delivery);
    else this.#deliveries.splice(at, 0, delivery);
  }
}

function openWorld(): World {
  return new World(new Host(1, '198.51.100.1:41641', undefined), new Host(2, '198.51.100.2:41641', undefined));
}

function natWorld(): World {
  return new World(
    new Host(1, '192.168.0.2:41641', new EasyNat(endpoint('203.0.113.1:1001'))),
    new Host(2, '192.168.9.2:41641', new EasyNat(endpoint('203.0.113.2:1002'))),
  );
}

function kindOf(host: Host): string {
  return host.agent.describe(PEER).kind;
}

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
    world.send(world.a, { number: 1, isEcho: false });
    world.run(world.nowMs + 4 * UDP_MS);
    expect([kindOf(world.a), kindOf(world.b)]).toEqual(['direct', 'direct']);
    expect(world.b.events).toContainEqual({ kind: 'path-changed', peer: PEER });
  });

  it('passes two easy NATs within one round trip after the call', () => {
    const world = natWorld().introduce();
    world.b.isEchoing = false;
    world.send(world.a, { number: 1, isEcho: false });
    // The call arrives at b after RELAY_MS; b's ping and a's pong are one round trip; a's ping back ends half a one later.
    world.run(world.nowMs + RELAY_MS + 2 * UDP_MS);
    expect(kindOf(world.b)).toBe('direct');
    world.run(world.nowMs + UDP_MS);
    expect([kindOf(world.a), kindOf(world.b)]).toEqual(['direct', 'direct']);
    expect(world.a.agent.chooseRoute(PEER, world.nowMs)).toEqual({ endpoint: world.b.public, regionId: 0 });
  });

  it('passes the NATs when the netmap knows no endpoint: the call tells them', () => {
    const world = natWorld().introduce(false);
    world.send(world.a, { number: 1, isEcho: false });
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
    world.chat(diedAtMs + 40_000);
    expect(world.longestSilenceMs(diedAtMs + 15_500, world.nowMs)).toBeLessThan(100);
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
