import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { StateStore } from './state-store.ts';

const deps = { unixMs: () => 1, randomId: () => 'test' };
const LANE_COUNT = 4;
const TIMEOUT_MS = 180_000;
let folder: string;
let writer: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'heddle-kill-'));
  writer = join(folder, 'writer.mjs');
  symlinkSync(fileURLToPath(new URL('../../../../node_modules', import.meta.url)), join(folder, 'node_modules'));
  const bundle = await rolldown({
    input: fileURLToPath(new URL('./test-writer.mjs', import.meta.url)),
    platform: 'node',
    external: ['classic-level'],
    resolve: { conditionNames: ['heddle-source', 'node', 'import', 'default'] },
    logLevel: 'silent',
  });
  await bundle.write({ file: writer, format: 'esm', codeSplitting: false });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A process of test-writer.mjs and the lines it has printed whole. */
class Writer {
  readonly process: ChildProcess;
  #text = '';
  #waiting: (() => void)[] = [];

  constructor(mode: 'write' | 'restore' | 'hold', path: string) {
    this.process = spawn(process.execPath, [writer, mode, path], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.process.stdout?.on('data', (chunk) => {
      this.#text += String(chunk);
      for (const wake of this.#waiting.splice(0)) wake();
    });
    this.process.on('close', () => {
      for (const wake of this.#waiting.splice(0)) wake();
    });
  }

  lines(): string[] {
    return this.#text.split('\n').slice(0, -1);
  }

  /** Until so many lines start with this, or the process has ended. */
  async until(start: string, count = 1): Promise<void> {
    while (this.lines().filter((line) => line.startsWith(start)).length < count) {
      if (this.process.exitCode !== null || this.process.signalCode !== null) return;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  async kill(): Promise<void> {
    const closed = once(this.process, 'close');
    this.process.kill('SIGKILL');
    await closed;
  }
}

interface Found {
  readonly teams: readonly (readonly [string, number])[];
  readonly active?: string;
  readonly restarts?: number;
  /** Name or network, and mark. */
  readonly interfaces: readonly (readonly [string, number])[];
}

/** What is written without sync after commit `tail`, in one batch; the commit after it clears the journal again. */
interface FoundTail {
  readonly tail?: number;
  readonly journal: readonly (readonly [string, number])[];
}

/** What the writer has committed as number `n`. */
function contentOf(n: number): Found {
  if (n === 0) return { teams: [], interfaces: [] };
  const teams = [
    ['left', n],
    ['right', n],
    [`t${n % 5}`, n],
  ] as const;
  const interfaces = [
    ['10.1.0.0/24', n],
    [`link${n % 3}`, n],
  ] as const;
  return { teams, active: `t${n % 5}`, restarts: n, interfaces };
}

interface Lane {
  readonly path: string;
  acked: number;
  tail: number;
}

/** What one process found must be what the one killed before it had acknowledged, or what it was about to. */
function check(lane: Lane, lines: readonly string[]): boolean {
  expect(lines.filter((line) => line.startsWith('failed'))).toEqual([]);
  const text = lines.find((line) => line.startsWith('found '));
  if (text === undefined) return false;
  const { tail = 0, journal, ...found } = JSON.parse(text.slice('found '.length)) as Found & FoundTail;
  const n = found.teams[0]?.[1] ?? 0;
  expect(n - lane.acked).toBeOneOf([0, 1]);
  expect(found).toEqual(contentOf(n));
  expect(tail).toBeGreaterThanOrEqual(lane.tail);
  expect(journal).toEqual(tail > 0 && tail === n ? [[`link${(n + 1) % 3}`, n + 1]] : []);
  for (const line of lines) {
    if (line.startsWith('ack ')) lane.acked = Number(line.slice(4));
    if (line.startsWith('tail ')) lane.tail = Number(line.slice(5));
  }
  // A commit may have outlived the process without having been told: it counts from the moment it was found.
  lane.acked = Math.max(lane.acked, n);
  return true;
}

/** How long after its last line a process lives on, at most: about one opening, one commit, one restore. */
const DELAY_MS_MAX = { opening: 12, write: 3, restore: 30 };

/** One life: killed while it opens (every third) or after some acknowledgements. */
async function liveAndDie(mode: 'write' | 'restore', lane: Lane, round: number): Promise<boolean> {
  const child = new Writer(mode, lane.path);
  const isEarly = round % 3 === 0;
  if (isEarly) await child.until('opening');
  else await child.until('ack', Math.ceil(Math.random() * (mode === 'write' ? 10 : 3)));
  await sleep(Math.random() * DELAY_MS_MAX[isEarly ? 'opening' : mode]);
  await child.kill();
  return check(lane, child.lines());
}

async function killOften(mode: 'write' | 'restore', name: string, countPerLane: number): Promise<number> {
  const lanes = Array.from({ length: LANE_COUNT }, async (_, i) => {
    const lane = { path: join(folder, `${name}${i}`, 'state.db'), acked: 0, tail: 0 };
    let count = 0;
    for (let round = 0; round < countPerLane; round++) count += (await liveAndDie(mode, lane, round)) ? 1 : 0;
    await expectClean(lane);
    return count;
  });
  return (await Promise.all(lanes)).reduce((sum, count) => sum + count, 0);
}

async function expectClean(lane: Lane): Promise<void> {
  const store = await StateStore.open(lane.path, deps);
  const n = store.team('left')?.updatedUnixMs ?? 0;
  expect(n - lane.acked).toBeOneOf([0, 1]);
  expect(store.teams().map((team) => [team.name, team.updatedUnixMs])).toEqual(contentOf(n).teams);
  await store.close();
  const names = readdirSync(join(lane.path, '..')).filter((name) => name !== 'state.db.before-restore');
  expect(names).toEqual(['state.db', expect.stringMatching(/^state\.db\.lock\.[0-9]+$/)]);
}

describe('kill -9', () => {
  it(
    'at 200 moments loses no acknowledged change, tears none, and leaves nothing behind',
    async () => {
      expect(await killOften('write', 'write', 200 / LANE_COUNT)).toBeGreaterThan(100);
    },
    TIMEOUT_MS,
  );

  it(
    'of a creation leaves nothing that the next start does not clean',
    async () => {
      const lives = Array.from({ length: 12 }, async (_, round) => {
        const lane = { path: join(folder, `create${round}`, 'state.db'), acked: 0, tail: 0 };
        const child = new Writer('hold', lane.path);
        await child.until('opening');
        await sleep(round);
        await child.kill();
        await expectClean(lane);
      });
      await Promise.all(lives);
    },
    TIMEOUT_MS,
  );

  it(
    'of a restore leaves the old database or the new one',
    async () => {
      expect(await killOften('restore', 'restore', 10)).toBeGreaterThan(20);
    },
    TIMEOUT_MS,
  );

  it('of the owner frees the database, which is refused to others while it lives', async () => {
    const path = join(folder, 'owners', 'state.db');
    const owner = new Writer('hold', path);
    await owner.until('found');
    const refused = { code: 'state/locked', message: expect.stringContaining(`process ${owner.process.pid}`) };
    await expect(StateStore.open(path, deps)).rejects.toMatchObject(refused);
    await owner.kill();
    const store = await StateStore.open(path, deps);
    await store.close();
  });
});
