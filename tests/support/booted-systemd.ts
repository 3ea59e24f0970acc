import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { run, until } from './processes.ts';

const SCRIPT = fileURLToPath(new URL('./booted-systemd.sh', import.meta.url));
const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
/** The Node.js of this process comes first. */
const PATH = '/opt/heddle-test/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const BOOT_TIMEOUT_MS = 20_000;
const ENTER = ['--mount', '--uts', '--ipc', '--net', '--pid', '--cgroup', '--root', '--wd'] as const;
const NEEDED = ['/lib/systemd/systemd', '/usr/bin/nsenter', '/usr/bin/unshare', '/usr/bin/setpriv', '/dev/net/tun'];

type Launcher = ChildProcessByStdio<Writable, Readable, Readable>;

/**
 * A machine that real systemd runs: the files of this one, changed in memory alone, with processes, links, mounts and
 * control groups of its own. None of the services of this machine is started there. The repository is where it is here,
 * and cannot be written. All of it is gone when this process is, however it ends.
 */
export class BootedSystemd {
  readonly #launcher: Launcher;
  readonly #pid: number;

  private constructor(launcher: Launcher, pid: number) {
    this.#launcher = launcher;
    this.#pid = pid;
  }

  /**
   * Resolves when systemd has started everything.
   * @throws {Error} with the reason where such a machine cannot be had. Nothing is left then.
   */
  static async boot(): Promise<BootedSystemd> {
    if (process.getuid?.() !== 0) throw new Error('it takes root');
    const missing = NEEDED.find((path) => !existsSync(path));
    if (missing !== undefined) throw new Error(`there is no ${missing}`);
    // Detached: the interrupt of a terminal must not end it before it has tidied up.
    const launcher = spawn('sh', [SCRIPT, 'boot', REPOSITORY, process.execPath], { stdio: 'pipe', detached: true });
    const machine = new BootedSystemd(launcher, await readPid(launcher));
    try {
      await until('systemd has started', BOOT_TIMEOUT_MS, async () =>
        /running|degraded/.test((await machine.run('systemctl is-system-running')).stdout),
      );
    } catch (error) {
      await machine.stop();
      throw error;
    }
    return machine;
  }

  /** Of systemd, as this machine counts. */
  get pid(): number {
    return this.#pid;
  }

  /** The part of the names of its control groups that nothing else has. */
  get groupName(): string {
    return `heddle-systemd-${this.#launcher.pid}`;
  }

  /** Where this process finds a path of the machine, for reading and for writing. */
  pathOf(path: string): string {
    return join(`/proc/${this.#pid}/root`, path);
  }

  read(path: string): string {
    return readFileSync(this.pathOf(path), 'utf8');
  }

  /** Runs a line of the shell in the repository, with nothing of this process's environment. */
  run(line: string): ReturnType<typeof run> {
    const inside = ['env', '-i', `PATH=${PATH}`, 'HOME=/root', 'LC_ALL=C', 'sh', '-c', `cd '${REPOSITORY}' && ${line}`];
    return run('nsenter', ['--target', String(this.#pid), ...ENTER, ...inside]);
  }

  /** As {@link run}, for what must succeed; what it printed, without the last line end. */
  async must(line: string): Promise<string> {
    const { code, stdout, stderr } = await this.run(line);
    if (code !== 0) throw new Error(`${line}: ${code}\n${stdout}${stderr}`);
    return stdout.trimEnd();
  }

  /** One property of a unit, as `systemctl show` has it. */
  property(unit: string, name: string): Promise<string> {
    return this.must(`systemctl show --value -p ${name} ${unit}`);
  }

  /** Paths of what is different from this machine's files, sorted; and of what is in /run. Folders only if new. */
  changes(): readonly string[] {
    const upper = this.pathOf('/run/heddle-test/upper');
    const changed = readdirSync(upper, { recursive: true, withFileTypes: true })
      .map((entry) => ({ entry, path: `/${relative(upper, join(entry.parentPath, entry.name))}` }))
      .filter(({ entry, path }) => !entry.isDirectory() || !existsSync(path))
      .map(({ path }) => path);
    return [...changed, ...readdirSync(this.pathOf('/run')).map((name) => `/run/${name}`)].sort();
  }

  /** Kills everything and waits until nothing is left. May be repeated. */
  async stop(): Promise<void> {
    await end(this.#launcher);
  }
}

async function readPid(launcher: Launcher): Promise<number> {
  let [out, err] = ['', ''];
  launcher.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  launcher.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text;
  });
  launcher.stdin.on('error', () => {}); // It ended first.
  const find = (): string | undefined => /^pid (\d+)$/m.exec(out)?.[1];
  try {
    await until('namespaces', BOOT_TIMEOUT_MS, () => find() !== undefined || hasEnded(launcher));
  } finally {
    if (find() === undefined) await end(launcher);
  }
  const pid = find();
  if (pid === undefined) throw new Error(err.trim().replaceAll('\n', '; '));
  return Number(pid);
}

async function end(launcher: Launcher): Promise<void> {
  const exited = hasEnded(launcher) ? undefined : once(launcher, 'exit');
  launcher.stdin.end();
  await exited;
}

function hasEnded(launcher: Launcher): boolean {
  return launcher.exitCode !== null || launcher.signalCode !== null;
}
