import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Program, run, startProgram, until } from './processes.ts';

/** The programs of one release. */
export interface NebulaRelease {
  readonly name: string;
  readonly nebula: string;
  readonly cert: string;
}

/** A Nebula network: its name is the team's, its lighthouse has the first address. */
export interface NebulaNetwork {
  readonly name: string;
  /** First three bytes of the overlay, `10.77.0`. */
  readonly prefix: string;
}

export interface NebulaLabOptions {
  readonly release: NebulaRelease;
  readonly networks: readonly NebulaNetwork[];
}

const LIGHTHOUSE_IP = '203.0.113.1';
const MACHINE_IP = '203.0.113.2';
const FIRST_PORT = 4242;

/**
 * Two network namespaces with a cable between them: in one the lighthouse of every network, in the other the machine on
 * which the teams run. Needs root. Nothing outside the namespaces is touched.
 */
export class NebulaLab {
  readonly folder: string;
  /** `<root>/<team>/config.yml` with certificates, for the machine. */
  readonly configRoot: string;
  /** Namespace of the machine. */
  readonly namespace: string;
  readonly #farNamespace: string;
  readonly #options: NebulaLabOptions;
  readonly #lighthouses: Program[] = [];

  private constructor(folder: string, options: NebulaLabOptions) {
    this.folder = folder;
    this.configRoot = join(folder, 'config');
    this.namespace = `neb-m-${process.pid}`;
    this.#farNamespace = `neb-l-${process.pid}`;
    this.#options = options;
  }

  static async start(options: NebulaLabOptions): Promise<NebulaLab> {
    const lab = new NebulaLab(await mkdtemp(join(tmpdir(), 'heddle-nebula-')), options);
    try {
      await lab.#makeNamespaces();
      for (const [i, network] of options.networks.entries()) await lab.#makeNetwork(network, FIRST_PORT + i);
      return lab;
    } catch (error) {
      await lab.close();
      throw error;
    }
  }

  /** Runs a program where the teams run. */
  runOnMachine(command: string, ...args: string[]): ReturnType<typeof run> {
    return run('ip', ['netns', 'exec', this.namespace, command, ...args], { timeoutMs: 30_000 });
  }

  /** True when the lighthouse answers through the tunnel. */
  async canPing(network: NebulaNetwork): Promise<boolean> {
    const { code } = await this.runOnMachine('ping', '-c', '1', '-W', '1', `${network.prefix}.1`);
    return code === 0;
  }

  /** Names of the machine's TUN devices. */
  async devices(): Promise<string[]> {
    const { stdout } = await this.runOnMachine('ip', '-j', '-d', 'link');
    const links = JSON.parse(stdout) as { ifname: string; linkinfo?: { info_kind?: string } }[];
    return links.filter((link) => link.linkinfo?.info_kind === 'tun').map((link) => link.ifname);
  }

  /** Another certificate of the same machine, as a renewal brings it; `address` other than the one before for a move. */
  async renewCertificate(network: NebulaNetwork, address = `${network.prefix}.2/24`): Promise<void> {
    const near = join(this.configRoot, network.name);
    for (const name of ['host.crt', 'host.key']) await rm(join(near, name));
    await this.#sign(join(this.folder, `lighthouse-${network.name}`), near, 'machine', address);
  }

  async close(): Promise<void> {
    await Promise.all(this.#lighthouses.map((lighthouse) => lighthouse.stop()));
    for (const name of [this.namespace, this.#farNamespace]) await run('ip', ['netns', 'del', name]);
    await rm(this.folder, { recursive: true, force: true });
  }

  async #makeNamespaces(): Promise<void> {
    const [near, far] = [this.namespace, this.#farNamespace];
    await ip('netns', 'add', near);
    await ip('netns', 'add', far);
    await ip('link', 'add', 'v0', 'netns', near, 'type', 'veth', 'peer', 'name', 'v1', 'netns', far);
    await ip('-n', near, 'addr', 'add', `${MACHINE_IP}/24`, 'dev', 'v0');
    await ip('-n', far, 'addr', 'add', `${LIGHTHOUSE_IP}/24`, 'dev', 'v1');
    for (const [name, device] of [
      [near, 'lo'],
      [near, 'v0'],
      [far, 'lo'],
      [far, 'v1'],
    ] as const) {
      await ip('-n', name, 'link', 'set', device, 'up');
    }
  }

  async #makeNetwork(network: NebulaNetwork, port: number): Promise<void> {
    const { name, prefix } = network;
    const far = join(this.folder, `lighthouse-${name}`);
    const near = join(this.configRoot, name);
    await mkdir(far, { recursive: true });
    await mkdir(near, { recursive: true });
    await this.#cert('ca', '-name', name, '-out-crt', join(far, 'ca.crt'), '-out-key', join(far, 'ca.key'));
    await this.#sign(far, far, 'lighthouse', `${prefix}.1/24`);
    await this.#sign(far, near, 'machine', `${prefix}.2/24`);
    await writeFile(join(far, 'config.yml'), lighthouseConfig(far, port));
    await writeFile(join(near, 'config.yml'), machineConfig(prefix, port));
    const args = [
      'netns',
      'exec',
      this.#farNamespace,
      this.#options.release.nebula,
      '-config',
      join(far, 'config.yml'),
    ];
    this.#lighthouses.push(startProgram({ name: `lighthouse-${name}`, folder: this.folder, command: 'ip', args }));
    await until(`the lighthouse of ${name}`, 10_000, async () => {
      const { stdout } = await run('ip', ['-n', this.#farNamespace, 'addr']);
      return stdout.includes(`${prefix}.1/24`);
    });
  }

  async #sign(authority: string, folder: string, name: string, address: string): Promise<void> {
    const [crt, key] = [join(folder, 'host.crt'), join(folder, 'host.key')];
    const ca = ['-ca-crt', join(authority, 'ca.crt'), '-ca-key', join(authority, 'ca.key')];
    await this.#cert('sign', '-name', name, '-ip', address, ...ca, '-out-crt', crt, '-out-key', key);
    if (folder !== authority) await run('cp', [join(authority, 'ca.crt'), join(folder, 'ca.crt')]);
  }

  async #cert(...args: string[]): Promise<void> {
    const { code, stderr } = await run(this.#options.release.cert, args);
    if (code !== 0) throw new Error(`nebula-cert ${args[0]}: ${stderr}`);
  }
}

async function ip(...args: string[]): Promise<void> {
  const { code, stderr } = await run('ip', args);
  if (code !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr}`);
}

const FIREWALL = `
firewall:
  outbound:
    - { port: any, proto: any, host: any }
  inbound:
    - { port: any, proto: icmp, host: any }
`;

function lighthouseConfig(folder: string, port: number): string {
  return `
pki: { ca: ${folder}/ca.crt, cert: ${folder}/host.crt, key: ${folder}/host.key }
static_host_map: {}
lighthouse: { am_lighthouse: true }
listen: { host: 0.0.0.0, port: ${port} }
tun: { dev: lh${port} }
${FIREWALL}`;
}

/** As a user writes it: relative file names, the device name of an example, a fixed port. */
function machineConfig(prefix: string, port: number): string {
  return `
pki:
  ca: ca.crt
  cert: host.crt
  key: host.key
static_host_map:
  "${prefix}.1": ["${LIGHTHOUSE_IP}:${port}"]
lighthouse:
  am_lighthouse: false
  hosts: ["${prefix}.1"]
listen:
  host: 0.0.0.0
  port: 4242
punchy:
  punch: true
tun:
  dev: nebula1
${FIREWALL}`;
}
