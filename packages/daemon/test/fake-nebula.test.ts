import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { explainExit } from '../src/nebula/failure-reason.ts';
import { activeInterface } from '../src/nebula/log-facts.ts';
import { type NebulaLogLine, parseLogLine } from '../src/nebula/log-line.ts';
import { parseVersion } from '../src/nebula/version.ts';
import { makeFakeNebula } from './fake-nebula.ts';

const EMPTY_ENVIRONMENT = {};

let folder = '';
let program = '';
const children: ChildProcess[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'heddle-fake-'));
  program = makeFakeNebula(folder, { callsPath: join(folder, 'calls') });
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

function writeConfig(fake: object = {}): string {
  const path = join(folder, 'config.json');
  for (const name of ['ca', 'cert', 'key']) writeFileSync(join(folder, name), '');
  const pki = { ca: join(folder, 'ca'), cert: join(folder, 'cert'), key: join(folder, 'key') };
  const tun = { dev: 'neb-a0' };
  writeFileSync(path, JSON.stringify({ pki, tun, listen: { port: 0 }, logging: { format: 'json' }, fake }));
  return path;
}

class Run {
  readonly lines: NebulaLogLine[] = [];
  readonly child: ChildProcess;
  readonly exit: Promise<{ code: number | null; signal: string | null }>;
  #waiting: (() => void)[] = [];

  constructor(config: string) {
    this.child = spawn(program, ['-config', config], { env: EMPTY_ENVIRONMENT, stdio: ['ignore', 'pipe', 'inherit'] });
    children.push(this.child);
    createInterface({ input: this.child.stdout! }).on('line', (line) => {
      this.lines.push(parseLogLine(line));
      for (const wake of this.#waiting.splice(0)) wake();
    });
    this.exit = new Promise((resolve) => this.child.on('close', (code, signal) => resolve({ code, signal })));
  }

  async waitFor(message: string): Promise<NebulaLogLine> {
    for (;;) {
      const found = this.lines.find((line) => line.message === message);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }
}

function runOnce(...list: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(program, list, { env: EMPTY_ENVIRONMENT, encoding: 'utf8' });
}

describe.skipIf(process.platform === 'win32')('the fake Nebula', () => {
  it('tells its version and notes its calls', () => {
    expect(parseVersion(runOnce('-version').stdout)).toEqual({ major: 1, minor: 11, patch: 1 });
    const old = makeFakeNebula(folder, { version: '1.6.1' });
    expect(spawnSync(old, ['-version'], { encoding: 'utf8' }).stdout).toBe('Version: 1.6.1\n');
    const call = JSON.parse(readFileSync(join(folder, 'calls'), 'utf8').trim());
    expect(call.arguments).toEqual(['-version']);
  });

  it('tests a configuration, and prints it', () => {
    expect(runOnce('-test', '-config', writeConfig())).toMatchObject({ status: 0 });
    expect(runOnce('-test', '-config', writeConfig()).stdout).toContain('neb-a0');
    const bad = runOnce('-test', '-config', writeConfig({ testErrorLine: { msg: 'unknown cipher' } }));
    expect(bad.status).toBe(1);
    expect(explainExit(bad.stdout.split('\n').map(parseLogLine), { code: 1, signal: null }).code).toBe(
      'nebula/config-invalid',
    );
  });

  it('refuses what the real one refuses', () => {
    expect(runOnce('-nonsense').status).toBe(2);
    expect(runOnce()).toMatchObject({ status: 1, stderr: '' });
    const none = runOnce('-config', join(folder, 'none'));
    expect(explainExit([parseLogLine(none.stdout)], { code: none.status, signal: null }).code).toBe(
      'nebula/config-invalid',
    );
    const config = writeConfig();
    rmSync(join(folder, 'key'));
    const missing = runOnce('-config', config);
    expect(missing.status).toBe(1);
    expect(explainExit(missing.stdout.split('\n').map(parseLogLine), { code: 1, signal: null }).code).toBe(
      'nebula/pki-missing',
    );
  });

  it('starts, has its device, reloads and says goodbye', async () => {
    const config = writeConfig({ deviceFolder: folder, handlersAfterMs: 0 });
    const run = new Run(config);
    const active = activeInterface(await run.waitFor('Nebula interface is active'));
    expect(active).toMatchObject({ device: 'neb-a0', networks: ['10.78.0.2/24'] });
    run.child.kill('SIGHUP');
    await run.waitFor('Client certificate(s) refreshed from disk');
    expect(JSON.parse(readFileSync(join(folder, 'neb-a0'), 'utf8'))).toEqual({
      pid: run.child.pid,
      addresses: ['10.78.0.2/24'],
    });
    const second = new Run(config);
    const exit = await second.exit;
    expect(explainExit(second.lines, exit).code).toBe('nebula/device-busy');
    writeFileSync(config, '{');
    run.child.kill('SIGHUP');
    await run.waitFor('Error occurred while reloading config');
    run.child.kill('SIGTERM');
    expect(await run.exit).toEqual({ code: 0, signal: null });
    expect(run.lines.at(-1)?.message).toBe('Goodbye');
    expect(existsSync(join(folder, 'neb-a0'))).toBe(false);
  });

  it.each(['SIGHUP', 'SIGTERM'] as const)('is killed by %s before it is active', async (signal) => {
    const run = new Run(writeConfig({ activeAfterMs: 600_000 }));
    await run.waitFor('punchy disabled');
    run.child.kill(signal);
    expect(await run.exit).toEqual({ code: null, signal });
  });

  it('may ignore SIGTERM', async () => {
    const run = new Run(writeConfig({ ignoreTerm: true, handlersAfterMs: 0 }));
    await run.waitFor('Nebula interface is active');
    run.child.kill('SIGTERM');
    await run.waitFor('Caught signal, shutting down');
    run.child.kill('SIGKILL');
    expect(await run.exit).toEqual({ code: null, signal: 'SIGKILL' });
  });

  it('leaves no device behind when it is killed', async () => {
    const config = writeConfig({ deviceFolder: folder, handlersAfterMs: 0 });
    const first = new Run(config);
    await first.waitFor('Nebula interface is active');
    first.child.kill('SIGKILL');
    await first.exit;
    const second = new Run(config);
    await second.waitFor('Nebula interface is active');
  });

  it('fails before or after the active line as it is told', async () => {
    const line = { msg: 'Failed to open udp listener', error: 'unable to bind to socket: address already in use' };
    const early = new Run(writeConfig({ errorLine: line }));
    expect(await early.exit).toEqual({ code: 1, signal: null });
    expect(explainExit(early.lines, { code: 1, signal: null }).code).toBe('nebula/port-in-use');
    const late = new Run(
      writeConfig({ exitAfterMs: 1, exitCode: 2, errorLine: 'Error while reading outbound packet' }),
    );
    expect(await late.exit).toEqual({ code: 2, signal: null });
    expect(late.lines.some((each) => activeInterface(each) !== undefined)).toBe(true);
    expect(explainExit(late.lines, { code: 2, signal: null }).code).toBe('nebula/device-lost');
  });
});
