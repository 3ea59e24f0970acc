import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts, isListening, type Program, run, startProgram, until } from './processes.ts';

const PEERS = join(process.env['HEDDLE_PEERS'] ?? join(homedir(), '.cache/heddle-peers'), 'bin');
const HEADSCALE = process.env['HEADSCALE'] ?? 'headscale';
const READY_MS = 20_000;
const DOMAIN = 'ts.test';

/** Keeps real tailscaled offline and lets it use a relay without TLS. */
const TAILSCALED_ENV = {
  TS_DEBUG_USE_DERP_HTTP: '1',
  TS_ASSUME_NETWORK_UP_FOR_TEST: '1',
  TS_DISABLE_PORTMAPPER: '1',
  TS_NO_LOGS_NO_SUPPORT: 'true',
};

export type ControlKind = 'testcontrol' | 'headscale';

export interface RealTailnetOptions {
  readonly control: ControlKind;
  /** How many tailscaled; they are named peer1, peer2 … */
  readonly nodes: number;
  /** tailscaled neither sends nor offers UDP. */
  readonly isRelayOnly?: boolean;
  /** The year-older tailscaled. */
  readonly isOld?: boolean;
  /** Our own lab as coordination server and relay instead: where it listens. */
  readonly lab?: { readonly controlUrl: string; readonly authKey: string };
}

/** One real tailscaled in userspace mode. */
export interface RealNode {
  readonly name: string;
  readonly ipv4: string;
  readonly ipv6: string;
  readonly socksPort: number;
  /** Runs the tailscale command against it. */
  cli(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }>;
}

/** A coordination server, a relay with STUN and nodes, all of them other people's programs on loopback. */
export class RealTailnet {
  readonly folder: string;
  readonly controlUrl: string;
  readonly authKey: string;
  readonly nodes: readonly RealNode[];
  readonly #adminUrl: string;
  readonly #control: Service;
  readonly #derper: Service;
  readonly #programs: Program[];
  readonly #options: RealTailnetOptions;

