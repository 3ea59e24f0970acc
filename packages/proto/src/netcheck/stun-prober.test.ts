import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { endpoint } from '../../test/path-world.ts';
import { seededRng } from '../../test/seeded-rng.ts';
import vectors from '../../test/vectors/stun/stun.json' with { type: 'json' };
import { parseHex } from '../bytes/hex.ts';
import type { Endpoint } from '../ip/endpoint.ts';
import { decodeBindingRequest, encodeBindingResponse } from '../stun/stun.ts';
import { STUN_ROUND_MS, StunProber, type StunReport, type StunServer, type StunTransmit } from './stun-prober.ts';

const MAPPED = endpoint('203.0.113.1:1001');

function server(regionId: number, text = `198.51.100.${regionId}:3478`): StunServer {
  return { regionId, endpoint: endpoint(text) };
}

/** Answers for each server address after its latency, in virtual time. Absent servers are silent. */
class Internet {
  nowMs = 0;
  readonly reports: StunReport[] = [];
  readonly sent: { to: string; atMs: number }[] = [];
  readonly latencyMs = new Map<string, number>();
  mappingFor: (server: string) => Endpoint = () => MAPPED;
  readonly #prober: StunProber;
  #answers: { atMs: number; to: Endpoint; bytes: Uint8Array }[] = [];

  constructor(prober: StunProber) {
    this.#prober = prober;
  }

  run(untilMs: number): void {
    this.#drain();
    for (;;) {
      const wakeMs = this.#prober.pollTimeout()?.atMs ?? Number.POSITIVE_INFINITY;
      this.#answers.sort((a, b) => a.atMs - b.atMs);
      const next = this.#answers[0];
      const atMs = Math.min(wakeMs, next?.atMs ?? Number.POSITIVE_INFINITY);
      if (atMs > untilMs) break;
      this.nowMs = Math.max(this.nowMs, atMs);
      if (next !== undefined && next.atMs <= this.nowMs) {
        this.#answers = this.#answers.slice(1);
        this.#prober.handleStun(next.bytes, next.to, this.nowMs);
        this.#drain();
      }
      this.#prober.handleTimeout(this.nowMs);
      this.#drain();
      const wake = this.#prober.pollTimeout();
      if (wake !== undefined && wake.atMs <= this.nowMs) throw new Error(`no progress: ${wake.why}`);
    }
    this.nowMs = untilMs;
  }

  #drain(): void {
    for (let sent = this.#prober.pollTransmit(); sent !== undefined; sent = this.#prober.pollTransmit())
      this.#take(sent);
    for (let report = this.#prober.pollEvent(); report !== undefined; report = this.#prober.pollEvent()) {
      this.reports.push(report);
    }
  }

  #take({ to, bytes }: StunTransmit): void {
    this.sent.push({ to: to.text, atMs: this.nowMs });
    const latencyMs = this.latencyMs.get(to.text);
    if (latencyMs === undefined) return;
    const txId = decodeBindingRequest(bytes) as Uint8Array;
    const answer = encodeBindingResponse(txId, this.mappingFor(to.text));
    this.#answers.push({ atMs: this.nowMs + latencyMs, to, bytes: answer });
  }
}

let prober: StunProber;
let internet: Internet;

beforeEach(() => {
  prober = new StunProber({ rng: seededRng(1) });
  internet = new Internet(prober);
});

function latencies(): [number, number][] {
  return [...(internet.reports.at(-1)?.regionLatencyMs ?? [])];
}

