import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, it } from 'vitest';
import { until } from '../tests/support/processes.ts';
import { makeStubTeams } from '../tests/support/stub-nebula.ts';
import { TeamsDaemon } from '../tests/support/teams-daemon.ts';
import { median } from './table.ts';

const TEAM_COUNT = 100;
const REQUEST_COUNT = 5000;
const CLIENT_COUNT = 64;
const IDLE_MS = 10_000;
/** proc_pid_stat(5) counts in these. */
const TICKS_PER_SECOND = 100;

/** A client that keeps its connection: one request at a time. */
class Client {
  readonly #socket: Socket;
  readonly #lines: AsyncIterator<string>;

  constructor(path: string) {
    this.#socket = connect(path);
    this.#lines = createInterface(this.#socket)[Symbol.asyncIterator]();
  }

  async ask(request: Record<string, unknown>): Promise<Record<string, unknown>> {
    this.#socket.write(`${JSON.stringify(request)}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error('the daemon has closed the connection');
    return JSON.parse(value) as Record<string, unknown>;
  }

  close(): void {
    this.#socket.destroy();
  }
}

function row(metric: string, value: number, unit: string, wanted: string): void {
  console.log(`| ${metric} | ${value.toFixed(2)} ${unit} | ${wanted} |`);
}

function percentile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] as number;
}

function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_PER_SECOND;
}

function rssMb(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
}

async function statusTimes(client: Client, count: number): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const startedAtMs = performance.now();
    await client.ask({ action: 'status', team: 'team0' });
    times.push(performance.now() - startedAtMs);
  }
  return times;
}

describe('the teams daemon', () => {
  it('start, status, a hundred teams', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'heddle-bench-'));
    const configRoot = join(folder, 'config');
    const names = Array.from({ length: TEAM_COUNT }, (_, i) => `team${i}`);
    const nebula = makeStubTeams(folder, configRoot, names);
    const daemon = new TeamsDaemon({ folder, configRoot, nebula, namespace: undefined, isRateLimited: false });

    const starts: number[] = [];
    for (let i = 0; i < 7; i++) {
      const startedAtMs = performance.now();
      await daemon.start();
      starts.push(performance.now() - startedAtMs);
      if (i < 6) await daemon.stop();
    }
    console.log('| metric | heddle | wanted |\n|---|---|---|');
    row('daemon started → first answer', median(starts), 'ms', '≤ 250');

    await daemon.ask({ action: 'provision' });
    const client = new Client(daemon.socketPath);
    await client.ask({ action: 'start', team: 'team0' });
    await statusTimes(client, 1000);
    const times = await statusTimes(client, REQUEST_COUNT);
    row('status, p50', percentile(times, 0.5), 'ms', '≤ 0.2');
    row('status, p99', percentile(times, 0.99), 'ms', '≤ 1');

    const clients = Array.from({ length: CLIENT_COUNT }, () => new Client(daemon.socketPath));
    const many = await Promise.all(clients.map((each) => statusTimes(each, 50)));
    row(`status of ${CLIENT_COUNT} clients at once, p99`, percentile(many.flat(), 0.99), 'ms', '');

    const startedAtMs = performance.now();
    const answers = await Promise.all(
      Array.from({ length: TEAM_COUNT - 1 }, (_, i) => i + 1).map((i) =>
        (clients[i % 20] as Client).ask({ action: 'start', team: `team${i}` }),
      ),
    );
    row(`${TEAM_COUNT} teams started`, (performance.now() - startedAtMs) / 1000, 's', '≤ 5');
    const failed = answers.filter(({ ok }) => ok !== true);
    if (failed.length > 0) throw new Error(JSON.stringify(failed[0]));
    for (const each of clients) each.close();

    await until(
      'all up',
      20_000,
      async () => (await daemon.ask({ action: 'list' })).message === `${TEAM_COUNT} teams, ${TEAM_COUNT} up`,
    );
    const pid = daemon.pid;
    await new Promise((resolve) => setTimeout(resolve, 2000));
    const before = cpuMs(pid);
    await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
    row(`idle with ${TEAM_COUNT} teams, CPU`, ((cpuMs(pid) - before) / IDLE_MS) * 100, '%', '≤ 0.2');
    row(`idle with ${TEAM_COUNT} teams, RSS`, rssMb(pid), 'MB', '≤ 90');
    client.close();
    const { elapsedMs } = await daemon.stop();
    row(`stopped with ${TEAM_COUNT} teams`, elapsedMs / 1000, 's', '≤ 6');
    rmSync(folder, { recursive: true });
  });
});
