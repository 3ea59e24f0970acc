import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

// The built command line and real engine processes; only the node pretends. Needs `npm run build`.
const MAIN = fileURLToPath(new URL('./fake-main.mjs', import.meta.url));
const IS_BUILT = existsSync(fileURLToPath(new URL('../../packages/daemon/dist/cli/program.js', import.meta.url)));
const AUTH_KEY = 'hskey-auth-SECRETSECRET';

let home: string;
const pids = new Set<number>();

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'heddle-e2e-'));
});
afterEach(() => {
  for (const pid of pids) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
  pids.clear();
  rmSync(home, { recursive: true, force: true });
});

interface Result {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

const env = (): NodeJS.ProcessEnv => ({ PATH: process.env['PATH'], HOME: home });

function heddle(args: string[], input = ''): Promise<Result> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [MAIN, ...args], { env: env() }, (error, out, err) => {
      resolve({ status: error === null ? 0 : Number(error.code ?? -1), out, err });
    });
    child.stdin?.end(input);
  });
}

async function connect(args: string[] = [], server = 'ok.test', input = ''): Promise<Result> {
  const result = await heddle(['connect', '--login-server', `http://${server}`, '--json', ...args], input);
  const pid = result.status === 0 ? (JSON.parse(result.out) as { pid: number }).pid : undefined;
  if (pid !== undefined) pids.add(pid);
  return result;
}

const pidOf = ({ out }: Result): number => (JSON.parse(out) as { pid: number }).pid;
const codeOf = ({ out }: Result): unknown => (JSON.parse(out) as { code?: unknown }).code;
const socketPath = (): string => join(home, '.local/state/heddle/default.sock');
const stateFile = (name: string): string => join(home, '.local/state/heddle/default', name);

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false;
  }
}

/** Pids of the engines whose home is ours. */
function engines(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const isOurs = readFileSync(`/proc/${pid}/environ`, 'latin1').includes(`HOME=${home}\0`);
        return isOurs && readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('__vpn-daemon') && isAlive(pid);
      } catch {
        return false;
      }
    });
}

