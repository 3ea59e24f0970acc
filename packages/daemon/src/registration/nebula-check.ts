import { delimiter, resolve } from 'node:path';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { findNebula } from '../nebula/binary.ts';
import { formatVersion, isAtLeast, parseVersion } from '../nebula/version.ts';
import type { CommandRunner } from './command-runner.ts';
import type { ExitClass } from './registration-error.ts';

export interface NebulaCheckOptions {
  /** `--nebula-binary`; `undefined` looks at the usual place and then along PATH. */
  readonly binary: string | undefined;
  /** PATH as the environment has it. */
  readonly searchPath: string | undefined;
  /** Effective user; `undefined` on Windows. */
  readonly uid: number | undefined;
  readonly run: CommandRunner;
}

export type NebulaCheck =
  | { readonly kind: 'ok'; readonly path: string; readonly version: string }
  /** Not there, or others than us and root could have changed it, so it is not run. */
  | { readonly kind: 'missing' | 'unsafe'; readonly reason: string }
  /** It does not run, or says no version. */
  | { readonly kind: 'unusable'; readonly path: string; readonly reason: string }
  | { readonly kind: 'too-old'; readonly path: string; readonly version: string };

/** Where packages put it that do not come with the system. */
const USUAL_FOLDER = '/usr/local/bin';
/** The oldest one that the supervisor understands. */
const VERSION_MIN = { major: 1, minor: 6 };
const TIMEOUT_MS = 10_000;
const OUTPUT_BYTES_MAX = 65_536;

/** Finds the Nebula program as the daemon does and asks it for its version. Nothing is installed. Never throws. */
export async function checkNebula({ binary, searchPath, uid, run }: NebulaCheckOptions): Promise<NebulaCheck> {
  const folders = [USUAL_FOLDER, searchPath ?? ''].join(delimiter);
  try {
    const path = findNebula({ path: binary === undefined ? undefined : resolve(binary), searchPath: folders, uid });
    return await askVersion(path, run);
  } catch (error) {
    if (!(error instanceof TailnetError)) throw error;
    return { kind: error.code === 'nebula/binary-unsafe' ? 'unsafe' : 'missing', reason: error.message };
  }
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
      return `Nebula cannot be found: ${check.reason}; next: install it, or name it with --nebula-binary\n`;
    case 'unsafe':
      return `Nebula is not safe to run: ${check.reason}; next: correct owner and mode\n`;
    case 'unusable':
      return `Nebula at ${check.path} does not run (${check.reason}); next: install it for this system\n`;
    case 'too-old':
      return `Nebula ${check.version} at ${check.path} is too old; next: install ${VERSION_MIN.major}.${VERSION_MIN.minor} or later\n`;
  }
}

async function askVersion(path: string, run: CommandRunner): Promise<NebulaCheck> {
  const limits = { timeoutMs: TIMEOUT_MS, outputBytesMax: OUTPUT_BYTES_MAX };
  const outcome = await run({ command: path, args: ['-version'], input: '', ...limits });
  if (outcome.kind === 'failed') return { kind: 'unusable', path, reason: outcome.reason };
  if (outcome.status !== 0) return { kind: 'unusable', path, reason: `exit status ${outcome.status}` };
  const version = parseVersion(outcome.stdout);
  if (version === undefined) return { kind: 'unusable', path, reason: 'it says no version' };
  const kind = isAtLeast(version, VERSION_MIN.major, VERSION_MIN.minor) ? 'ok' : 'too-old';
  return { kind, path, version: formatVersion(version) };
}