describe('a round', () => {
  it('reports the mapping and the latency of each region as soon as all answered', () => {
    internet.latencyMs.set('198.51.100.1:3478', 30);
    internet.latencyMs.set('198.51.100.2:3478', 50);
    prober.setServers([server(1), server(2)], 0);
    internet.run(60);
    expect(internet.reports).toHaveLength(1);
    expect(internet.reports[0]).toMatchObject({ atMs: 50, startedAtMs: 0, mapped: [MAPPED], isMappingVarying: false });
    expect(latencies()).toEqual([
      [1, 30],
      [2, 50],
    ]);
    expect(prober.mappedEndpoints).toEqual([MAPPED]);
    expect(prober.pollTimeout()).toBeUndefined();
  });

  it('asks three times, 100 ms apart, the servers of a region in turn', () => {
    prober.setServers([server(1, '198.51.100.1:1'), server(1, '198.51.100.1:2')], 0);
    internet.run(10_000);
    expect(internet.sent).toEqual([
      { to: '198.51.100.1:1', atMs: 0 },
      { to: '198.51.100.1:2', atMs: 100 },
      { to: '198.51.100.1:1', atMs: 200 },
    ]);
    expect(internet.reports).toHaveLength(1);
    expect(internet.reports[0]).toMatchObject({ atMs: STUN_ROUND_MS, mapped: [], isMappingVarying: undefined });
  });

  it('asks over both families, and stops asking the one that answered', () => {
    const own6 = endpoint('[2001:db8::9]:77');
    internet.mappingFor = (text) => (text.startsWith('[') ? own6 : MAPPED);
    internet.latencyMs.set('[2001:db8::1]:3478', 20);
    internet.latencyMs.set('198.51.100.1:2', 40);
    prober.setServers([server(1, '198.51.100.1:1'), server(1, '198.51.100.1:2'), server(1, '[2001:db8::1]:3478')], 0);
    internet.run(3000);
    expect(internet.sent.filter(({ to }) => to.startsWith('['))).toHaveLength(1);
    expect(internet.reports[0]).toMatchObject({ atMs: 140, mapped: [MAPPED, own6] });
    expect(latencies()).toEqual([[1, 20]]);
  });

  it('does not wait for a fourth region longer than twice the slowest of three', () => {
    for (const [regionId, ms] of [
      [1, 30],
      [2, 150],
      [3, 60],
    ] as const)
      internet.latencyMs.set(server(regionId).endpoint.text, ms);
    prober.setServers(
      [1, 2, 3, 4].map((regionId) => server(regionId)),
      0,
    );
    internet.run(3000);
    expect(internet.reports[0]?.atMs).toBe(150 + 300);
    expect(latencies().map(([regionId]) => regionId)).toEqual([1, 3, 2]);
  });

  it('knows a NAT that gives every destination another port, and tells only the best mapping', () => {
    internet.mappingFor = (text) => endpoint(`203.0.113.1:${text.startsWith('198.51.100.1') ? 1001 : 2002}`);
    internet.latencyMs.set('198.51.100.1:3478', 50);
    internet.latencyMs.set('198.51.100.2:3478', 30);
    prober.setServers([server(1), server(2)], 0);
    internet.run(3000);
    expect(internet.reports[0]).toMatchObject({ isMappingVarying: true, mapped: [{ text: '203.0.113.1:2002' }] });
  });

  it('asked for during a round follows right after it, once', () => {
    internet.latencyMs.set('198.51.100.1:3478', 30);
    prober.setServers([server(1)], 0);
    prober.probe(0);
    prober.probe(0);
    internet.run(10_000);
    expect(internet.reports.map(({ atMs }) => atMs)).toEqual([30, 160]);
  });

  it('without any server reports at once that nothing is known', () => {
    prober.setServers([], 5);
    expect(prober.pollTimeout()?.atMs).toBe(5);
    expect(prober.pollEvent()).toMatchObject({ mapped: [], atMs: 5 });
  });
});

describe('rounds while active', () => {
  it('repeat every 20 to 26 seconds, and stop when the node rests', () => {
    internet.latencyMs.set('198.51.100.1:3478', 30);
    prober.setServers([server(1)], 0);
    internet.run(1000);
    prober.setActive(true, 1000);
    internet.run(601_000);
    const times = internet.reports.map(({ atMs }) => atMs);
    const gaps = times.slice(2).map((atMs, i) => atMs - (times[i + 1] as number));
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(20_000);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(26_030);
    expect(new Set(gaps).size).toBeGreaterThan(10);
    prober.setActive(false, 601_000);
    expect(prober.pollTimeout()).toBeUndefined();
  });

  it('ask only the three nearest regions and the home in between, all every five minutes', () => {
    const regions = [1, 2, 3, 4, 5, 6];
    for (const regionId of regions) internet.latencyMs.set(server(regionId).endpoint.text, 10 * regionId);
    prober.setServers(
      regions.map((regionId) => server(regionId)),
      0,
    );
    prober.setHomeRegion(6);
    internet.run(1000);
    prober.setActive(true, 1000);
    internet.run(28_000);
    expect(latencies().map(([regionId]) => regionId)).toEqual([1, 2, 3, 6]);
    internet.run(360_000);
    const counts = internet.reports.map(({ regionLatencyMs }) => regionLatencyMs.size);
    expect(counts.filter((count) => count === 6)).toHaveLength(2);
  });

  it('keep the mapping through one that nobody answered, but not for long', () => {
    internet.latencyMs.set('198.51.100.1:3478', 30);
    prober.setServers([server(1)], 0);
    prober.setActive(true, 0);
    internet.run(1000);
    internet.latencyMs.clear();
    internet.run(60_000);
    expect(internet.reports.at(-1)?.mapped).toEqual([]);
    expect(prober.mappedEndpoints).toEqual([MAPPED]);
    internet.run(400_000);
    expect(prober.mappedEndpoints).toEqual([]);
    expect(prober.reports.length).toBeLessThan(20);
  });
});

describe('answers', () => {
  it('count by transaction id from wherever they come, and only once', () => {
    prober.setServers([server(1)], 0);
    const request = prober.pollTransmit() as StunTransmit;
    const answer = encodeBindingResponse(decodeBindingRequest(request.bytes) as Uint8Array, MAPPED);
    prober.handleStun(answer, endpoint('192.0.2.250:1'), 10);
    expect(prober.pollEvent()?.mapped).toEqual([MAPPED]);
    prober.handleStun(answer, request.to, 11);
    expect(prober.counters.count('unknown-transaction')).toBe(1);
  });

  it('that are foreign or broken are counted', () => {
    prober.setServers([server(1)], 0);
    for (const { bytes } of [...vectors.responses, ...vectors.oddResponses]) {
      prober.handleStun(parseHex(bytes) as Uint8Array, MAPPED, 1);
    }
    expect(prober.counters.snapshot()).toEqual({
      'unknown-transaction': 7,
      malformed: 2,
      'not-response': 2,
      'not-stun': 1,
    });
    fc.assert(fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => prober.handleStun(bytes, MAPPED, 1)));
    expect(prober.pollEvent()).toBeUndefined();
  });
});
