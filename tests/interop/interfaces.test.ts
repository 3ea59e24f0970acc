import { type ChildProcessByStdio, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { LinuxKernel } from '../../packages/daemon/src/interfaces/linux-kernel.ts';
import type { SubnetRecord } from '../../packages/daemon/src/store/interface-records.ts';
import { seededRng } from '../../packages/proto/test/seeded-rng.ts';
import { enterNamespace } from '../support/enter-namespace.ts';
import { InterfaceDaemon } from '../support/interface-daemon.ts';
import { run } from '../support/processes.ts';
import { makeStubTeams } from '../support/stub-nebula.ts';
import { TeamsDaemon } from '../support/teams-daemon.ts';

const NAMESPACE = `heddle-if-${process.pid}`;
const GUIDE = readFileSync(new URL('../../docs/guide/interfaces.md', import.meta.url), 'utf8');
const HEDDLE = fileURLToPath(new URL('../../packages/daemon/dist/bundle/heddle.js', import.meta.url));
const KILL_ROUNDS = 12;
const KILL_AFTER_MS_MAX = 600;
const WORKER_COUNT = 4;
/** Of each worker in a round that is not killed before. */
const OPERATION_COUNT = 50;
const SCHEMATHESIS = process.env['HEDDLE_SCHEMATHESIS'];
const SEED = Number(process.env['SEED'] ?? Date.now() % 1_000_000);

let folder: string;
let tun: InterfaceDaemon;
let subnet: InterfaceDaemon;

const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8' });

interface IpLink {
  readonly ifname: string;
  readonly group: string;
  readonly ifalias?: string;
  readonly mtu: number;
  readonly flags: readonly string[];
  readonly addr_info: readonly { readonly local: string; readonly prefixlen: number; readonly scope: string }[];
}

/** What iproute2 says of every link but `lo`, without what the kernel adds by itself. */
function kernelLinks(): IpLink[] {
  return (JSON.parse(ip('-j', '-d', 'addr')) as IpLink[]).filter(({ ifname }) => ifname !== 'lo');
}

function networksByLink(): Record<string, string[]> {
  const entries = kernelLinks().map(({ ifname, addr_info }) => [
    ifname,
    addr_info.filter(({ scope }) => scope === 'global').map(({ local, prefixlen }) => `${local}/${prefixlen}`),
  ]);
  return Object.fromEntries(entries) as Record<string, string[]>;
}

interface Tun {
  readonly name: string;
  readonly ip_addr: string;
  readonly cidr: string;
  readonly ip6_addr: string | null;
  readonly ip6_prefix_length: number | null;
  readonly state: string;
}

interface Subnet {
  readonly network: string;
  readonly interface: string;
  readonly ip_addr: string;
  readonly state: string;
}

/** What the two daemons say there is, in the words of {@link networksByLink}. */
async function listed(): Promise<Record<string, string[]>> {
  const tuns = await tun.must<Tun[]>('GET', '/tun');
  const subnets = await subnet.must<Subnet[]>('GET', '/subnet');
  const bits = (cidr: string): string => cidr.slice(cidr.indexOf('/'));
  return Object.fromEntries([
    ...tuns.map((one) => [
      one.name,
      [
        `${one.ip_addr}${bits(one.cidr)}`,
        ...(one.ip6_addr === null ? [] : [`${one.ip6_addr}/${one.ip6_prefix_length}`]),
      ],
    ]),
    ...subnets.map((one) => [one.interface, [`${one.ip_addr}${bits(one.network)}`]]),
  ]) as Record<string, string[]>;
}

async function deleteAll(): Promise<void> {
  for (const { name } of await tun.must<Tun[]>('GET', '/tun')) await tun.must('DELETE', `/tun/${name}`);
  for (const { network } of await subnet.must<Subnet[]>('GET', '/subnet')) {
    await subnet.must('DELETE', `/subnet/${encodeURIComponent(network)}`);
  }
}

const canMakeNamespaces = process.getuid?.() === 0 && existsSync('/dev/net/tun');
beforeEach(({ skip }) => skip(!canMakeNamespaces, 'needs root and /dev/net/tun'));

beforeAll(async () => {
  if (!canMakeNamespaces) return;
  folder = mkdtempSync(join(tmpdir(), 'heddle-interfaces-'));
  ip('netns', 'add', NAMESPACE);
  enterNamespace(NAMESPACE);
  ip('link', 'set', 'lo', 'up');
  tun = new InterfaceDaemon('tun', folder);
  subnet = new InterfaceDaemon('subnet', folder);
  await Promise.all([tun.start(), subnet.start()]);
});

afterAll(async () => {
  if (!canMakeNamespaces) return;
  await Promise.all([tun?.stop(), subnet?.stop()]);
  ip('netns', 'del', NAMESPACE);
  rmSync(folder, { recursive: true, force: true });
});

describe('the session of the guide', () => {
  const session = [...GUIDE.matchAll(/```bash\n(curl [^\n]+)\n```(?:\n```json\n([\s\S]*?)```)?/g)];

  it('runs as it is written, with the answers that are written', async () => {
    expect(session.length).toBeGreaterThan(7);
    for (const [, line = '', answer] of session) {
      const { code, stdout } = await run('bash', ['-c', line.replace('curl ', 'curl --fail-with-body -sS ')]);
      expect(`${line}: ${code} ${code === 0 ? '' : stdout}`).toBe(`${line}: 0 `);
      if (answer === undefined) expect(stdout).toBe('');
      else expect(JSON.parse(stdout), line).toMatchObject(JSON.parse(answer) as object);
    }
    await deleteAll();
    expect(kernelLinks()).toEqual([]);
  });
});

describe('what others made', () => {
  it('is left alone, however much it looks like ours', async () => {
    const [mark, alias] = [4711, 'heddle subnet 10.200.0.0/24 00000000'];
    ip('link', 'add', 'dummy0', 'type', 'bridge');
    ip('link', 'set', 'dummy0', 'alias', alias, 'group', String(mark));
    ip('addr', 'add', '10.200.0.1/24', 'dev', 'dummy0');
    ip('tuntap', 'add', 'dev', 'tun0', 'mode', 'tun');
    ip('addr', 'add', '10.0.0.1/24', 'dev', 'tun0');
    const before = kernelLinks();
    const made = await tun.must<Tun>('POST', '/tun', {});
    expect(made).toMatchObject({ name: 'tun1', ip_addr: '10.0.1.1' });
    const subnetMade = await subnet.must<Subnet>('POST', '/subnet', {});
    expect(subnetMade).toMatchObject({ interface: 'dummy1', network: '10.0.4.0/24' });
    expect((await tun.ask('POST', '/tun', { name: 'tun0' })).status).toBe(409);
    expect((await tun.ask('DELETE', '/tun/tun0')).status).toBe(404);
    expect((await subnet.ask('DELETE', '/subnet/10.200.0.0%2F24')).status).toBe(404);
    expect((await subnet.ask('POST', '/subnet', { cidr: '10.200.0.0/25' })).status).toBe(409);
    // Of the same name and network as ours, while we look away.
    ip('link', 'del', 'dummy1');
    ip('link', 'add', 'dummy1', 'type', 'bridge');
    await Promise.all([tun.stop(), subnet.stop()]);
    await Promise.all([tun.start(), subnet.start()]);
    expect(await subnet.must('GET', '/subnet/10.0.4.0/24')).toMatchObject({ state: 'missing' });
    await deleteAll();
    expect(kernelLinks().filter(({ ifname }) => ifname !== 'dummy1')).toEqual(before);
    expect(networksByLink()['dummy1']).toEqual([]);
    for (const name of ['dummy0', 'dummy1', 'tun0']) ip('link', 'del', name);
  });
});

describe('a TUN device', () => {
  it('can be attached by the user it is made for, and is not deleted under a program', async () => {
    const owner = 12345;
    await tun.must('POST', '/tun', { name: 'lab0', owner });
    await tun.must('POST', '/tun', { name: 'lab1' });
    expect(ip('-d', 'link', 'show', 'lab0')).toContain(`user ${owner}`);
    const refused = attachTo('lab1', owner);
    expect(await firstLine(refused)).toBe('refused');
    const holder = attachTo('lab0', owner);
    expect(await firstLine(holder)).toBe('attached');
    expect(await tun.must('GET', '/tun/lab0')).toMatchObject({ attached: true, owner });
    expect(await tun.ask('DELETE', '/tun/lab0')).toMatchObject({ status: 409, body: { code: 'tun/in-use' } });
    const ended = once(holder, 'exit');
    holder.stdin.end();
    await ended;
    expect(await tun.must('GET', '/tun/lab0')).toMatchObject({ attached: false });
    await deleteAll();
  });

  it('that a program has open is not deleted when somebody switched it off or renamed it', async () => {
    await tun.must('POST', '/tun', { name: 'lab0' });
    const holder = attachTo('lab0', 0);
    expect(await firstLine(holder)).toBe('attached');
    const refused = { status: 409, body: { code: 'tun/in-use' } };
    ip('link', 'set', 'lab0', 'down');
    expect(await tun.ask('DELETE', '/tun/lab0')).toMatchObject(refused);
    expect(await tun.must('GET', '/tun/lab0')).toMatchObject({ state: 'changed' });
    ip('link', 'set', 'lab0', 'name', 'mine0');
    expect(await tun.ask('DELETE', '/tun/lab0')).toMatchObject(refused);
    const ended = once(holder, 'exit');
    holder.stdin.end();
    await ended;
    await deleteAll();
    expect(kernelLinks()).toEqual([]);
  });

  it('and a subnet that somebody took the address from get it back at a start, unless somebody else has it', async () => {
    await subnet.must('POST', '/subnet', { cidr: '10.77.0.0/24' });
    ip('addr', 'flush', 'dev', 'dummy0');
    ip('link', 'set', 'dummy0', 'down');
    ip('link', 'add', 'theirs', 'type', 'bridge');
    ip('addr', 'add', '10.77.0.1/24', 'dev', 'theirs');
    await subnet.stop();
    await subnet.start();
    expect(networksByLink()).toEqual({ dummy0: [], theirs: ['10.77.0.1/24'] });
    expect(await subnet.must('GET', '/subnet')).toMatchObject([{ state: 'changed' }]);
    ip('link', 'del', 'theirs');
    await subnet.stop();
    await subnet.start();
    expect(await subnet.must('GET', '/subnet')).toMatchObject([{ state: 'active' }]);
    expect(networksByLink()).toEqual(await listed());
    await deleteAll();
  });

  it('that heddle holds has a carrier, and is back after a restart', async () => {
    await tun.must('POST', '/tun', { name: 'held0', persistent: false, ip6_addr: 'auto', mtu: 1400 });
    const seen = () => kernelLinks().find(({ ifname }) => ifname === 'held0');
    const first = seen();
    expect(first).toMatchObject({ mtu: 1400 });
    expect(first?.flags).toContain('LOWER_UP');
    await tun.stop('SIGKILL');
    expect(seen()).toBeUndefined();
    await tun.start();
    expect(seen()?.flags).toContain('LOWER_UP');
    expect(networksByLink()).toEqual(await listed());
    await tun.stop();
    expect(seen()).toBeUndefined();
    await tun.start();
    await deleteAll();
    expect(kernelLinks()).toEqual([]);
  });
});

describe('the link of a subnet', () => {
  const SUBNET: SubnetRecord = {
    kind: 'subnet',
    cidr: '10.1.0.0/24',
    address: '10.1.0.1',
    link: 'dummy0',
    linkKind: 'dummy',
    mtu: 1400,
    mark: 77,
    createdUnixMs: 0,
  };
  const SUBNET6: SubnetRecord = { ...SUBNET, cidr: 'fd00:1::/64', address: 'fd00:1::1' };

  it.each(['dummy', 'bridge', 'ifb', 'tun'] as const)(
    'may be of kind %s, where the kernel has it',
    async (linkKind) => {
      const kernel = new LinuxKernel('abcdef12', () => {});
      const journalled = Promise.resolve();
      for (const record of [SUBNET, SUBNET6]) {
        const made = kernel.makeSubnet({ ...record, linkKind }, journalled);
        const refusal = await made.then(
          () => undefined,
          (error: Error) => error,
        );
        if (refusal === undefined) {
          const text = `${record.address}/${record.cidr.split('/')[1]}`;
          expect(networksByLink()).toEqual({ dummy0: [text] });
          expect(kernelLinks()).toMatchObject([
            { mtu: 1400, group: '77', ifalias: `heddle subnet ${record.cidr} abcdef12` },
          ]);
          // Its own addresses answer, whatever stands in for a card.
          expect((await run('ping', ['-c1', '-W2', record.address])).code).toBe(0);
        } else {
          expect(refusal).toMatchObject({ code: 'interface/unsupported' });
          expect(kernel.subnetKinds).not.toContain(linkKind);
        }
        await kernel.remove({ ...record, linkKind });
        expect(kernelLinks()).toEqual([]);
      }
      kernel.close();
    },
  );
});

describe('who may', () => {
  const asUser = async (line: string): Promise<Record<string, unknown>> => {
    const { stdout } = await run('setpriv', ['--reuid=12345', '--regid=12345', '--clear-groups', 'bash', '-c', line]);
    return JSON.parse(stdout) as Record<string, unknown>;
  };
  const post = `curl -sS -X POST -H 'content-type: application/json' -d '{}'`;

  it.each(['127.0.0.1', '[::1]'])('read at %s is everybody, and change is root', async (host) => {
    expect(await asUser(`curl -sS http://${host}:3030/tun`)).toEqual([]);
    expect(await asUser(`${post} http://${host}:3030/tun`)).toMatchObject({ status: 403, code: 'rest/forbidden' });
    const { stdout } = await run('bash', ['-c', `${post} http://${host}:3031/subnet`]);
    expect(JSON.parse(stdout)).toMatchObject({ network: '10.0.0.0/24' });
    await deleteAll();
  });

  it('change are also operators and the holder of the token', async () => {
    mkdirSync(join(folder, 'config'), { recursive: true });
    writeFileSync(join(folder, 'config', 'daemon.yml'), 'operators: [12345]\n');
    const tokenFile = join(folder, 'token');
    const other = new InterfaceDaemon('tun', join(folder, 'second'), ['--token-file', tokenFile]);
    await tun.stop();
    await tun.start();
    expect(await asUser(`${post} http://localhost:3030/tun`)).toMatchObject({ name: 'tun0', created_by: 12345 });
    await deleteAll();
    await tun.stop();
    await other.start();
    const token = readFileSync(tokenFile, 'utf8').trim();
    const bearer = (text: string): string => `-H 'authorization: Bearer ${text}'`;
    expect(await asUser(`${post} ${bearer(token)} http://localhost:3030/tun`)).toMatchObject({ created_by: null });
    expect(await asUser(`${post} ${bearer('x')} http://localhost:3030/tun`)).toMatchObject({ code: 'rest/bad-token' });
    await other.must('DELETE', '/tun/tun0');
    await other.stop();
    rmSync(join(folder, 'config'), { recursive: true });
    await tun.start();
  });
});

describe.skipIf(SCHEMATHESIS === undefined)('schemathesis (set HEDDLE_SCHEMATHESIS to its path)', () => {
  it.each(['tun', 'subnet'])('finds nothing in /%s of the real thing', { timeout: 120_000 }, async (kind) => {
    const daemon = kind === 'tun' ? tun : subnet;
    const config = fileURLToPath(new URL('../../packages/daemon/test/schemathesis.toml', import.meta.url));
    const url = `http://127.0.0.1:${daemon.port}/openapi.json`;
    const args = ['--config-file', config, 'run', url, '--checks', 'all', '--max-examples', '10'];
    // It leaves a folder where it is started.
    const line = ['cd "$1" && shift && exec "$@"', 'bash', folder, SCHEMATHESIS ?? '', ...args];
    const { code, stdout } = await run('bash', ['-c', ...line], { timeoutMs: 100_000 });
    expect(code === 0 ? '' : stdout).toBe('');
    expect(networksByLink()).toEqual(await listed());
    await deleteAll();
    expect(kernelLinks()).toEqual([]);
  });
});

describe('the teams daemon with --rest', () => {
  it('serves both, and keeps teams and subnets apart in both directions', async () => {
    await Promise.all([tun.stop(), subnet.stop()]);
    const home = join(folder, 'teams');
    const configRoot = join(home, 'config');
    mkdirSync(configRoot, { recursive: true, mode: 0o700 });
    const nebula = makeStubTeams(home, configRoot, ['office']);
    const config = join(configRoot, 'office', 'config.yml');
    writeFileSync(config, readFileSync(config, 'utf8').replace('"disabled":true', '"disabled":false'));
    const teams = new TeamsDaemon({ folder: home, configRoot, nebula, namespace: undefined, isRateLimited: false });
    await teams.start('--rest');
    await teams.ask({ action: 'provision' });
    expect(await subnet.ask('POST', '/subnet', { cidr: '10.77.0.0/24' })).toMatchObject({
      status: 409,
      body: { code: 'allocation/overlap', detail: expect.stringContaining('"office"') },
    });
    expect((await heddle('subnet', 'free', '--prefix-length', '16', '--count', '2')).stdout).not.toContain('10.77.');
    // The team comes after the subnet.
    renameSync(config, `${config}.away`);
    expect((await heddle('subnet', 'add', '10.77.0.0/24')).code).toBe(0);
    renameSync(`${config}.away`, config);
    expect(await teams.ask({ action: 'start', team: 'office' })).toMatchObject({
      ok: false,
      code: 'plan/reserved-subnet',
      message: expect.stringContaining('heddle subnet delete 10.77.0.0/24'),
    });
    expect((await heddle('subnet', 'delete', '10.77.0.0/24')).code).toBe(0);
    expect(await heddle('tun', 'create', '--name', 'lab0', '--owner', 'root')).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('10.0.0.1'),
    });
    expect(JSON.parse((await heddle('tun', 'list', '--json')).stdout)).toMatchObject([{ name: 'lab0', owner: 0 }]);
    expect((await heddle('tun', 'delete', 'lab0')).code).toBe(0);
    await teams.stop();
    expect(kernelLinks()).toEqual([]);
    await Promise.all([tun.start(), subnet.start()]);
  });
});

