import { describe, expect, it } from 'vitest';
import { chooseHomeRegion, type HomeRegionInput, type LatencyReport } from './home-region.ts';

const NOW_MS = 1_000_000;

function report(latencies: Record<number, number>, atMs = NOW_MS): LatencyReport {
  const regionLatencyMs = new Map(Object.entries(latencies).map(([regionId, ms]) => [Number(regionId), ms]));
  return { startedAtMs: atMs - 100, atMs, regionLatencyMs };
}

function choose(
  changes: Partial<HomeRegionInput> & { noHome?: readonly number[]; scores?: [number, number][] },
): number {
  const { noHome = [], scores = [], ...input } = changes;
  const regions = new Map(
    [3, 1, 2].map((regionId) => [regionId, { regionId, isNoMeasureNoHome: noHome.includes(regionId) }]),
  );
  return chooseHomeRegion({
    map: { regions, regionScore: new Map(scores) },
    reports: [],
    oldHome: 0,
    lastFrameAtMs: undefined,
    excluded: new Set(),
    nowMs: NOW_MS,
    ...input,
  });
}

describe('chooseHomeRegion', () => {
  it('takes the fastest region', () => {
    expect(choose({ reports: [report({ 1: 50, 2: 20, 3: 90 })] })).toBe(2);
  });

  it('takes the lowest id of equals', () => {
    expect(choose({ reports: [report({ 3: 20, 2: 20 })] })).toBe(2);
  });

  it('weighs with the score of the region', () => {
    expect(choose({ reports: [report({ 1: 50, 2: 40 })], scores: [[1, 0.5]] })).toBe(1);
    expect(choose({ reports: [report({ 1: 50, 2: 40 })], scores: [[1, 0]] })).toBe(2);
  });

  it('looks at the best latency of the last five minutes, of regions that answer now', () => {
    const reports = [report({ 1: 1, 3: 10 }, NOW_MS - 300_000), report({ 1: 90, 2: 50 })];
    expect(choose({ reports })).toBe(1);
    const old = [report({ 1: 1, 3: 10 }, NOW_MS - 305_001), report({ 1: 90, 2: 50 })];
    expect(choose({ reports: old })).toBe(2);
  });

  it('stays at home for a gain below 10 ms or below a third', () => {
    expect(choose({ oldHome: 1, reports: [report({ 1: 14, 2: 5 })] })).toBe(1);
    expect(choose({ oldHome: 1, reports: [report({ 1: 15, 2: 5 })] })).toBe(2);
    expect(choose({ oldHome: 1, reports: [report({ 1: 100, 2: 67 })] })).toBe(1);
    expect(choose({ oldHome: 1, reports: [report({ 1: 100, 2: 66 })] })).toBe(2);
  });

  it('stays at a home that lost its probes while its relay still talks', () => {
    const reports = [report({ 1: 21 }, NOW_MS - 20_000), report({ 2: 20 })];
    expect(choose({ oldHome: 1, reports, lastFrameAtMs: NOW_MS - 8000 })).toBe(1);
    expect(choose({ oldHome: 1, reports, lastFrameAtMs: NOW_MS - 8001 })).toBe(2);
    expect(choose({ oldHome: 1, reports })).toBe(2);
  });

  it('counts a frame since the probes began, however long they took', () => {
    const slow = { ...report({ 2: 20 }), startedAtMs: NOW_MS - 20_000 };
    expect(choose({ oldHome: 1, reports: [slow], lastFrameAtMs: NOW_MS - 19_000 })).toBe(1);
  });

  it('keeps a living home when nothing was measured, for two minutes', () => {
    expect(choose({ oldHome: 3, reports: [report({})], lastFrameAtMs: NOW_MS - 120_000 })).toBe(3);
    expect(choose({ oldHome: 3, reports: [report({})], lastFrameAtMs: NOW_MS - 120_001 })).toBe(1);
  });

  it('falls back to the lowest region that may be a home', () => {
    expect(choose({})).toBe(1);
    expect(choose({ noHome: [1] })).toBe(2);
    expect(choose({ noHome: [1, 2, 3] })).toBe(0);
  });

  it('never chooses a region that may not be a home, even if it answered', () => {
    expect(choose({ reports: [report({ 1: 1, 2: 50 })], noHome: [1] })).toBe(2);
  });

  it('leaves out excluded regions unless nothing else is left', () => {
    expect(choose({ oldHome: 1, reports: [report({ 1: 1, 2: 50 })], excluded: new Set([1]) })).toBe(2);
    expect(choose({ reports: [report({ 2: 50 })], excluded: new Set([1, 2, 3]) })).toBe(2);
  });

  it('leaves a home that is no longer in the map', () => {
    expect(choose({ oldHome: 9, reports: [report({ 1: 50 })], lastFrameAtMs: NOW_MS })).toBe(1);
    expect(choose({ oldHome: 9, lastFrameAtMs: NOW_MS })).toBe(1);
  });
});
