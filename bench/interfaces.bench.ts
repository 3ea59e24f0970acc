import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parsePrefix } from '@heddle/proto/ip/prefix';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { allocatePrefix } from '../packages/daemon/src/allocation/allocate.ts';
import type { BusyPrefix, BusyPrefixes } from '../packages/daemon/src/allocation/busy-prefixes.ts';
import { enterNamespace } from '../tests/support/enter-namespace.ts';
import { InterfaceDaemon } from '../tests/support/interface-daemon.ts';
import { run, until } from '../tests/support/processes.ts';
import { compareLoad } from './compare-load.ts';
import { fdCount, rssMb } from './process-figures.ts';
import { RestClient } from './rest-client.ts';
import { median } from './table.ts';

const NAMESPACE = `heddle-bench-if-${process.pid}`;
const KINDS = ['tun', 'subnet'] as const;
type Kind = (typeof KINDS)[number];

const CYCLE_COUNT = 300;
/** JavaScript is compiled while it runs. */
const WARM_UP_COUNT = 200;
const LISTED_COUNT = 256;
const SUBNET_COUNT = 1000;
const START_COUNT = 9;
const START_TIMEOUT_MS = 10_000;
const SETTLE_MS = 3_000;
const BUSY_COUNT = 65_535;

const isRoot = process.getuid?.() === 0 && existsSync('/dev/net/tun');
const WHY_NOT = isRoot ? '' : ' (skipped: needs root and /dev/net/tun)';
// The reporter does not name what is skipped.
if (!isRoot) console.log(`the REST daemons${WHY_NOT}`);

let folder: string;
let daemons: Readonly<Record<Kind, InterfaceDaemon>>;

const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8' });
const linkNames = (): string[] => (JSON.parse(ip('-j', 'link')) as { ifname: string }[]).map(({ ifname }) => ifname);
const pathOf = (kind: Kind, name: string): string => `/${kind}/${encodeURIComponent(name)}`;

function head(): void {
  console.log('| metric | heddle | wanted |\n|---|---|---|');
}

function row(metric: string, value: number, unit: string, wanted: string): void {
  console.log(`| ${metric} | ${value.toFixed(2)} ${unit} | ${wanted} |`);
}

function percentile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] as number;
}

/** Makes one of what the daemon chooses; resolves with the path of it. */
async function create(kind: Kind, client: RestClient): Promise<Made> {
  const { text, elapsedMs } = await client.ask('POST', `/${kind}`, {});
  const made = JSON.parse(text) as { name?: string; network?: string; kind: string };
  return { path: pathOf(kind, made.name ?? made.network ?? ''), linkKind: made.kind, elapsedMs };
}

interface Made {
  readonly path: string;
  /** The kernel takes longer to remove some than others. */
  readonly linkKind: string;
  readonly elapsedMs: number;
}

async function createMany(kind: Kind, client: RestClient, count: number): Promise<string[]> {
  const paths: string[] = [];
  for (let i = 0; i < count; i++) paths.push((await create(kind, client)).path);
  return paths;
}

async function listTimes(kind: Kind, client: RestClient, count: number): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < count; i++) times.push((await client.ask('GET', `/${kind}`)).elapsedMs);
  return times;
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedAtMs = performance.now();
  await work();
  return performance.now() - startedAtMs;
}

/** From the start of the process to the first list. */
async function startTime(daemon: InterfaceDaemon): Promise<number> {
  const startedAtMs = performance.now();
  const started = daemon.start();
  const isAnswering = () =>
    daemon.ask('GET', `/${daemon.kind}`).then(
      () => true,
      () => false,
    );
  while (!(await isAnswering())) {
    if (performance.now() - startedAtMs > START_TIMEOUT_MS) break;
    await sleep(2);
  }
  const elapsedMs = performance.now() - startedAtMs;
  await started;
  return elapsedMs;
}

async function startTimes(daemon: InterfaceDaemon): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < START_COUNT; i++) {
    await daemon.stop();
    times.push(await startTime(daemon));
  }
  return times;
}

async function withClient(kind: Kind, work: (client: RestClient, pid: number) => Promise<void>): Promise<void> {
  const daemon = daemons[kind];
  if (daemon.pid === 0) await daemon.start();
  const client = new RestClient(daemon.port);
  await work(client, daemon.pid).finally(() => client.close());
}

