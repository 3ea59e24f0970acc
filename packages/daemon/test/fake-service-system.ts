import { basename, dirname } from 'node:path/posix';
import type { ServiceOptions } from '../src/service/description.ts';
import type { CommandResult, ServiceSystem } from '../src/service/service-system.ts';

/** The options of a service of which none is given. */
export const SERVICE_OPTIONS: ServiceOptions = {
  mode: undefined,
  team: undefined,
  daemon: undefined,
  nodePath: '/usr/bin/node',
  command: '/usr/local/bin/heddle',
  packageFolder: '/usr/local/lib/heddle',
  socketPath: undefined,
  configRoot: undefined,
  stateDbPath: undefined,
  logFile: undefined,
  errFile: undefined,
  port: undefined,
  isRest: false,
  logGroup: undefined,
  nebulaBinary: undefined,
  teamConfigPath: undefined,
  apiBase: undefined,
};

const OK: CommandResult = { code: 0, stdout: '', stderr: '' };

/** A machine in memory. It answers a command by the first entry of `answers` whose key the command starts with. */
export class FakeServiceSystem implements ServiceSystem {
  platform: NodeJS.Platform = 'linux';
  uid: number | undefined = 0;
  readonly files = new Map<string, string>();
  readonly present = new Set(['/run/systemd/system', '/usr/bin/node', '/usr/local/bin/heddle', '/usr/bin/nebula']);
  readonly answers = new Map<string, CommandResult[]>();
  readonly unwritable = new Set<string>();
  readonly commands: string[] = [];
  readonly purged: string[] = [];
  pausedMs = 0;

  readonly readFile = async (path: string) => this.files.get(path);
  readonly writeFileAtomic = async (path: string, text: string, mode: number) => {
    if (this.unwritable.has(path)) throw Object.assign(new Error('No space'), { code: 'ENOSPC' });
    if (mode !== 0o644) throw new RangeError(`Mode ${mode.toString(8)}`);
    this.files.set(path, text);
  };
  readonly remove = async (path: string) => void this.files.delete(path);
  readonly removeTree = async (path: string) => {
    this.files.delete(path);
    this.present.delete(path);
    this.purged.push(path);
  };
  readonly listFolder = async (path: string) =>
    [...this.present, ...this.files.keys()].filter((file) => dirname(file) === path).map((file) => basename(file));
  readonly isPresent = async (path: string) => this.present.has(path);
  readonly pause = async (durationMs: number) => {
    this.pausedMs += durationMs;
  };
  readonly run = async (command: string, args: readonly string[]) => {
    const line = [command, ...args].join(' ');
    this.commands.push(line);
    const [, answers] = [...this.answers].find(([start]) => line.startsWith(start)) ?? [];
    return answers?.shift() ?? OK;
  };
}
