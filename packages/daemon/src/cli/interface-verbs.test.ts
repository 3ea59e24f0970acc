import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { SubnetInfo, TunInfo } from '../schema/interface-api.ts';
import { INTERFACE_CODES } from '../schema/interface-codes.ts';
import type { CliWorld } from './cli-context.ts';
import { runCli } from './program.ts';

const TUN: TunInfo = {
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
const SUBNET: SubnetInfo = {
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

interface Asked {
  readonly line: string;
  readonly body: unknown;
  readonly headers: IncomingMessage['headers'];
}

let dir: string;
let server: Server | undefined;
let port: number;
let asked: Asked[];
let answer: (response: ServerResponse) => void;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'heddle-rest-'));
  asked = [];
});
afterEach(async () => {
  server?.closeAllConnections();
  await new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve())));
  server = undefined;
  rmSync(dir, { recursive: true, force: true });
});

/** A daemon that notes what it is asked and answers what the test says. */
async function startDaemon(address = '127.0.0.1'): Promise<void> {
  const started = createServer((request, response) => {
    let text = '';
    request.on('data', (chunk: Buffer) => {
      text += chunk;
    });
    request.on('end', () => {
      const body: unknown = text === '' ? undefined : JSON.parse(text);
      asked.push({ line: `${request.method} ${request.url}`, body, headers: request.headers });
      answer(response);
    });
  });
  await new Promise<void>((resolve) => started.listen(0, address, resolve));
  server = started;
  port = (started.address() as AddressInfo).port;
}

function says(value: unknown, status = 200, type = 'application/json; charset=utf-8'): void {
  answer = (response) => {
    response.writeHead(status, { 'content-type': type });
    response.end(typeof value === 'string' ? value : JSON.stringify(value));
  };
}

function refuses(code: string, status: number, detail: string): void {
  const problem = { type: `urn:heddle:${code}`, title: 'A title', status, detail, code, next: 'see GET /tun' };
  says(problem, status, 'application/problem+json');
}