describe.skipIf(!isRoot)(`the REST daemons${WHY_NOT}`, () => {
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'heddle-bench-if-'));
    ip('netns', 'add', NAMESPACE);
    enterNamespace(NAMESPACE);
    ip('link', 'set', 'lo', 'up');
    daemons = { tun: new InterfaceDaemon('tun', folder), subnet: new InterfaceDaemon('subnet', folder) };
    head();
  });

  afterAll(async () => {
    await Promise.all(KINDS.map((kind) => daemons[kind].stop()));
    ip('netns', 'del', NAMESPACE);
    rmSync(folder, { recursive: true });
  });

  it('start, and are small', async () => {
    const bare: number[] = [];
    for (let i = 0; i < START_COUNT; i++) bare.push(await timed(() => run(process.execPath, ['-e', '0'])));
    row('for comparison: `node -e 0`', median(bare), 'ms', '');
    for (const kind of KINDS) {
      row(`${kind}-daemon started → first answer`, median(await startTimes(daemons[kind])), 'ms', '≤ 250');
    }
    await sleep(SETTLE_MS);
    for (const kind of KINDS) row(`${kind}-daemon idle, RSS`, rssMb(daemons[kind].pid), 'MB', '');
  });

  it.each(KINDS)('make and delete (%s)', async (kind) => {
    await withClient(kind, async (client) => {
      const makes: number[] = [];
      const deletions: number[] = [];
      let linkKind = '';
      for (let i = 0; i < WARM_UP_COUNT + CYCLE_COUNT; i++) {
        const made = await create(kind, client);
        makes.push(made.elapsedMs);
        linkKind = made.linkKind;
        deletions.push((await client.ask('DELETE', made.path)).elapsedMs);
      }
      const both = makes.map((ms, i) => ms + (deletions[i] as number)).slice(WARM_UP_COUNT);
      const what = kind === 'tun' ? 'TUN device' : `subnet on a ${linkKind}`;
      row(`POST and DELETE of a ${what}, p50`, percentile(both, 0.5), 'ms', '≤ 5');
      row(`POST and DELETE of a ${what}, p99`, percentile(both, 0.99), 'ms', '');
      row('… POST alone, p50', percentile(makes.slice(WARM_UP_COUNT), 0.5), 'ms', '');
      row('… DELETE alone, p50', percentile(deletions.slice(WARM_UP_COUNT), 0.5), 'ms', '');
    });
  });

  it.each(KINDS)(`list ${LISTED_COUNT}, and start with them (%s)`, async (kind) => {
    const before = linkNames();
    await withClient(kind, async (client) => {
      await createMany(kind, client, LISTED_COUNT);
      await listTimes(kind, client, WARM_UP_COUNT);
      row(`GET of ${LISTED_COUNT} (${kind}), p50`, median(await listTimes(kind, client, CYCLE_COUNT)), 'ms', '≤ 10');
    });
    const starts = median(await startTimes(daemons[kind]));
    row(`${kind}-daemon started → first answer, with ${LISTED_COUNT}`, starts, 'ms', '≤ 250');
    expect(linkNames()).toHaveLength(before.length + LISTED_COUNT);
    await withClient(kind, async (client) => {
      const listed = JSON.parse((await client.ask('GET', `/${kind}`)).text) as { name?: string; network?: string }[];
      for (const { name, network } of listed) await client.ask('DELETE', pathOf(kind, name ?? network ?? ''));
    });
    await until('the links gone', 10_000, () => linkNames().length === before.length);
  });

  it(`leave nothing of ${SUBNET_COUNT} subnets`, async () => {
    await withClient('subnet', async (client, pid) => {
      await client.ask('GET', '/subnet');
      const [links, fds, rss] = [linkNames(), fdCount(pid), rssMb(pid)];
      let paths: string[] = [];
      const makeMs = await timed(async () => {
        paths = await createMany('subnet', client, SUBNET_COUNT);
      });
      row(`${SUBNET_COUNT} subnets made`, makeMs / 1000, 's', '');
      expect(linkNames()).toHaveLength(links.length + SUBNET_COUNT);
      row('… listed, p50', median(await listTimes('subnet', client, 30)), 'ms', '');
      row('… RSS with them', rssMb(pid), 'MB', '');
      const deleteMs = await timed(async () => {
        for (const path of paths) await client.ask('DELETE', path);
      });
      row('… deleted', deleteMs / 1000, 's', '');
      row(`… RSS before them ${rss.toFixed(1)} MB, after`, rssMb(pid), 'MB', '');
      expect((await client.ask('GET', '/subnet')).text).toBe('[]');
      await until('the links gone', 10_000, () => linkNames().length === links.length);
      expect(linkNames()).toEqual(links);
      // The kernel goes on with the last removals for a moment, each on a socket of its own.
      await until('the sockets closed', 10_000, () => fdCount(pid) <= fds);
      row(`… open files before them ${fds}, after`, fdCount(pid), '', `${fds}`);
    });
  });

  it('answer', async () => {
    await withClient('tun', async (client, pid) => {
      await create('tun', client);
      for (const path of ['/tun', '/healthz']) await compareLoad({ port: daemons.tun.port, pid, client, path });
      head();
      row('tun-daemon after that, RSS', rssMb(pid), 'MB', '');
    });
  });
});

describe('an allocation', () => {
  it(`beside ${BUSY_COUNT} busy networks`, () => {
    head();
    const pools = [mustParse('10.0.0.0/8')];
    const busy = crowd();
    const times: number[] = [];
    for (let i = 0; i < 50; i++) {
      const startedAtMs = performance.now();
      const allocation = allocatePrefix({ pools, bits: 24, busy });
      times.push(performance.now() - startedAtMs);
      expect(allocation).toMatchObject({ kind: 'free', prefix: mustParse('10.255.255.0/24') });
    }
    row(`allocation beside ${BUSY_COUNT} busy networks, p50`, median(times), 'ms', '≤ 20');
    row('… the first, not yet compiled', times[0] as number, 'ms', '');
  });
});

/** All networks of 24 bits of 10.0.0.0/8 but the last, in no order. */
function crowd(): BusyPrefixes {
  // Odd, so that every number comes once.
  const step = 40_503;
  const numbers = Array.from({ length: BUSY_COUNT + 1 }, (_, i) => (i * step) % (BUSY_COUNT + 1));
  const hard = numbers
    .filter((number) => number !== BUSY_COUNT)
    .map((number): BusyPrefix => {
      const cidr = `10.${number >> 8}.${number & 255}.0/24`;
      return { prefix: mustParse(cidr), kind: 'network', source: 'address', whose: `network ${cidr} of link "eth0"` };
    });
  return { hard, soft: [], unreadable: [] };
}

function mustParse(text: string): NonNullable<ReturnType<typeof parsePrefix>> {
  const prefix = parsePrefix(text);
  if (prefix === undefined) throw new TypeError(`"${text}" is no prefix`);
  return prefix;
}
