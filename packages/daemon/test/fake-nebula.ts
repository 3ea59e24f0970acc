import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('./fake-nebula.mjs', import.meta.url));

export interface FakeNebulaOptions {
  /** What `-version` and the log say. */
  readonly version?: string;
  /** A file that gets a line of JSON per call: `{pid, arguments, environment}`. */
  readonly callsPath?: string;
}

/**
 * Makes an executable `nebula` in the folder and returns its path. It needs no PATH to find Node.js, so it runs in the
 * clean environment of a child as well; the process id is that of the fake itself.
 */
export function makeFakeNebula(folder: string, options: FakeNebulaOptions = {}): string {
  const path = join(folder, 'nebula');
  const environment = [
    `FAKE_NEBULA_VERSION=${quote(options.version ?? '1.11.1')}`,
    ...(options.callsPath === undefined ? [] : [`FAKE_NEBULA_CALLS=${quote(options.callsPath)}`]),
  ].join(' ');
  const command = `${environment} exec ${quote(process.execPath)} ${quote(PROGRAM)} "$@"`;
  writeFileSync(path, `#!/bin/sh\n${command}\n`, { mode: 0o755 });
  return path;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