const heddle = (...args: string[]) => run(process.execPath, [HEDDLE, ...args]);

describe('daemons that are killed', () => {
  it(`lose nothing they have acknowledged, and leave nothing that a start does not mend (seed ${SEED})`, async () => {
    const random = randomBelow(SEED);
    ip('link', 'add', 'theirs', 'type', 'bridge');
    ip('addr', 'add', '10.0.1.1/24', 'dev', 'theirs');
    const theirs = () => kernelLinks().filter(({ ifname }) => ifname === 'theirs');
    const before = theirs();
    const workers = Array.from({ length: WORKER_COUNT }, (_, id) => new Worker(id, random));
    for (let round = 0; round < KILL_ROUNDS; round++) {
      const work = workers.map((worker) => worker.run(OPERATION_COUNT));
      await Promise.race([Promise.all(work), sleep(random(KILL_AFTER_MS_MAX))]);
      await Promise.all([tun.stop('SIGKILL'), subnet.stop('SIGKILL')]);
      await Promise.all(work);
      await Promise.all([tun.start(), subnet.start()]);
      const { theirs: foreign, ...ours } = networksByLink();
      const known = await listed();
      expect(ours).toEqual(known);
      expect(foreign).toEqual(['10.0.1.1/24']);
      for (const worker of workers) worker.compare(Object.values(known).flat());
    }
    expect(theirs()).toEqual(before);
    await deleteAll();
    expect(kernelLinks()).toEqual(before);
    ip('link', 'del', 'theirs');
    expect(Math.min(...workers.map(({ acknowledgedCount }) => acknowledgedCount))).toBeGreaterThan(KILL_ROUNDS);
  }, 240_000);
});

