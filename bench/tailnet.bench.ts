import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, it } from 'vitest';
import { freePorts, run } from '../tests/support/processes.ts';
import { RealTailnet } from '../tests/support/real-tailnet.ts';
import { connectBySocks } from '../tests/support/transfers.ts';
import { median, printTable, type Row } from './table.ts';

const HEDDLE = fileURLToPath(new URL('../node_modules/.bin/heddle', import.meta.url));
const NETSTACK_SCRIPT = fileURLToPath(new URL('../packages/proto/bench/netstack.mjs', import.meta.url));
const JOIN_SCRIPT = fileURLToPath(new URL('./join-once.mjs', import.meta.url));
const BULK_BYTES = Number(process.env['BENCH_BYTES'] ?? 500_000_000);
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 3);
const SMALL_REQUESTS = 1000;
/** Not counted: a program in JavaScript is compiled while it runs. */
const WARM_UP_REQUESTS = 500;
const IDLE_SETTLE_MS = 5_000;

/** Serves `/bulk` with BULK_BYTES and `/` with a few bytes, from memory. */
async function startWebServer(): Promise<{ port: number; close(): void }> {
  const block = Buffer.alloc(1 << 20, 'x');
  const server = createServer((request, response) => {
    if (request.url !== '/bulk') {
      response.end('ok\n');
      return;
    }
    response.writeHead(200, { 'content-length': BULK_BYTES });
    let left = BULK_BYTES;
    const more = () => {
      while (left > 0) {
        const part = left < block.length ? block.subarray(0, left) : block;
        left -= part.length;
        if (!response.write(part)) {
          response.once('drain', more);
          return;
        }
      }
      response.end();
    };
    more();
  });
  server.keepAliveTimeout = 0;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { port: (server.address() as AddressInfo).port, close: () => server.close() };
}

/** One curl, through a SOCKS5 proxy or without; Gbit/s. */
async function bulkGbits(proxyPort: number | undefined, url: string): Promise<number> {
  const args = [
    '-sS',
    '-o',
    '/dev/null',
    '-w',
    '%{speed_download} %{size_download}',
    ...(proxyPort === undefined ? [] : ['--proxy', `socks5h://127.0.0.1:${proxyPort}`]),
    url,
  ];
  const { stdout, stderr } = await run('curl', args, { timeoutMs: 300_000 });
  const [speed, size] = stdout.split(' ').map(Number) as [number, number];
  if (size !== BULK_BYTES) throw new Error(`curl received ${size} bytes: ${stderr}`);
  return (speed * 8) / 1e9;
}

/** One small HTTP request on a fresh connection through a SOCKS5 proxy; milliseconds. */
async function smallRequestMs(proxyPort: number, host: string, port: number): Promise<number> {
  const startedAt = performance.now();
  const socket: Socket = await connectBySocks(proxyPort, host, port);
  socket.write(`GET / HTTP/1.0\r\nHost: ${host}\r\n\r\n`);
  await new Promise((resolve, reject) => socket.once('data', resolve).once('error', reject));
  const elapsedMs = performance.now() - startedAt;
  socket.destroy();
  return elapsedMs;
}

/** A request whose failure is counted: tailscaled draws ports at random and meets its own TIME-WAIT now and then. */
async function tryRequest(times: number[], failures: unknown[], proxyPort: number, host: string, port: number) {
  try {
    times.push(await smallRequestMs(proxyPort, host, port));
  } catch (error) {
    failures.push(error);
  }
}

class Engine {
  readonly folder: string;
  readonly proxyPort: number;
  readonly #real: RealTailnet;

  constructor(folder: string, proxyPort: number, real: RealTailnet) {
    this.folder = folder;
    this.proxyPort = proxyPort;
    this.#real = real;
  }

  heddle(...args: string[]) {
    return run(HEDDLE, [
      ...args,
      '--state-dir',
      join(this.folder, 'state'),
      '--socket-path',
      join(this.folder, 'sock'),
    ]);
  }

  async connect(): Promise<void> {
    const { code, stderr } = await this.heddle(
      'connect',
      '--login-server',
      this.#real.controlUrl,
      '--auth-key-file',
      join(this.folder, 'key'),
      '--hostname',
      'ours',
      '--proxy',
      `127.0.0.1:${this.proxyPort}`,
    );
    if (code !== 0) throw new Error(`heddle connect: ${stderr}`);
  }