interface Result {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

async function heddle(line: string, interrupt: AbortSignal = new AbortController().signal): Promise<Result> {
  let [out, err] = ['', ''];
  const world: CliWorld = {
    env: { HOME: dir },
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

const ask = (line: string): Promise<Result> => heddle(`${line} --port ${port}`);

describe('heddle tun', () => {
  beforeEach(() => startDaemon());

  it('creates a device of which everything is chosen', async () => {
    says(TUN);
    expect(await ask('tun create')).toEqual({ status: 0, out: 'Made tun0, 10.0.0.1/24\n', err: '' });
    expect(asked[0]).toMatchObject({ line: 'POST /tun', body: {} });
    expect(asked[0]?.headers).toMatchObject({ 'content-type': 'application/json', 'content-length': '2' });
    expect(asked[0]?.headers).not.toHaveProperty('authorization');
  });

  it('creates a device of which everything is said', async () => {
    says({ ...TUN, ip6_addr: 'fd00::1', ip6_prefix_length: 64, warnings: ['The owner\u001b[2J is root'] });
    const options = '--name vpn0 --address 10.5.0.1/16 --ip6 fd00::1/64 --mtu 1400 --owner 1000 --attached';
    const { status, out, err } = await ask(`tun create ${options}`);
    expect([status, out]).toEqual([0, 'Made tun0, 10.0.0.1/24, fd00::1/64\n']);
    expect(err).toBe('warning: The owner?[2J is root\n');
    expect(asked[0]?.body).toEqual({
      name: 'vpn0',
      ip_addr: '10.5.0.1',
      prefix_length: 16,
      ip6_addr: 'fd00::1',
      ip6_prefix_length: 64,
      mtu: 1400,
      owner: 1000,
      persistent: false,
    });
    await ask('tun create --address 10.5.0.1 --ip6=auto --owner me');
    expect(asked[1]?.body).toEqual({ ip_addr: '10.5.0.1', ip6_addr: 'auto', owner: 'me' });
  });

  it('lists the devices as a table', async () => {
    const busy = { ...TUN, name: 'tun1', owner: 1000, attached: true };
    says([TUN, busy, { ...busy, name: 'tun2', state: 'missing' }]);
    expect((await ask('tun list')).out).toBe(
      [
        'DEVICE  ADDRESSES    MTU   OWNER     USE',
        'tun0    10.0.0.1/24  1500  root      free',
        'tun1    10.0.0.1/24  1500  uid 1000  in use',
        'tun2    10.0.0.1/24  1500  uid 1000  missing',
        '',
      ].join('\n'),
    );
    expect(asked[0]?.line).toBe('GET /tun');
    says([]);
    expect((await ask('tun list')).out).toBe('No TUN devices; make one: heddle tun create\n');
  });

  it('shows one device', async () => {
    says({ ...TUN, created_by: null });
    const { out } = await ask('tun show tun0');
    expect(asked[0]?.line).toBe('GET /tun/tun0');
    expect(out).toMatch(/^device {5}tun0 \(tun\)\naddresses {2}10.0.0.1\/24\nnetwork {4}10.0.0.0\/24\n/);
    expect(out).toMatch(/\nkept {7}until it is deleted\nuse {8}free\nmade {7}60 s ago, with the token\n$/);
  });

  it('deletes one device', async () => {
    answer = (response) => response.writeHead(204).end();
    expect(await ask('tun delete tun0')).toEqual({ status: 0, out: 'Deleted tun0\n', err: '' });
    expect(asked[0]).toMatchObject({ line: 'DELETE /tun/tun0', body: undefined });
    expect((await ask('tun delete tun0 --json')).out).toBe('{\n  "ok": true\n}\n');
  });

  it('lets no name lead to another path', async () => {
    for (const name of ['..', '../subnet', 'a/b', 'tun0?x', 'a\u001b', 'x'.repeat(16)]) {
      const { status, err } = await ask(`tun delete ${name}`);
      expect([status, err.includes('[tun/bad-name]')]).toEqual([2, true]);
    }
    expect(asked).toEqual([]);
  });
});

describe('heddle subnet', () => {
  beforeEach(() => startDaemon());

  it('adds a network that is chosen, or the one that is given', async () => {
    says(SUBNET);
    const added = 'Added 10.1.0.0/24 at hd0, this machine is 10.1.0.1\n';
    expect(await ask('subnet add')).toEqual({ status: 0, out: added, err: '' });
    await ask('subnet add --prefix-length 48 --ipv6 --mtu 1280');
    await ask('subnet add 10.1.0.0/24 --mtu 9000');
    expect(asked.map(({ line }) => line)).toEqual(['POST /subnet', 'POST /subnet', 'POST /subnet']);
    expect(asked.map(({ body }) => body)).toEqual([
      {},
      { prefix_length: 48, family: 6, mtu: 1280 },
      { cidr: '10.1.0.0/24', mtu: 9000 },
    ]);
  });

  it('lists the subnets as a table', async () => {
    says([SUBNET]);
    expect((await ask('subnet list')).out).toBe(
      [
        'NETWORK      ADDRESS   DEVICE  KIND   MTU   STATE',
        '10.1.0.0/24  10.1.0.1  hd0     dummy  1500  active',
        '',
      ].join('\n'),
    );
    says([]);
    expect((await ask('subnet list')).out).toBe('No local subnets; make one: heddle subnet add\n');
  });

  it('shows and deletes one subnet', async () => {
    says(SUBNET);
    expect((await ask('subnet show 10.1.0.0/24')).out).toContain('device   hd0 (dummy)\n');
    answer = (response) => response.writeHead(204).end();
    expect((await ask('subnet delete fd00:1::/64')).out).toBe('Deleted fd00:1::/64\n');
    expect(asked.map(({ line }) => line)).toEqual(['GET /subnet/10.1.0.0%2F24', 'DELETE /subnet/fd00%3A1%3A%3A%2F64']);
  });

  it('lists what is free, a line each', async () => {
    says({ free: ['10.0.0.0/24', '10.0.1.0/24'] });
    expect((await ask('subnet free')).out).toBe('10.0.0.0/24\n10.0.1.0/24\n');
    await ask('subnet free --ipv6 --prefix-length 56 --count 2');
    expect(asked.map(({ line }) => line)).toEqual([
      'GET /subnet/free',
      'GET /subnet/free?prefix_length=56&family=6&count=2',
    ]);
    says({ free: [] });
    expect(await ask('subnet free')).toMatchObject({ status: 9, out: '' });
  });

  it('lets no network lead to another path', async () => {
    for (const cidr of ['free', '10.1.0.0', '..', '../tun', '10.1.0.0/24/x']) {
      const { status, err } = await ask(`subnet delete ${cidr}`);
      expect([status, err.includes('[subnet/bad-cidr]')]).toEqual([2, true]);
    }
    expect(asked).toEqual([]);
  });
});

describe('--json', () => {
  beforeEach(() => startDaemon());

  it('prints what the daemon says, fields of later versions too', async () => {
    const later = { ...TUN, colour: { is: 'red' } };
    for (const line of ['tun create', 'tun show tun0']) {
      says(later);
      expect(JSON.parse((await ask(`${line} --json`)).out)).toEqual(later);
    }
    says([later]);
    expect(JSON.parse((await ask('tun list --json')).out)).toEqual([later]);
    for (const line of ['subnet add', 'subnet show 10.1.0.0/24']) {
      says(SUBNET);
      expect(JSON.parse((await ask(`${line} --json`)).out)).toEqual(SUBNET);
    }
    says([SUBNET]);
    expect(JSON.parse((await ask('subnet list --json')).out)).toEqual([SUBNET]);
    says({ free: ['10.0.0.0/24'] });
    expect(JSON.parse((await ask('subnet free --json')).out)).toEqual({ free: ['10.0.0.0/24'] });
  });

  it('keeps control characters of the daemon from the terminal', async () => {
    const name = 'a\u001b[2J\u0007b\u009b31m\u007f';
    says([{ ...TUN, name }]);
    const json = await ask('tun list --json');
    expect(JSON.parse(json.out)).toEqual([{ ...TUN, name }]);
    expect(json.out.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
    for (const line of ['tun list', 'tun list', 'tun show tun0', 'tun create']) {
      says(line === 'tun list' ? [{ ...TUN, name }] : { ...TUN, name });
      const { out } = await ask(line);
      expect(out).toContain('a?[2J?b?31m?');
      expect(out.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
    }
  });
});

describe('a refusal', () => {
  beforeEach(() => startDaemon());

  it('has the code and the words of the daemon', async () => {
    refuses('allocation/overlap', 409, '10.0.0.0/24 is a route of "eth0"\u001b[2J');
    const { status, out, err } = await ask('tun create --address 10.0.0.1/24');
    expect([status, out]).toEqual([9, '']);
    expect(err).toBe(
      'heddle: 10.0.0.0/24 is a route of "eth0"?[2J [allocation/overlap]\n  next: choose another network, or none\n',
    );
    expect(JSON.parse((await ask('tun create --json')).out)).toMatchObject({ ok: false, code: 'allocation/overlap' });
  });

  it('has an exit status that tells usage, permission and conflict apart', async () => {
    for (const [code, { status }] of Object.entries(INTERFACE_CODES)) {
      refuses(code, status, 'No');
      const result = await ask('tun delete tun0 --json');
      const expected = { 400: 2, 403: 4, 404: 2, 405: 2, 409: 9, 413: 2, 415: 2, 422: 2, 500: 1, 503: 9, 507: 9 };
      expect([code, result.status]).toEqual([code, expected[status as keyof typeof expected]]);
      expect(JSON.parse(result.out)).toMatchObject({ code, message: 'No' });
    }
  });

  it('names a command as the next step, not a request', async () => {
    refuses('tun/unknown', 404, 'There is no device "tun9" of heddle');
    expect((await ask('tun show tun9')).err).toContain('\n  next: see heddle tun list\n');
    refuses('rest/forbidden', 403, 'User 1000 may not change interfaces');
    expect((await ask('tun create')).err).toContain('or pass the token by --token-file\n');
  });

  it('keeps a code of a later daemon, but none of another room', async () => {
    refuses('tun/too-new', 422, 'Not today');
    expect((await ask('tun create')).err).toContain('heddle: Not today [tun/too-new]\n  next: see heddle tun list');
    refuses('ipc/not-running', 422, 'Not today');
    expect((await ask('tun create')).err).toContain('[rest/bad-answer]');
  });
});

describe('a daemon that cannot be asked', () => {
  it('does not run: the command ends with 3 and says what to start', async () => {
    await startDaemon();
    await new Promise((resolve) => server?.close(resolve));
    server = undefined;
    for (const line of ['tun list', 'tun create', 'subnet free', 'subnet delete 10.1.0.0/24']) {
      const { status, out, err } = await ask(line);
      expect([status, out]).toEqual([3, '']);
      expect(err).toMatch(
        /^heddle: The (tun|subnet)-daemon is not at 127\.0\.0\.1:[0-9]+ \(ECONNREFUSED\), nor at \[::1\]/,
      );
      expect(err).toContain(
        '[rest/not-running]\n  next: start it: tun-daemon, subnet-daemon, or the teams daemon with --rest\n',
      );
    }
  });

  const hasIpv6 = Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === '::1'));
  it.skipIf(!hasIpv6)('is found at ::1 (needs IPv6 on the loopback interface)', async () => {
    await startDaemon('::1');
    says([TUN]);
    expect(await ask('tun list')).toMatchObject({ status: 0, err: '' });
    expect(asked[0]?.headers.host).toBe(`[::1]:${port}`);
  });

  it('is given the time of --timeout', async () => {
    await startDaemon();
    answer = () => {};
    const { status, err } = await ask('tun create --timeout 0.05');
    expect(status).toBe(5);
    expect(err).toMatch(/^heddle: No answer of the tun-daemon within 0\.05 s \[rest\/timeout\]\n {2}next: see whether/);
    answer = (response) => response.writeHead(200, { 'content-type': 'application/json' }).write('[');
    expect((await ask('tun list --timeout 0.05')).err).toContain('[rest/timeout]');
  });

  it('is left alone at ctrl-C', async () => {
    await startDaemon();
    const interrupt = new AbortController();
    answer = () => interrupt.abort();
    const { status, err } = await heddle(`tun list --port ${port}`, interrupt.signal);
    expect([status, err.includes('[cli/interrupted]')]).toEqual([130, true]);
  });
});

describe('an answer that is not one of the daemon', () => {
  beforeEach(() => startDaemon());

  it('is refused, whatever it is', async () => {
    const answers: (() => void)[] = [
      () => says('<html>hello</html>', 200, 'text/html'),
      () => says('not found', 404, 'text/plain'),
      () => says({ error: 'no' }, 500),
      () => says({ code: 'tun/unknown' }, 404, 'application/problem+json'),
      () => says('{', 409, 'application/problem+json'),
      () => says('', 302, 'application/json'),
      () => says('[', 200),
      () => says('', 200),
      () => says({}, 200),
      () => says([{ ...TUN, mtu: 'large' }], 200),
      () => says(`"${'x'.repeat(5 * 1024 * 1024)}"`, 200),
      () => {
        answer = (response) => response.writeHead(204).end();
      },
      () => {
        answer = (response) => response.destroy();
      },
      () => {
        answer = (response) => {
          response.writeHead(200, { 'content-type': 'application/json', 'content-length': '10' });
          response.write('[', () => response.destroy());
        };
      },
      () => {
        answer = (response) => response.socket?.end('HTTP/1.1 101 Other\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n');
      },
    ];
    for (const [i, give] of answers.entries()) {
      give();
      const { status, out, err } = await ask('tun list');
      expect([i, status, out, err.split('\n').length]).toEqual([i, 1, '', 3]);
      expect(err).toMatch(/\[rest\/bad-answer\]\n {2}next: see what listens there/);
    }
    expect(asked).toHaveLength(answers.length);
  });

  it('says which field is wrong, not what is in it', async () => {
    says([TUN, { ...TUN, mtu: 'secret' }]);
    const { err } = await ask('tun list');
    expect(err).toContain('The answer of the tun-daemon is not understood (1.mtu: a whole number from 0 to 65535 was');
    expect(err).not.toContain('secret');
  });

  it('may not be HTTP at all', async () => {
    const stranger = createTcpServer((socket) => socket.end('SSH-2.0-x\r\n'));
    await new Promise<void>((resolve) => stranger.listen(0, '127.0.0.1', resolve));
    const { err } = await heddle(`tun list --port ${(stranger.address() as AddressInfo).port}`);
    stranger.close();
    expect(err).toContain('does not speak HTTP');
    expect(err).toContain('[rest/bad-answer]');
  });
});

describe('--token-file', () => {
  beforeEach(() => startDaemon());

  function tokenFile(text: string, mode = 0o600): string {
    const path = join(dir, 'token');
    writeFileSync(path, text);
    chmodSync(path, mode);
    return path;
  }

  it('sends the token of the file', async () => {
    says(TUN);
    expect((await ask(`tun create --token-file ${tokenFile('abc-DEF_123==\n')}`)).status).toBe(0);
    expect(asked[0]?.headers.authorization).toBe('Bearer abc-DEF_123==');
  });

  it('is refused when it is open to others, and its token stays at home', async () => {
    for (const mode of [0o640, 0o604, 0o620, 0o666]) {
      const { status, err } = await ask(`tun create --token-file ${tokenFile('abc', mode)}`);
      expect([mode, status, err.includes('[rest/bad-token-file]')]).toEqual([mode, 2, true]);
      expect(err).toContain(`its mode is ${mode.toString(8)}, not 600`);
    }
    expect(asked).toEqual([]);
  });

  it('is refused when it holds no token, without a word of what it holds', async () => {
    for (const text of ['', ' \n', 'two words', 'new\nline', 'tökén', 'x'.repeat(5000)]) {
      const { status, err } = await ask(`tun create --token-file ${tokenFile(text)}`);
      expect([status, err.includes('is not one token [rest/bad-token-file]')]).toEqual([2, true]);
      if (text.trim() !== '') expect(err).not.toContain(text);
    }
    for (const path of [join(dir, 'missing'), dir]) {
      expect((await ask(`tun create --token-file ${path}`)).err).toContain('[rest/bad-token-file]');
    }
    expect(asked).toEqual([]);
  });
});

describe('a line that is not understood', () => {
  it('has one line and the next step', async () => {
    const cases: [string, RegExp][] = [
      [
        'tun',
        /^heddle: After "heddle tun" comes one of create, list, show, delete \[usage\/bad-command\]\n {2}next: see heddle help tun/,
      ],
      ['tun frob', /^heddle: After "heddle tun" comes .*, not "frob" \[usage\/bad-command\]\n {2}next: /],
      ['tun --json-lines frob', /\[usage\/bad-command\]\n {2}next: /],
      ['subnet create 10.1.0.0/24', /add, list, show, delete, free, not "create" \[usage\/bad-command\]\n {2}next: /],
      ['subnet add 10.1.0.1/24 --prefix-length 24', /--prefix-length for .* \[usage\/two-networks\]\n {2}next: give/],
      ['subnet add fd00::/64 --ipv6', /--ipv6 for .* \[usage\/two-networks\]\n {2}next: give/],
      ['tun show', /^error: missing required argument 'name'\n\(heddle help/],
      ['tun show a b', /^error: too many arguments/],
      [
        'tun create --port 0',
        /^error: option '--port <port>' argument '0' is invalid\. Not a number from 1 to 65535\.\n\(/,
      ],
      ['tun create --mtu 70000', /^error: option '--mtu/],
      ['tun create --address 10.0.0.1/24/1', /Not an address like 10\.5\.0\.1\/24\.\n\(/],
      ['tun create --ip6 /64', /Not an address like/],
      ['subnet free --count 0', /^error: option '--count/],
      ['tun list --socket-path /x', /^error: unknown option '--socket-path'\n\(/],
    ];
    for (const [line, pattern] of cases) {
      const { status, out, err } = await heddle(line);
      expect([line, status, out, err.split('\n').length]).toEqual([line, 2, '', 3]);
      expect(err).toMatch(pattern);
    }
    const json = JSON.parse((await heddle('tun frob --json')).out);
    expect(json).toMatchObject({ ok: false, code: 'usage/bad-command' });
  });
});

describe('help', () => {
  it('lists what there is to do, with examples', async () => {
    for (const line of ['help tun', 'tun --help', 'tun help']) {
      const { status, out } = await heddle(line);
      expect([line, status]).toEqual([line, 0]);
      for (const text of ['create [options]', 'delete [options] <name>', 'heddle tun create --name vpn0', 'port 3030'])
        expect(out).toContain(text);
    }
    expect((await heddle('help subnet')).out).toContain('free [options]');
    expect((await heddle('help')).out).toMatch(/\n {2}tun +make, list and delete TUN devices\n/);
  });

  it('explains each of them', async () => {
    for (const line of ['help subnet add', 'subnet add --help', 'subnet help add']) {
      const { status, out } = await heddle(line);
      expect([line, status]).toEqual([line, 0]);
      expect(out).toContain('Usage: heddle subnet add [options] [cidr]');
      expect(out).toContain('--prefix-length <bits>');
      expect(out).not.toContain('--state-dir');
    }
  });
});
