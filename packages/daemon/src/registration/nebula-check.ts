import { accessSync, constants, realpathSync, statSync } from 'node:fs';
import { delimiter, isAbsolute, join, resolve } from 'node:path';
import type { CommandRunner } from './command-runner.ts';
import type { ExitClass } from './registration-error.ts';

export interface NebulaCheckOptions {
  /** `--nebula-binary`; `undefined` looks at the usual place and then along PATH. */
  readonly binary: string | undefined;
  /** PATH as the environment has it. */
  readonly searchPath: string | undefined;
  readonly platform: NodeJS.Platform;
  /** Effective user; `undefined` on Windows. */
  readonly uid: number | undefined;
  readonly run: CommandRunner;
}

export type NebulaCheck =
  | { readonly kind: 'ok'; readonly path: string; readonly version: string }
  | { readonly kind: 'missing'; readonly looked: readonly string[] }
  /** Others than us and root could have changed it, so it is not run. */
  | { readonly kind: 'unsafe'; readonly path: string; readonly reason: string }
  /** It does not run, or says no version. */
  | { readonly kind: 'unusable'; readonly path: string; readonly reason: string }
  | { readonly kind: 'too-old'; readonly path: string; readonly version: string };

/** Default of `--nebula-binary`. */
export const NEBULA_BINARY = '/usr/local/bin/nebula';
/** The oldest one that the supervisor understands. */
const VERSION_MIN: readonly [number, number] = [1, 6];
const TIMEOUT_MS = 10_000;
const OUTPUT_BYTES_MAX = 65_536;
const PATH_COUNT_MAX = 64;

/** Finds the Nebula program and asks it for its version. Nothing is installed or downloaded. Never throws. */
export async function checkNebula(options: NebulaCheckOptions): Promise<NebulaCheck> {
  const candidates = candidatesOf(options);
  const found = candidates.find(isExecutable);
  if (found === undefined) return { kind: 'missing', looked: candidates };
  const path = realpathSync(found);
  const danger = dangerOf(path, options);
  if (danger !== undefined) return { kind: 'unsafe', path, reason: danger };
  return askVersion(path, options.run);
}

/** `undefined` when the program can be used. */
export function exitClassOfNebulaCheck({ kind }: NebulaCheck): ExitClass | undefined {
  if (kind === 'ok') return undefined;
  return kind === 'unsafe' ? 'forbidden' : 'failed';
}

/** For people. */
export function formatNebulaCheck(check: NebulaCheck): string {
  switch (check.kind) {
    case 'ok':
      return `Nebula ${check.version} at ${check.path}\n`;
    case 'missing':
      return `Nebula was not found (looked at ${check.looked.join(', ')}); next: install it, or name it with --nebula-binary\n`;
    case 'unsafe':
      return `Nebula at ${check.path} ${check.reason}, so it is not run; next: correct its owner and mode\n`;
    case 'unusable':
      return `Nebula at ${check.path} does not run (${check.reason}); next: install it for this system\n`;
    case 'too-old':
      return `Nebula ${check.version} at ${check.path} is too old; next: install ${VERSION_MIN.join('.')} or later\n`;
  }
}

function candidatesOf({ binary, searchPath, platform }: NebulaCheckOptions): readonly string[] {
  if (binary !== undefined) return [resolve(binary)];
  const name = platform === 'win32' ? 'nebula.exe' : 'nebula';
  // A relative entry would mean another program in every folder.
  const folders = (searchPath ?? '').split(delimiter).filter(isAbsolute).slice(0, PATH_COUNT_MAX);
  return [...new Set([NEBULA_BINARY, ...folders.map((folder) => join(folder, name))])];
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function dangerOf(path: string, { platform, uid }: NebulaCheckOptions): string | undefined {
  if (platform === 'win32') return undefined;
  const stat = statSync(path);
  if (stat.uid !== 0 && stat.uid !== uid) return `belongs to user ${stat.uid}`;
  return (stat.mode & 0o022) === 0 ? undefined : 'can be changed by other users';
}

async function askVersion(path: string, run: CommandRunner): Promise<NebulaCheck> {
  const call = {
    command: path,
    args: ['-version'],
    input: '',
    timeoutMs: TIMEOUT_MS,
    outputBytesMax: OUTPUT_BYTES_MAX,
  };
  const outcome = await run(call);
  if (outcome.kind === 'failed') return { kind: 'unusable', path, reason: outcome.reason };
  if (outcome.status !== 0) return { kind: 'unusable', path, reason: `exit status ${outcome.status}` };
  const match = /^Version: (([0-9]{1,6})\.([0-9]{1,6})[0-9A-Za-z.+-]{0,40})\s*$/m.exec(outcome.stdout);
  if (match === null) return { kind: 'unusable', path, reason: 'it says no version' };
  const version = match[1] as string;
  return isNewEnough(Number(match[2]), Number(match[3]))
    ? { kind: 'ok', path, version }
    : { kind: 'too-old', path, version };
}

function isNewEnough(major: number, minor: number): boolean {
  return major > VERSION_MIN[0] || (major === VERSION_MIN[0] && minor >= VERSION_MIN[1]);
}