  async rssMb(): Promise<number> {
    const { pid } = JSON.parse((await this.heddle('status', '--json')).stdout) as { pid: number };
    const status = await readFile(`/proc/${pid}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
  }
}

async function createEngine(real: RealTailnet): Promise<Engine> {
  const folder = await mkdtemp(join(tmpdir(), 'heddle-bench-'));
  await writeFile(join(folder, 'key'), real.authKey, { mode: 0o600 });
  const [proxyPort] = (await freePorts(1)) as [number];
  return new Engine(folder, proxyPort, real);
}

/** Their node started until the first byte through its proxy. */
async function theirFirstByteMs(real: RealTailnet, name: string, host: string, port: number): Promise<number> {
  const startedAt = performance.now();
  const node = await real.addNode(name);
  await firstByte(node.socksPort, host, port);
  return performance.now() - startedAt;
}

/** Asks until it is answered: a proxy may be up before its first peer is. */
async function firstByte(proxyPort: number, host: string, port: number): Promise<void> {
  for (;;) {
    try {
      await smallRequestMs(proxyPort, host, port);
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }
}

describe('through our proxy and through tailscaled', () => {
  for (const isRelayOnly of [false, true]) {
    it(isRelayOnly ? 'by relay' : 'direct', async () => {
      const web = await startWebServer();
      const real = await RealTailnet.start({ control: 'testcontrol', nodes: 2, isRelayOnly });
      const [server, client] = real.nodes as [RealTailnet['node'], RealTailnet['node']];
      const engine = await createEngine(real);
      await engine.connect();
      const url = `http://${server.ipv4}:${web.port}/bulk`;
      await firstByte(engine.proxyPort, server.ipv4, web.port);
      await firstByte(client.socksPort, server.ipv4, web.port);
      await new Promise((resolve) => setTimeout(resolve, IDLE_SETTLE_MS));
      const rss = await engine.rssMb();
      const bulk: Row = {
        metric: `${BULK_BYTES / 1e6} MB by curl`,
        unit: 'Gbit/s',
        ours: [],
        theirs: [],
        wanted: isRelayOnly ? '≥ 1.0×' : '≥ 0.4×',
      };
      const small: Row = { metric: 'small HTTP request', unit: 'ms', ours: [], theirs: [], wanted: '≤ 1.0×' };
      const failures = { ours: [] as unknown[], theirs: [] as unknown[] };
      for (let round = 0; round < ROUNDS; round++) {
        (bulk.ours as number[]).push(await bulkGbits(engine.proxyPort, url));
        (bulk.theirs as number[]).push(await bulkGbits(client.socksPort, url));
      }
      for (let i = -WARM_UP_REQUESTS; i < SMALL_REQUESTS; i++) {
        if (i === 0) for (const times of [small.ours, small.theirs]) (times as number[]).length = 0;

        await tryRequest(small.ours as number[], failures.ours, engine.proxyPort, server.ipv4, web.port);
        await tryRequest(small.theirs as number[], failures.theirs, client.socksPort, server.ipv4, web.port);
      }
      const { path } = JSON.parse((await engine.heddle('status', '--json')).stdout).peers.find(
        (peer: { name: string }) => peer.name === server.name,
      );
      printTable(`${isRelayOnly ? 'relay only' : 'direct'} (path in status: ${path.kind})`, [bulk, small]);
      console.log(`requests that failed: heddle ${failures.ours.length}, tailscaled ${failures.theirs.length}`);
      console.log(
        `engine RSS idle ${rss.toFixed(1)} MB, after load ${(await engine.rssMb()).toFixed(1)} MB (wanted ≤ 75 idle)\n`,
      );
      await engine.heddle('disconnect');
      await real.close();
      web.close();
      await rm(engine.folder, { recursive: true });
    });
  }
});

describe('from nothing to the first byte', () => {
  it('connect and join', async () => {
    const web = await startWebServer();
    const real = await RealTailnet.start({ control: 'testcontrol', nodes: 1 });
    const host = real.node.ipv4;
    const rows = { connect: [] as number[], join: [] as number[], theirs: [] as number[] };
    for (let round = 0; round < 7; round++) {
      const engine = await createEngine(real);
      const startedAt = performance.now();
      await engine.connect();
      await firstByte(engine.proxyPort, host, web.port);
      rows.connect.push(performance.now() - startedAt);
      await engine.heddle('disconnect');
      await rm(engine.folder, { recursive: true });
      rows.theirs.push(await theirFirstByteMs(real, `late${round}`, host, web.port));
      const { stdout, stderr } = await run(
        process.execPath,
        [JOIN_SCRIPT, real.controlUrl, real.node.name, String(web.port)],
        { env: { HEDDLE_AUTH_KEY: real.authKey } },
      );
      if (stdout === '') throw new Error(stderr);
      rows.join.push(Number(stdout));
    }
    printTable('until the first byte from a peer', [
      { metric: 'heddle connect started', unit: 'ms', ours: rows.connect, theirs: rows.theirs, wanted: '≤ 4×' },
      { metric: 'Tailnet.join() called', unit: 'ms', ours: rows.join, theirs: rows.theirs, wanted: '≤ 1.5×' },
    ]);
    await real.close();
    web.close();
  });
});

describe('the stack alone', () => {
  it('two stacks in memory against curl over kernel loopback', async () => {
    const web = await startWebServer();
    const row: Row = { metric: 'TCP, MTU 1280', unit: 'Gbit/s', ours: [], theirs: [], wanted: '≥ 0.25×' };
    for (let round = 0; round < ROUNDS; round++) {
      const { stdout } = await run(process.execPath, [NETSTACK_SCRIPT]);
      const rounds = [...stdout.matchAll(/([\d.]+) Gbit\/s/g)].map((match) => Number(match[1]));
      (row.ours as number[]).push(median(rounds));
      (row.theirs as number[]).push(await bulkGbits(undefined, `http://127.0.0.1:${web.port}/bulk`));
    }
    printTable('two stacks joined in memory, on one core; curl and its server have both', [row]);
    web.close();
  });
});