/** A client with addresses of its own, which remembers what was acknowledged. */
class Worker {
  acknowledgedCount = 0;
  readonly #id: number;
  readonly #random: (below: number) => number;
  /** Address with bits → whether it must be there; without an entry nobody knows. */
  readonly #expected = new Map<string, boolean>();

  constructor(id: number, random: (below: number) => number) {
    this.#id = id;
    this.#random = random;
  }

  /** Ends early when the daemons go. */
  async run(count: number): Promise<void> {
    try {
      for (let i = 0; i < count; i++) await this.#operate();
    } catch {
      // Killed; whether the last operation was done is open.
    }
  }

  compare(addresses: readonly string[]): void {
    for (const [address, isThere] of this.#expected)
      expect(`${address} ${addresses.includes(address)}`).toBe(`${address} ${isThere}`);
    this.#expected.clear();
    for (let place = 0; place < 8; place++) {
      const address = this.#addressOf(place);
      this.#expected.set(address, addresses.includes(address));
    }
  }

  async #operate(): Promise<void> {
    const place = this.#random(8);
    const address = this.#addressOf(place);
    const isCreation = this.#random(2) === 0;
    const [daemon, path, body] = place < 4 ? this.#tunCall(place) : this.#subnetCall(place);
    this.#expected.delete(address);
    const answer = isCreation ? await daemon.ask('POST', `/${daemon.kind}`, body) : await daemon.ask('DELETE', path);
    this.#expected.set(address, isCreation);
    expect([200, 204, 404, 409]).toContain(answer.status);
    if (answer.status < 300) this.acknowledgedCount++;
  }

