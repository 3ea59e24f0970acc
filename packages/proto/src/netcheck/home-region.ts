/** The part of a DERP map that the choice needs; `control/derp-map.ts` has the whole. */
export interface HomeRegionMap {
  readonly regions: ReadonlyMap<number, { readonly regionId: number; readonly isNoMeasureNoHome: boolean }>;
  /** Factor on the latency of a region: below 1 attracts, above 1 repels. 0 and absent mean 1. */
  readonly regionScore: ReadonlyMap<number, number>;
}

/** What one round of probes measured. */
export interface LatencyReport {
  /** When the first probe left. */
  readonly startedAtMs: number;
  readonly atMs: number;
  /** Best round trip per region that answered. */
  readonly regionLatencyMs: ReadonlyMap<number, number>;
}

/** Everything the choice depends on. */
export interface HomeRegionInput {
  readonly map: HomeRegionMap;
  /** Oldest first; the last one is the current report. Empty when nothing was probed yet. */
  readonly reports: readonly LatencyReport[];
  /** The region in use; 0 for none. */
  readonly oldHome: number;
  /** When the relay of the old home last sent us anything; `undefined` for never. */
  readonly lastFrameAtMs: number | undefined;
  /** Regions that cannot be used at the moment although they answer probes, such as after failed logins. */
  readonly excluded: ReadonlySet<number>;
  readonly nowMs: number;
}

/** Latencies count for this long: five minutes and the time of one round. */
export const LATENCY_HISTORY_MS = 305_000;

const FRAME_FRESH_MS = 8000;
const FRAME_ALIVE_MS = 120_000;
const GAIN_MIN_MS = 10;
const GAIN_RATIO = 2 / 3;

/**
 * Chooses the home relay: the region with the least latency, but the old home as long as it works and the gain is
 * small (docs/spec/path.md#home-relay). Without any measurement a living old home stays; else it is the lowest region
 * id that may be a home, so that nodes without measurements meet. Returns 0 when the map offers none.
 */
export function chooseHomeRegion(input: HomeRegionInput): number {
  const usable = usableRegions(input);
  const current = input.reports.at(-1)?.regionLatencyMs ?? new Map<number, number>();
  const latencies = new Map<number, number>();
  for (const regionId of usable) if (current.has(regionId)) latencies.set(regionId, scoredLatencyMs(regionId, input));
  const isOldUsable = usable.includes(input.oldHome);
  if (latencies.size === 0) {
    return isOldUsable && hasFrameWithin(FRAME_ALIVE_MS, input) ? input.oldHome : (usable[0] ?? 0);
  }
  const best = lowest(latencies);
  return isOldUsable && shouldStay(best, latencies, input) ? input.oldHome : best;
}

/** Region ids in ascending order. */
function usableRegions({ map, excluded }: HomeRegionInput): number[] {
  const usable = [...map.regions.values()].filter((region) => !region.isNoMeasureNoHome && region.regionId !== 0);
  const ids = usable.map((region) => region.regionId).sort((a, b) => a - b);
  const allowed = ids.filter((regionId) => !excluded.has(regionId));
  // A relay that failed a moment ago is still better than none.
  return allowed.length > 0 ? allowed : ids;
}

function scoredLatencyMs(regionId: number, { map, reports, nowMs }: HomeRegionInput): number {
  let bestMs = Number.POSITIVE_INFINITY;
  for (const report of reports) {
    const isOld = nowMs - report.atMs > LATENCY_HISTORY_MS && report !== reports.at(-1);
    if (!isOld) bestMs = Math.min(bestMs, report.regionLatencyMs.get(regionId) ?? Number.POSITIVE_INFINITY);
  }
  const score = map.regionScore.get(regionId) ?? 0;
  return score > 0 ? bestMs * score : bestMs;
}

/** The map iterates in ascending region id, so that equal latencies give the same region everywhere. */
function lowest(latencies: ReadonlyMap<number, number>): number {
  let best = 0;
  let bestMs = Number.POSITIVE_INFINITY;
  for (const [regionId, latencyMs] of latencies) {
    if (best !== 0 && latencyMs >= bestMs) continue;
    best = regionId;
    bestMs = latencyMs;
  }
  return best;
}

function shouldStay(best: number, latencies: ReadonlyMap<number, number>, input: HomeRegionInput): boolean {
  const newMs = latencies.get(best) as number;
  const measuredMs = latencies.get(input.oldHome);
  const startedAtMs = input.reports.at(-1)?.startedAtMs ?? Number.POSITIVE_INFINITY;
  const hasFrameSinceStart = input.lastFrameAtMs !== undefined && input.lastFrameAtMs >= startedAtMs;
  if (measuredMs === undefined && !hasFrameSinceStart && !hasFrameWithin(FRAME_FRESH_MS, input)) return false;
  // Reachable but unmeasured now: its latency is what the reports still remember, and unknown means no reason to move.
  const oldMs = measuredMs ?? scoredLatencyMs(input.oldHome, input);
  if (oldMs === Number.POSITIVE_INFINITY) return true;
  return oldMs - newMs < GAIN_MIN_MS || newMs > oldMs * GAIN_RATIO;
}

function hasFrameWithin(spanMs: number, { lastFrameAtMs, nowMs }: HomeRegionInput): boolean {
  return lastFrameAtMs !== undefined && nowMs - lastFrameAtMs <= spanMs;
}
