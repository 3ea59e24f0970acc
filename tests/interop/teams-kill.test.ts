import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seededRng } from '../../packages/proto/test/seeded-rng.ts';
import { until } from '../support/processes.ts';
import { makeStubTeams } from '../support/stub-nebula.ts';
import { TeamsDaemon } from '../support/teams-daemon.ts';

const TEAMS = ['one', 'two', 'three'];
const KILL_COUNT = 200;
const KILL_AFTER_MS_MAX = 120;
const RESTART_COUNT = 200;
const SEED = Number(process.env['SEED'] ?? 1);

type Wanted = 'up' | 'down';

let folder: string;
let daemon: TeamsDaemon;
let random: () => number;

/** Processes that have a file of the teams' folder among their arguments, by team. */
function childrenByTeam(): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    let line = '';
    try {
      line = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    } catch {
      continue; // It has ended meanwhile.
    }
    const team = new RegExp(`${folder}/state/teams/([a-z]+)/config.json`).exec(line)?.[1];
    if (team !== undefined) counts[team] = (counts[team] ?? 0) + 1;
  }
  return counts;
}

const zombies = (pid: number): number =>
  readdirSync('/proc').filter((name) => {
    try {
      return (
        /^\d+$/.test(name) &&
        new RegExp(`^${name} \\(.*\\) Z ${pid} `).test(readFileSync(`/proc/${name}/stat`, 'latin1'))
      );
    } catch {
      return false;
    }
  }).length;

const openFiles = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'heddle-kill-'));
  const configRoot = join(folder, 'config');
  const nebula = makeStubTeams(folder, configRoot, TEAMS);
  daemon = new TeamsDaemon({ folder, configRoot, nebula, namespace: undefined, isRateLimited: false });
  const rng = seededRng(SEED);
  const bytes = new Uint8Array(4);
  random = () => {
    rng.fill(bytes);
    return new DataView(bytes.buffer).getUint32(0) / 2 ** 32;
  };
  await daemon.start();
  await daemon.ask({ action: 'provision' });
});
afterAll(async () => {
  await daemon.stop();
  rmSync(folder, { recursive: true, force: true });
});

describe('the teams daemon', () => {
  it(`loses nothing it has acknowledged over ${KILL_COUNT} kills, and cleans up what was left (seed ${SEED})`, async () => {
    const acknowledged = new Map<string, Wanted>(TEAMS.map((team) => [team, 'down']));
    for (let round = 0; round < KILL_COUNT; round++) {
      const { maybe, done } = changeAtRandom(acknowledged);
      await sleep(random() * KILL_AFTER_MS_MAX);
      await daemon.kill();
      await done;
      await daemon.start('--autostart');
      const { teams } = (await daemon.ask({ action: 'list' })) as unknown as {
        teams: { name: string; desired: Wanted }[];
      };
      expect(teams.map(({ name }) => name).sort()).toEqual(TEAMS.toSorted());
      for (const { name, desired } of teams) {
        // A change that was on its way when the daemon died may have been made or not.
        expect([acknowledged.get(name), maybe.get(name)], `round ${round}, team ${name}`).toContain(desired);
        acknowledged.set(name, desired);
      }
      const expected = Object.fromEntries(
        [...acknowledged].filter(([, wanted]) => wanted === 'up').map(([team]) => [team, 1]),
      );
      await until(`round ${round}: ${JSON.stringify(expected)} and nothing else`, 5000, () => {
        const found = childrenByTeam();
        return (
          Object.keys(found).length === Object.keys(expected).length &&
          Object.keys(expected).every((team) => found[team] === 1)
        );
      });
      expect(temporaryFiles()).toEqual([]);
    }
  }, 300_000);

  it(`keeps neither descriptor nor zombie over ${RESTART_COUNT} restarts`, async () => {
    const team = 'one';
    await daemon.ask({ action: 'restart', team });
    const before = openFiles(daemon.pid);
    for (let i = 0; i < RESTART_COUNT; i++) {
      expect(await daemon.ask({ action: 'restart', team })).toMatchObject({ ok: true, state: 'up' });
    }
    await until('the descriptors of before', 2000, () => openFiles(daemon.pid) <= before);
    expect(zombies(daemon.pid)).toBe(0);
    // The stub forks: for a moment its child looks like itself.
    await until('one child', 2000, () => childrenByTeam()[team] === 1);
  }, 120_000);
});

/** Starts and stops teams one after another until the daemon is killed; `maybe` is the change under way. */
function changeAtRandom(acknowledged: Map<string, Wanted>): { maybe: Map<string, Wanted>; done: Promise<void> } {
  const maybe = new Map<string, Wanted>();
  const change = async (): Promise<void> => {
    for (;;) {
      const team = TEAMS[Math.floor(random() * TEAMS.length)] as string;
      const wanted: Wanted = random() < 0.5 ? 'up' : 'down';
      maybe.set(team, wanted);
      await daemon.ask({ action: wanted === 'up' ? 'start' : 'stop', team });
      acknowledged.set(team, wanted);
      maybe.delete(team);
    }
  };
  return { maybe, done: change().catch(() => {}) };
}

function temporaryFiles(): string[] {
  return TEAMS.flatMap((team) => {
    try {
      return readdirSync(join(folder, 'state', 'teams', team)).filter((name) => name.endsWith('.new'));
    } catch {
      return [];
    }
  });
}
