import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seededRng } from '../../packages/proto/test/seeded-rng.ts';
import { enterNamespace } from '../support/enter-namespace.ts';
import { InterfaceDaemon, type RestAnswer } from '../support/interface-daemon.ts';
import { run } from '../support/processes.ts';

const NAMESPACE = `heddle-if-${process.pid}`;
const GUIDE = readFileSync(new URL('../../docs/guide/interfaces.md', import.meta.url), 'utf8');
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

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'heddle-interfaces-'));
  ip('netns', 'add', NAMESPACE);
  enterNamespace(NAMESPACE);
  ip('link', 'set', 'lo', 'up');
  tun = new InterfaceDaemon('tun', folder);
  subnet = new InterfaceDaemon('subnet', folder);
  await Promise.all([tun.start(), subnet.start()]);
});

afterAll(async () => {
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