describe.runIf(IS_BUILT && process.platform === 'linux')('an engine process', () => {
  it('is left behind by connect, answers, and is gone after disconnect', async () => {
    const text = await heddle(['connect', '--login-server', 'http://ok.test']);
    expect(text).toEqual({ status: 0, out: 'Connected (100.64.0.2, fd7a:115c:a1e0::2) — 2 peers visible\n', err: '' });
    const status = JSON.parse((await heddle(['status', '--json'])).out) as { state: string; pid: number };
    pids.add(status.pid);
    expect(status.state).toBe('running');
    const stat = readFileSync(`/proc/${status.pid}/stat`, 'latin1');
    const [, , group, session, terminal] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    expect([group, session, terminal]).toEqual([`${status.pid}`, `${status.pid}`, '0']);
    expect(await heddle(['disconnect'])).toEqual({ status: 0, out: 'Disconnected\n', err: '' });
    expect(existsSync(socketPath())).toBe(false);
    expect((await heddle(['vpn', 'status'])).out).toBe('VPN: not running\n');
    await expect.poll(engines).toEqual([]);
  });

  it('can be started again at once, as often as one likes', async () => {
    for (let round = 0; round < 3; round++) {
      expect((await connect()).status).toBe(0);
      expect((await heddle(['disconnect'])).status).toBe(0);
    }
  });

  it('shows its auth key in no argument, variable, file or message', async () => {
    const keyFile = join(home, 'key');
    writeFileSync(keyFile, `${AUTH_KEY}\n`, { mode: 0o600 });
    const result = await connect(['--auth-key-file', keyFile]);
    const pid = pidOf(result);
    for (const name of ['cmdline', 'environ']) {
      expect(readFileSync(`/proc/${pid}/${name}`, 'latin1')).not.toContain(AUTH_KEY);
    }
    expect(result.out + result.err + readFileSync(stateFile('engine.log'), 'utf8')).not.toContain(AUTH_KEY);
    const refused = await connect(
      ['--context', 'other', '--auth-key', '-', '--proxy', 'off'],
      'used-key.test',
      AUTH_KEY,
    );
    expect(codeOf(refused)).toBe('control/invalid-auth-key');
    const log = readFileSync(join(home, '.local/state/heddle/other/engine.log'), 'utf8');
    expect(log).toContain('refused [redacted]');
    expect(refused.out + refused.err + log).not.toContain(AUTH_KEY);
  });

  it('that fails to join is not left behind', async () => {
    const used = await connect([], 'used-key.test');
    expect([codeOf(used), used.status]).toEqual(['control/invalid-auth-key', 6]);
    const network = await connect(['--timeout', '1'], 'no-network.test');
    expect([codeOf(network), network.status]).toEqual(['control/unreachable', 7]);
    expect(network.out).toContain('ENETUNREACH');
    const port = await connect(['--proxy', '127.0.0.1:1']);
    expect([codeOf(port), port.status]).toEqual(['proxy/port-in-use', 9]);
    const crash = await connect([], 'crash.test');
    expect([codeOf(crash), crash.status]).toEqual(['engine/internal', 1]);
    expect(crash.out).toContain('boom');
    await expect.poll(engines).toEqual([]);
    expect(existsSync(socketPath())).toBe(false);
  });

  it('is refused beside another, at the socket and at the state directory', async () => {
    const pid = pidOf(await connect());
    const second = await connect();
    expect([codeOf(second), second.status]).toEqual(['ipc/already-running', 9]);
    expect(second.out).toContain(`process ${pid}`);
    const sameState = await connect(['--socket-path', join(home, 'other.sock'), '--proxy', 'off']);
    expect([codeOf(sameState), sameState.status]).toEqual(['state/locked', 9]);
    expect(sameState.out).toContain(`process ${pid}`);
    await expect.poll(engines).toEqual([pid]);
  });

  it('one of two that start at once wins', async () => {
    const results = await Promise.all([connect(), connect(), connect()]);
    expect(results.map((result) => result.status).sort()).toEqual([0, 9, 9]);
    await expect.poll(() => engines().length).toBe(1);
  });

  it('that was killed is replaced', async () => {
    const pid = pidOf(await connect());
    process.kill(pid, 'SIGKILL');
    await expect.poll(() => isAlive(pid)).toBe(false);
    expect(existsSync(socketPath())).toBe(true);
    expect((await heddle(['status'])).out).toBe('VPN: not running\n');
    expect((await connect()).status).toBe(0);
  });

  it('removes its socket at SIGTERM and SIGINT, and outlives SIGHUP and SIGUSR1', async () => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      const pid = pidOf(await connect());
      process.kill(pid, 'SIGHUP');
      process.kill(pid, 'SIGUSR1');
      expect((await heddle(['status', '--json'])).out).toContain('"running"');
      expect(readFileSync(stateFile('engine.log'), 'utf8')).not.toContain('Debugger listening');
      process.kill(pid, signal);
      await expect.poll(() => isAlive(pid)).toBe(false);
      expect(existsSync(socketPath())).toBe(false);
    }
  });

  it('ends although its node does not', async () => {
    const pid = pidOf(await connect([], 'stuck.test'));
    expect((await heddle(['disconnect'])).status).toBe(0);
    await expect.poll(() => isAlive(pid), { timeout: 3000 }).toBe(false);
  });

  it('is stopped by ctrl-C during the wait, and its login page is shown as soon as it is known', async () => {
    const child: ChildProcess = spawn(process.execPath, [MAIN, 'connect', '--login-server', 'http://login.test'], {
      env: env(),
    });
    let out = '';
    child.stdout?.on('data', (chunk) => {
      out += chunk;
    });
    await expect.poll(() => out, { timeout: 5000 }).toContain('https://login.test/register/abc');
    expect(engines()).toHaveLength(1);
    child.kill('SIGINT');
    const [status] = (await once(child, 'exit')) as [number];
    expect(status).toBe(130);
    await expect.poll(engines).toEqual([]);
    expect(existsSync(socketPath())).toBe(false);
  });

  it('runs many at once, by context and by state directory', async () => {
    const targets = [
      ['--context', 'a'],
      ['--context', 'b'],
      ['--state-dir', join(home, 'c')],
    ];
    const results = await Promise.all(targets.map((target) => connect(target)));
    expect(results.map((result) => result.status)).toEqual([0, 0, 0]);
    expect(new Set(results.map(pidOf)).size).toBe(3);
    for (const target of targets) {
      expect(JSON.parse((await heddle(['status', '--json', ...target])).out)).toMatchObject({ state: 'running' });
      expect((await heddle(['disconnect', ...target])).status).toBe(0);
    }
  });
});
