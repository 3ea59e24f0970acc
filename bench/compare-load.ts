import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { run } from '../tests/support/processes.ts';
import { cpuMs } from './process-figures.ts';
import type { RestClient } from './rest-client.ts';
import { printTable, type Row } from './table.ts';

const LOAD_RUNS = 5;
const LOAD_MS = 2_000;
const LOAD_CONNECTIONS = 16;

const script = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

export interface Loaded {
  readonly port: number;
  readonly pid: number;
  readonly client: RestClient;
  /** What is asked for. */
  readonly path: string;
}

/** Prints how many requests a daemon answers and how many a server that knows the answer beforehand. */
export async function compareLoad({ port: ourPort, pid, client, path }: Loaded): Promise<void> {
  const { headers, text } = await client.ask('GET', path);
  const made = ['date', 'connection', 'keep-alive'];
  const fields = Object.entries(headers).filter(([name]) => !made.includes(name));
  const plain = spawn(process.execPath, [script('plain-server.mjs'), JSON.stringify({ fields: fields.flat(), text })], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const port = Number(await firstLine(plain));
  const ours: Load[] = [];
  const theirs: Load[] = [];
  // The first run of each is for the compiler.
  for (let i = 0; i <= LOAD_RUNS; i++) {
    ours.push(await load(ourPort, path, pid));
    theirs.push(await load(port, path, plain.pid ?? 0));
  }
  const of = (loads: readonly Load[], read: (one: Load) => number): number[] => loads.slice(1).map(read);
  const compare = (metric: string, unit: string, wanted: string, read: (one: Load) => number): Row => ({
    metric,
    unit,
    ours: of(ours, read),
    theirs: of(theirs, read),
    wanted,
  });
  printTable(`GET ${path} on ${LOAD_CONNECTIONS} connections, and a bare node:http with the same answer`, [
    compare('answered', '/s', '≥ 0.5×', ({ perSecond }) => perSecond),
    compare('processor time of one', 'µs', '', ({ cpuUs }) => cpuUs),
  ]);
  const ended = once(plain, 'exit');
  plain.kill();
  await ended;
}

interface Load {
  readonly perSecond: number;
  /** Of the server, for one answer. */
  readonly cpuUs: number;
}

async function load(port: number, path: string, pid: number): Promise<Load> {
  const before = cpuMs(pid);
  const args = [script('http-load.mjs'), port, path, LOAD_CONNECTIONS, LOAD_MS].map(String);
  const { stdout, stderr } = await run(process.execPath, args);
  if (stdout === '') throw new Error(stderr);
  const { answerCount, seconds } = JSON.parse(stdout) as { answerCount: number; seconds: number };
  return { perSecond: answerCount / seconds, cpuUs: ((cpuMs(pid) - before) * 1000) / answerCount };
}

async function firstLine({ stdout }: ChildProcess): Promise<string> {
  if (stdout === null) throw new TypeError('its output is not read');
  const [text] = (await once(stdout, 'data')) as [Buffer];
  return text.toString().trim();
}
