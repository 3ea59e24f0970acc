/**
 * The second half of `make demo`: one daemon with a tailnet and, where Nebula is installed, a Nebula team beside it. The
 * tailnet is that of a lab in this process; the Nebula team has no device, so nothing on this machine is touched.
 */

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { startLab } from '@heddle/lab';
import { Tailnet } from '@heddle/tailnet';

const HEDDLE = fileURLToPath(new URL('../../bin/heddle.js', import.meta.url));
const HTTP_PORT = 80;
const DEADLINE_MS = 40_000;
/** Of `sun_path`: a long TMPDIR would not fit. */
const FOLDER = mkdtempSync(join(tmpdir(), 'heddle-demo-'));
const SOCKET = join(FOLDER, 'run', 'cmd.sock');
const CONFIG_ROOT = join(FOLDER, 'config');

const deadline = setTimeout(() => {
  console.error(`demo: not done after ${DEADLINE_MS / 1000} s`);
  process.exit(1);
}, DEADLINE_MS);

try {
  await demo();
} catch (error) {
  console.error(`demo: failed\n${error instanceof Error ? error.stack : error}`);
  process.exitCode = 1;
} finally {
  clearTimeout(deadline);
  rmSync(FOLDER, { recursive: true, force: true });
}

async function demo(): Promise<void> {
  console.log(
    '\nAll networks of a machine under one daemon: a tailnet, and a Nebula team where `nebula` is installed\n',
  );
  await using lab = await startLab();
  const peer = await Tailnet.join({ controlUrl: lab.controlUrl, authKey: lab.authKey, hostname: 'peer' });
  const server = createServer((_request, response) => response.end('hello from peer\n'));
  peer.listen(HTTP_PORT, (connection) => server.emit('connection', connection));
  writeTailnet(lab.controlUrl, lab.authKey);
  const nebula = await writeNebula();
  if (nebula === undefined) console.log('(no `nebula` and `nebula-cert` in PATH: the tailnet alone)');
  const daemon = await startDaemon(nebula);
  try {
    await heddle('provision');
    if (nebula !== undefined) await heddle('up', 'office');
    await heddle('up', 'lab');
    await heddle('list');
    const { teams } = JSON.parse(await ask('list', '--json')) as { teams: { name: string; proxy?: string }[] };
    const proxy = teams.find(({ name }) => name === 'lab')?.proxy ?? '';
    console.log(`$ curl --proxy http://${proxy} http://peer/\n${await fetchThrough(proxy, 'http://peer/')}`);
  } finally {
    daemon.kill('SIGTERM');
    await once(daemon, 'exit');
    await peer.close();
  }
  console.log('Go on: docs/guide/teams.md');
}

function writeTailnet(controlUrl: string, authKey: string): void {
  const dir = join(CONFIG_ROOT, 'lab');
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, 'key'), authKey, { mode: 0o600 });
  const lines = [`login_server: ${controlUrl}`, 'auth_key_file: key', 'hostname: laptop'];
  writeFileSync(join(dir, 'tailnet.yml'), `${lines.join('\n')}\n`);
}

/** Makes a throw-away Nebula team. Undefined where Nebula is not installed. */
async function writeNebula(): Promise<string | undefined> {
  const [nebula, cert] = [findProgram('nebula'), findProgram('nebula-cert')];
  if (nebula === undefined || cert === undefined) return undefined;
  const dir = join(CONFIG_ROOT, 'office');
  mkdirSync(dir, { recursive: true });
  const file = (name: string): string => join(dir, name);
  const ca = ['-out-crt', file('ca.crt'), '-out-key', file('ca.key')];
  await run(cert, ['ca', '-name', 'demo', ...ca]);
  const signer = ['-ca-crt', file('ca.crt'), '-ca-key', file('ca.key')];
  const host = ['-out-crt', file('host.crt'), '-out-key', file('host.key')];
  await run(cert, ['sign', '-name', 'laptop', '-ip', '10.77.0.2/24', ...signer, ...host]);
  const config = { pki: { ca: 'ca.crt', cert: 'host.crt', key: 'host.key' }, tun: { disabled: true } };
  writeFileSync(file('config.yml'), JSON.stringify(config));
  return nebula;
}

function findProgram(name: string): string | undefined {
  const paths = (process.env['PATH'] ?? '').split(delimiter).map((dir) => join(dir, name));
  return paths.find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Resolves when it listens. */
async function startDaemon(nebula: string | undefined): Promise<ChildProcess> {
  const flags = [
    '--socket-path',
    SOCKET,
    '--config-root',
    CONFIG_ROOT,
    '--state-db-path',
    join(FOLDER, 'state', 'state.db'),
  ];
  const binary = nebula === undefined ? [] : ['--nebula-binary', nebula];
  console.log(`$ heddle --ipc-mode socket ${flags.slice(0, 2).join(' ')} … &`);
  const daemon = spawn(process.execPath, [HEDDLE, '--ipc-mode', 'socket', ...flags, ...binary], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  for await (const line of createInterface(daemon.stderr)) if (line.includes('"Listening')) break;
  daemon.stderr.resume();
  return daemon;
}

async function heddle(...args: string[]): Promise<void> {
  console.log(`$ heddle ${args.join(' ')}\n${await ask(...args)}`);
}

function ask(...args: string[]): Promise<string> {
  return run(process.execPath, [HEDDLE, ...args, '--socket-path', SOCKET]);
}

function run(command: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(command, args, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`${command} ${args[0]}: ${stderr || error.message}`));
    });
  });
}

function fetchThrough(proxy: string, url: string): Promise<string> {
  const [host, port] = proxy.split(':');
  return new Promise((resolve, reject) => {
    const outgoing = request({ host, port, path: url, headers: { host: new URL(url).host } }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.once('end', () => resolve(text));
    });
    outgoing.once('error', reject);
    outgoing.end();
  });
}
