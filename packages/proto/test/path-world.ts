import { nobleProvider } from '../src/crypto/noble-provider.ts';
import { createEndpoint, type Endpoint, parseEndpoint } from '../src/ip/endpoint.ts';
import { type DiscoPrivateKey, generatePrivateKey } from '../src/keys/private-key.ts';
import type { NodePublicKey } from '../src/keys/public-key.ts';
import { PathAgent, type PathEvent, type PathSource } from '../src/path/path-agent.ts';
import { seededRng } from './seeded-rng.ts';

export const UDP_MS = 10;
export const RELAY_MS = 25;
export const REGION = 7;
export const PEER = 0;

export function endpoint(text: string): Endpoint {
  return parseEndpoint(text) as Endpoint;
}

interface Data {
  readonly number: number;
  readonly isEcho: boolean;
}

/** A home router: one public port per local port, and only addresses that were sent to may answer. */
export class EasyNat {
  readonly allowed = new Set<string>();
  public: Endpoint;

  constructor(publicEndpoint: Endpoint) {
    this.public = publicEndpoint;
  }
}

export class Host {
  readonly nodeKey: NodePublicKey;
  readonly discoKey: DiscoPrivateKey;
  readonly agent: PathAgent;
  readonly events: PathEvent[] = [];
  readonly arrivals: { atMs: number; number: number; way: 'udp' | 'derp'; isEcho: boolean }[] = [];
  /** Data by each way, and disco by UDP. */
  readonly sent = { udp: 0, derp: 0, pings: 0 };
  /** What WireGuard's replay window knows: the copy that comes second is not noticed. */
  readonly seen = new Set<string>();
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
export class World {
  nowMs = 1000;
  readonly a: Host;
  readonly b: Host;
  /** Drops UDP datagrams when it returns true. */
  isLost: (from: Host, isDisco: boolean) => boolean = () => false;
  isRelayDead = false;
  udpMs: number = UDP_MS;
  relayMs: number = RELAY_MS;
  #sentCount = 0;
  readonly #deliveries: { atMs: number; order: number; run: () => void }[] = [];
  #order = 0;

  constructor(a: Host, b: Host) {
    this.a = a;
    this.b = b;
  }

  /** Lets both know each other as the coordination server would. */
  introduce(hasEndpoints = true): this {
    for (const host of [this.a, this.b]) this.tell(host, hasEndpoints);
    this.refreshEndpoints();
    return this;
  }

  /** Lets both find out their endpoints again. */
  refreshEndpoints(): void {
    for (const host of [this.a, this.b]) host.agent.setLocalEndpoints([host.public, host.local], this.nowMs);
  }

  tell(host: Host, hasEndpoints: boolean): void {
    const other = this.other(host);
    const info = {
      nodeKey: other.nodeKey,
      discoKey: other.discoKey.publicKey,
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
    while (this.nowMs < untilMs) {
      this.send(from, { number: ++this.#sentCount, isEcho: false });
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
    this.#after(this.udpMs, () => {
      const receiver = [this.a, this.b].find((host) => host.public.text === to.text);
      if (receiver === undefined || receiver.nat?.allowed.has(source.text) === false) return;
      deliver(receiver, { kind: 'udp', endpoint: createEndpoint(source.address, source.port) });
    });
  }

  #relay(from: Host, regionId: number, deliver: (to: Host, source: PathSource) => void): void {
    if (this.isRelayDead) return;
    this.#after(this.relayMs, () => deliver(this.other(from), { kind: 'derp', regionId, peer: PEER }));
  }

  #arrive(to: Host, source: PathSource, data: Data): void {
    const key = `${data.number} ${data.isEcho}`;
    if (to.seen.has(key)) return;
    to.seen.add(key);
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

export function openWorld(): World {
  return new World(new Host(1, '198.51.100.1:41641', undefined), new Host(2, '198.51.100.2:41641', undefined));
}

export function natWorld(): World {
  return new World(
    new Host(1, '192.168.0.2:41641', new EasyNat(endpoint('203.0.113.1:1001'))),
    new Host(2, '192.168.9.2:41641', new EasyNat(endpoint('203.0.113.2:1002'))),
  );
}

export function kindOf(host: Host): string {
  return host.agent.describe(PEER).kind;
}
