import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { CliWorld } from '../src/cli/cli-context.ts';
import { runCli } from '../src/cli/program.ts';
import type { SubnetInfo, TunInfo } from '../src/schema/interface-api.ts';

export const TUN: TunInfo = {
  name: 'tun0',
  ip_addr: '10.0.0.1',
  netmask: '255.255.255.0',
  broadcast: '10.0.0.255',
  cidr: '10.0.0.0/24',
  ip6_addr: null,
  ip6_prefix_length: null,
  mtu: 1500,
  kind: 'tun',
  persistent: true,
  attached: false,
  owner: null,
  state: 'active',
  created_by: 0,
  created_at: '2023-11-14T22:13:20Z',
};
export const SUBNET: SubnetInfo = {
  network: '10.1.0.0/24',
  cidr: '10.1.0.0/24',
  interface: 'hd0',
  ip_addr: '10.1.0.1',
  kind: 'dummy',
  mtu: 1500,
  state: 'active',
  created_by: 1000,
  created_at: '2023-11-14T22:13:20Z',
};

/** One question as it came in. */
export interface Asked {
  readonly line: string;
  readonly body: unknown;
  readonly headers: IncomingMessage['headers'];
}

/** What a command came to. */
export interface Result {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

/** A daemon that notes what it is asked and answers what the test says, and the command line that asks it. */
export class ScriptedDaemon {
  readonly asked: Asked[] = [];
  readonly port: number;
  answer: (response: ServerResponse) => void = (response) => response.writeHead(500).end();
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    server.on('request', (request, response) => this.#take(request, response));
  }

  static async start(address = '127.0.0.1'): Promise<ScriptedDaemon> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, address, resolve));
    return new ScriptedDaemon(server);
  }

  says(value: unknown, status = 200, type = 'application/json; charset=utf-8'): void {
    this.answer = (response) => {
      response.writeHead(status, { 'content-type': type });
      response.end(typeof value === 'string' ? value : JSON.stringify(value));
    };
  }

  refuses(code: string, status: number, detail: string): void {
    const problem = { type: `urn:heddle:${code}`, title: 'A title', status, detail, code, next: 'see GET /tun' };
    this.says(problem, status, 'application/problem+json');
  }

  /** Runs a command at the port of this daemon. */
  ask(line: string, interrupt?: AbortSignal): Promise<Result> {
    return runHeddle(`${line} --port ${this.port}`, interrupt);
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    let text = '';
    request.on('data', (chunk: Buffer) => {
      text += chunk;
    });
    request.on('end', () => {
      const body: unknown = text === '' ? undefined : JSON.parse(text);
      this.asked.push({ line: `${request.method} ${request.url}`, body, headers: request.headers });
      this.answer(response);
    });
  }
}

/** Runs one command line, its words apart by blanks, without an engine; a minute after what the daemons made. */
export async function runHeddle(line: string, interrupt: AbortSignal = new AbortController().signal): Promise<Result> {
  let [out, err] = ['', ''];
  const world: CliWorld = {
    env: { HOME: '/nonexistent' },
    version: '1',
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    isInteractive: false,
    readInput: async () => '',
    unixMs: () => 1_700_000_060_000,
    engineCommand: ['/nonexistent/node'],
    loadParts: () => Promise.reject(new Error('no engine is needed')),
    interrupt,
  };
  const status = await runCli(line.split(' '), world);
  return { status, out, err };
}
