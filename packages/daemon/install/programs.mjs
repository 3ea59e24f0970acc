// The small programs that people call, and the files that a daemon finds when it starts.

import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** The same line as in units: `heddle uninstall` removes a program by it. */
const MARKER = '# Written by heddle. "heddle uninstall" removes this file; do not edit it.';

/** Throws for a program of that name that somebody else put there, a link of npm's for example. */
export function checkProgram(path) {
  if (isThere(path) && !isProgram(path)) throw new Error(`File "${path}" was not written by heddle; move it away`);
}

/** True for a program that we have written. */
export function isProgram(path) {
  const isFile = lstatSync(path, { throwIfNoEntry: false })?.isFile() === true;
  return isFile && readFileSync(path, 'utf8').split('\n', 2)[1] === MARKER;
}

/** Writes the program `path`, which runs `script` with `node`. Both are paths of the installed system. */
export function writeProgram(path, node, script) {
  const draft = join(dirname(path), `.${basename(path)}.heddle-${process.pid}`);
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  rmSync(draft, { force: true });
  writeFileSync(draft, `#!/bin/sh\n${MARKER}\nexec '${node}' '${script}' "$@"\n`, { flag: 'wx' });
  chmodSync(draft, 0o755);
  renameSync(draft, path);
}

/** Removes the program if it is ours. */
export function removeProgram(path) {
  if (!isProgram(path)) return;
  rmSync(path);
  process.stdout.write(`Removed ${path}\n`);
}

/** Makes empty logs that administrators may read, and the folder of the state. What is there stays as it is. */
export function makeDaemonFiles(root, daemon) {
  for (const path of logPaths(root, daemon)) {
    mkdirSync(dirname(path), { recursive: true });
    if (isThere(path)) continue;
    closeSync(openSync(path, 'ax', 0o640));
    chmodSync(path, 0o640);
    const gid = findGroup(process.platform === 'darwin' ? 'wheel' : 'adm');
    if (process.getuid() === 0 && gid !== undefined) chownSync(path, 0, gid);
  }
  const state = join(root, STATE_FOLDER);
  if (!existsSync(state)) {
    mkdirSync(state, { recursive: true });
    chmodSync(state, 0o700);
  }
}

/** Takes {@link makeDaemonFiles} back in a staging folder; on the machine itself `heddle uninstall` does more. */
export function removeDaemonFiles(root, daemon) {
  for (const path of logPaths(root, daemon)) rmSync(path, { force: true });
  try {
    rmdirSync(join(root, STATE_FOLDER));
  } catch {
    // Not empty, or not there.
  }
}

const STATE_FOLDER = '/var/lib/tech.deltaops.cvpn';

function logPaths(root, daemon) {
  return ['log', 'err'].map((suffix) => join(root, `/var/log/${daemon}_daemon.${suffix}`));
}

function isThere(path) {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

function findGroup(name) {
  const text = existsSync('/etc/group') ? readFileSync('/etc/group', 'utf8') : '';
  const line = text.split('\n').find((entry) => entry.startsWith(`${name}:`));
  return line === undefined ? undefined : Number(line.split(':')[2]);
}