  static async start(options: RealTailnetOptions): Promise<RealTailnet> {
    const folder = await mkdtemp(join(tmpdir(), 'heddle-interop-'));
    const [port, admin, derp, stun, metrics, grpc] = (await freePorts(6)) as [
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    const programs: Program[] = [];
    const derper = new Service(derp, () =>
      startProgram({
        name: 'derper',
        folder,
        command: join(PEERS, 'derper'),
        args: [
          '-a',
          `127.0.0.1:${derp}`,
          '-c',
          join(folder, 'derper.key'),
          '-http-port',
          '-1',
          '-stun',
          '-stun-port',
          `${stun}`,
        ],
      }),
    );
    const ports = { port, admin, derp, stun, metrics, grpc };
    const control =
      options.control === 'testcontrol'
        ? await prepareTestcontrol(folder, ports)
        : await prepareHeadscale(folder, ports);
    if (options.lab === undefined) {
      await derper.start();
      await control.service.start();
    }
    const controlUrl = options.lab?.controlUrl ?? `http://127.0.0.1:${port}`;
    const authKey = options.lab?.authKey ?? (await control.createAuthKey());
    const nodes: RealNode[] = [];
    for (let i = 1; i <= options.nodes; i++) {
      nodes.push(await startTailscaled({ folder, name: `peer${i}`, controlUrl, authKey, options, programs }));
    }
    const parts = { folder, controlUrl, authKey, nodes, options, programs };
    return new RealTailnet({ ...parts, adminUrl: `http://127.0.0.1:${admin}`, control: control.service, derper });
  }

  private constructor(parts: {
    folder: string;
    controlUrl: string;
    authKey: string;
    nodes: readonly RealNode[];
    options: RealTailnetOptions;
    programs: Program[];
    adminUrl: string;
    control: Service;
    derper: Service;
  }) {
    this.folder = parts.folder;
    this.controlUrl = parts.controlUrl;
    this.authKey = parts.authKey;
    this.nodes = parts.nodes;
    this.#options = parts.options;
    this.#programs = parts.programs;
    this.#adminUrl = parts.adminUrl;
    this.#control = parts.control;
    this.#derper = parts.derper;
  }

  get node(): RealNode {
    return this.nodes[0] as RealNode;
  }

  /** One more tailscaled, from its start until it is up. */
  addNode(name: string): Promise<RealNode> {
    const { folder, controlUrl, authKey } = this;
    return startTailscaled({ folder, name, controlUrl, authKey, options: this.#options, programs: this.#programs });
  }

  killRelay(): Promise<void> {
    return this.#derper.stop('SIGKILL');
  }

  startRelay(): Promise<void> {
    return this.#derper.start();
  }

  killControl(): Promise<void> {
    return this.#control.stop('SIGKILL');
  }

  startControl(): Promise<void> {
    return this.#control.start();
  }

  /** What the server knows of a node by its host name: the proof that our lite updates arrived. */
  async serverView(hostname: string): Promise<{ discoKey: string; homeDerp: number | undefined } | undefined> {
    if (this.#options.control === 'testcontrol') {
      const nodes = (await (await fetch(`${this.#adminUrl}/nodes`)).json()) as Record<string, unknown>[];
      const node = nodes.find(
        (entry) => (entry['Hostinfo'] as { Hostname?: string } | undefined)?.Hostname === hostname,
      );
      return node && { discoKey: String(node['DiscoKey']), homeDerp: Number(node['HomeDERP'] ?? 0) };
    }
    const { stdout } = await run(HEADSCALE, ['-c', join(this.folder, 'headscale.yaml'), 'nodes', 'list', '-o', 'json']);
    const nodes = JSON.parse(stdout.slice(stdout.indexOf('['))) as Record<string, unknown>[];
    const node = nodes.find((entry) => entry['name'] === hostname || entry['givenName'] === hostname);
    return node && { discoKey: String(node['discoKey'] ?? node['disco_key']), homeDerp: undefined };
  }

  /** The admin API of testcontrol. */
  async admin(method: 'GET' | 'POST', path: string, body = ''): Promise<unknown> {
    const answer = await fetch(this.#adminUrl + path, method === 'POST' ? { method, body } : { method });
    if (!answer.ok) throw new Error(`${path}: ${await answer.text()}`);
    return answer.json();
  }

  async close(): Promise<void> {
    await Promise.all([...this.#programs].map((program) => program.stop()));
    await this.#control.stop();
    await this.#derper.stop();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** The version of headscale on PATH, or `undefined`: its tests are skipped where nobody has it. */
export async function findHeadscale(): Promise<string | undefined> {
  const { code, stdout, stderr } = await run(HEADSCALE, ['version']);
  if (code === 0) return (stdout + stderr).trim().split('\n')[0] as string;
  // A headscale that is there and does not run is a failure, not a reason to skip.
  if (stderr.includes('ENOENT')) return undefined;
  throw new Error(`${HEADSCALE} version: exit ${code}: ${stderr}`);
}

/** A server that can be killed and started again on its port. */
class Service {
  readonly #port: number;
  readonly #launch: () => Program;
  #program: Program | undefined;

  constructor(port: number, launch: () => Program) {
    this.#port = port;
    this.#launch = launch;
  }

  async start(): Promise<void> {
    const program = this.#launch();
    this.#program = program;
    await until(`port ${this.#port} open, see ${program.logPath}`, READY_MS, () => isListening(this.#port));
  }

  async stop(signal?: NodeJS.Signals): Promise<void> {
    await this.#program?.stop(signal);
    this.#program = undefined;
  }
}

interface Ports {
  readonly port: number;
  readonly admin: number;
  readonly derp: number;
  readonly stun: number;
  readonly metrics: number;
  readonly grpc: number;
}

interface Control {
  readonly service: Service;
  createAuthKey(): Promise<string>;
}

async function prepareTestcontrol(folder: string, ports: Ports): Promise<Control> {
  const mapPath = join(folder, 'derp.json');
  const node = {
    Name: '900a',
    RegionID: 900,
    HostName: '127.0.0.1',
    IPv4: '127.0.0.1',
    IPv6: 'none',
    DERPPort: ports.derp,
    STUNPort: ports.stun,
    InsecureForTests: true,
  };
  const region = { RegionID: 900, RegionCode: 'test', RegionName: 'test', Nodes: [node] };
  await writeFile(mapPath, JSON.stringify({ Regions: { 900: region } }));
  const authKey = 'test-key';
  const args = [
    '-listen',
    `127.0.0.1:${ports.port}`,
    '-admin',
    `127.0.0.1:${ports.admin}`,
    '-derp-map',
    mapPath,
    '-authkey',
    authKey,
  ];
  const service = new Service(ports.port, () =>
    startProgram({ name: 'testcontrol', folder, command: join(PEERS, 'testcontrol'), args }),
  );
  return { service, createAuthKey: async () => authKey };
}

async function prepareHeadscale(folder: string, ports: Ports): Promise<Control> {
  const configPath = join(folder, 'headscale.yaml');
  const node = `{name: 900a, regionid: 900, hostname: 127.0.0.1, ipv4: 127.0.0.1, ipv6: none, derpport: ${ports.derp}, stunport: ${ports.stun}, insecurefortests: true}`;
  await writeFile(
    join(folder, 'derp.yaml'),
    `regions: {900: {regionid: 900, regioncode: test, regionname: test, nodes: [${node}]}}\n`,
  );
  await writeFile(configPath, headscaleConfig(folder, ports));
  const service = new Service(ports.port, () =>
    startProgram({ name: 'headscale', folder, command: HEADSCALE, args: ['-c', configPath, 'serve'] }),
  );
  const createAuthKey = async () => {
    await until('headscale healthy', READY_MS, async () => (await fetch(`http://127.0.0.1:${ports.port}/health`)).ok);
    await run(HEADSCALE, ['-c', configPath, 'users', 'create', 'alice']);
    const create = ['-c', configPath, 'preauthkeys', 'create', '--reusable', '-e', '24h', '-u'];
    // Newer versions take the user's id, older ones the name.
    for (const user of ['1', 'alice']) {
      const { code, stdout } = await run(HEADSCALE, [...create, user]);
      if (code === 0) return stdout.trim().split('\n').at(-1) as string;
    }
    throw new Error(`headscale made no pre-auth key, see ${folder}`);
  };
  return { service, createAuthKey };
}

function headscaleConfig(folder: string, ports: Ports): string {
  return `server_url: http://127.0.0.1:${ports.port}
listen_addr: 127.0.0.1:${ports.port}
metrics_listen_addr: 127.0.0.1:${ports.metrics}
grpc_listen_addr: 127.0.0.1:${ports.grpc}
noise: {private_key_path: ${folder}/noise.key}
prefixes: {v4: 100.64.0.0/10, v6: "fd7a:115c:a1e0::/48", allocation: sequential}
derp: {server: {enabled: false}, urls: [], paths: [${folder}/derp.yaml], auto_update_enabled: false, update_frequency: 24h}
disable_check_updates: true
ephemeral_node_inactivity_timeout: 70s
database: {type: sqlite, sqlite: {path: ${folder}/db.sqlite, write_ahead_log: true}}
log: {level: info, format: text}
policy: {mode: file, path: ""}
dns: {magic_dns: true, base_domain: ${DOMAIN}, override_local_dns: false, nameservers: {global: [], split: {}}}
unix_socket: ${folder}/hs.sock
unix_socket_permission: "0770"
`;
}

async function startTailscaled(parts: {
  folder: string;
  name: string;
  controlUrl: string;
  authKey: string;
  options: RealTailnetOptions;
  programs: Program[];
}): Promise<RealNode> {
  const { folder, name, controlUrl, authKey, options, programs } = parts;
  const suffix = options.isOld ? '-old' : '';
  const socket = join(folder, `${name}.sock`);
  const [socksPort] = (await freePorts(1)) as [number];
  programs.push(
    startProgram({
      name,
      folder,
      command: join(PEERS, `tailscaled${suffix}`),
      args: [
        '--tun=userspace-networking',
        `--statedir=${join(folder, name)}`,
        `--socket=${socket}`,
        '--port=0',
        `--socks5-server=127.0.0.1:${socksPort}`,
        '--no-logs-no-support',
      ],
      env: { ...TAILSCALED_ENV, ...(options.isRelayOnly ? { TS_DEBUG_ALWAYS_USE_DERP: '1' } : {}) },
    }),
  );
  const cli = (...args: string[]) => run(join(PEERS, `tailscale${suffix}`), [`--socket=${socket}`, ...args]);
  await until(`${name} listens, see ${folder}`, READY_MS, async () => (await stat(socket)).isSocket());
  const up = await cli(
    'up',
    `--login-server=${controlUrl}`,
    `--authkey=${authKey}`,
    `--hostname=${name}`,
    '--accept-dns=false',
    '--netfilter-mode=off',
    '--timeout=20s',
  );
  if (up.code !== 0) throw new Error(`${name} did not come up: ${up.stderr}`);
  const addresses = (await cli('ip')).stdout.trim().split('\n');
  return { name, ipv4: addresses[0] as string, ipv6: addresses[1] ?? '', socksPort, cli };
}