  #addressOf(place: number): string {
    return `10.${60 + this.#id}.${place}.1/24`;
  }

  #tunCall(place: number): [InterfaceDaemon, string, unknown] {
    const name = `w${this.#id}x${place}`;
    const persistent = place % 2 === 0;
    return [tun, `/tun/${name}`, { name, ip_addr: `10.${60 + this.#id}.${place}.1`, persistent, ip6_addr: 'auto' }];
  }

  #subnetCall(place: number): [InterfaceDaemon, string, unknown] {
    const cidr = `10.${60 + this.#id}.${place}.0/24`;
    return [subnet, `/subnet/${encodeURIComponent(cidr)}`, { cidr }];
  }
}

function randomBelow(seed: number): (below: number) => number {
  const rng = seededRng(seed);
  const bytes = new Uint8Array(4);
  return (below) => {
    rng.fill(bytes);
    return new DataView(bytes.buffer).getUint32(0) % below;
  };
}

/** Attaches to a device, says so and waits until its standard input ends. */
const ATTACH = [
  'import fcntl, os, struct, sys',
  'fd = os.open("/dev/net/tun", os.O_RDWR)',
  'try:',
  '    fcntl.ioctl(fd, 0x400454ca, struct.pack("16sH22x", sys.argv[1].encode(), 0x1001))',
  '    print("attached", flush=True)',
  'except OSError:',
  '    print("refused", flush=True)',
  'sys.stdin.read()',
].join('\n');

function attachTo(name: string, uid: number): ChildProcessByStdio<Writable, Readable, null> {
  return spawn('python3', ['-c', ATTACH, name], { uid, stdio: ['pipe', 'pipe', 'ignore'] });
}

async function firstLine(child: ChildProcessByStdio<Writable, Readable, null>): Promise<string> {
  const [text] = (await once(child.stdout, 'data')) as [Buffer];
  return text.toString().trim();
}
