// Copies the built package with what it needs at run time: complete, without links into the checkout, readable for all.

import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const PACKAGE = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '');
/** Native code, which cannot be in the bundle. Everything else is. */
const EXTERNAL = ['koffi', 'classic-level'];

/** Puts the package into `target`, in one step: who starts it meanwhile gets the old one or the new one. */
export function installPackage(target) {
  if (!existsSync(join(PACKAGE, 'dist/bundle/heddle.js'))) throw new Error('The package is not built; run: make build');
  checkOwnership(target);
  const [draft, old] = [`${target}.new`, `${target}.old`];
  for (const path of [draft, old]) rmSync(path, { recursive: true, force: true });
  mkdirSync(join(draft, 'dist'), { recursive: true });
  for (const name of ['bin', 'dist/bundle']) cpSync(join(PACKAGE, name), join(draft, name), COPY);
  cpSync(join(PACKAGE, '../../LICENSE'), join(draft, 'LICENSE'), COPY);
  writeFileSync(join(draft, 'package.json'), `${JSON.stringify(describePackage(), null, 2)}\n`);
  for (const [name, folder] of findDependencies()) cpSync(folder, join(draft, 'node_modules', name), COPY);
  openForAll(draft);
  if (existsSync(target)) renameSync(target, old);
  renameSync(draft, target);
  rmSync(old, { recursive: true, force: true });
}

/** Throws for a folder of that name that is not a package of ours. */
export function checkOwnership(target) {
  if (existsSync(target) && readPackage(target)?.name !== 'heddle') {
    throw new Error(`Folder "${target}" is not heddle's; move it away, or choose another PREFIX`);
  }
}

const COPY = { recursive: true, dereference: true };

function describePackage() {
  const { name, version, description, license, type, engines, bin } = readPackage(PACKAGE);
  return { name, version, description, license, type, engines, bin };
}

/** Names and folders. Optional ones are those of this system alone, for npm has installed no others. */
function findDependencies() {
  const found = new Map();
  const add = (name, from, isOptional) => {
    const folder = findPackage(name, from);
    if (folder === undefined && isOptional) return;
    if (folder === undefined) throw new Error(`Package "${name}" is not installed; run: make build`);
    if ((found.get(name) ?? folder) !== folder) throw new Error(`Package "${name}" is needed in two versions`);
    if (found.has(name)) return;
    found.set(name, folder);
    const { dependencies, optionalDependencies } = readPackage(folder);
    for (const next of Object.keys(optionalDependencies ?? {})) add(next, folder, true);
    for (const next of Object.keys(dependencies ?? {})) add(next, folder, next in (optionalDependencies ?? {}));
  };
  for (const name of EXTERNAL) add(name, PACKAGE, false);
  return found;
}

// As Node.js looks for it.
function findPackage(name, from) {
  for (let folder = from; folder !== dirname(folder); folder = dirname(folder)) {
    const path = join(folder, 'node_modules', name);
    if (existsSync(join(path, 'package.json'))) return path;
  }
  return undefined;
}

function readPackage(folder) {
  const path = join(folder, 'package.json');
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined;
}

// A checkout may be its owner's alone.
function openForAll(path) {
  const stat = statSync(path);
  if (stat.isDirectory()) for (const name of readdirSync(path)) openForAll(join(path, name));
  chmodSync(path, stat.isDirectory() || (stat.mode & 0o100) !== 0 ? 0o755 : 0o644);
}
