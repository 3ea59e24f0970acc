// Installs heddle and the REST daemons below a prefix, or removes them (make install, make uninstall). Both may be
// repeated.
//
//   node install.mjs install|uninstall [--prefix DIR] [--destdir DIR] tun|subnet…
//
// With --destdir the files go below that folder, for a package, and no service is touched.

import { existsSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { checkOwnership, installPackage } from './package-copy.mjs';
import {
  checkProgram,
  isProgram,
  makeDaemonFiles,
  removeDaemonFiles,
  removeProgram,
  writeProgram,
} from './programs.mjs';
import { findUsers, removeService, restartServices, startService } from './services.mjs';

const DAEMONS = ['tun', 'subnet'];

process.umask(0o022);
try {
  const { verb, daemons, layout } = readArguments();
  if (verb === 'install') install(daemons, layout);
  else uninstall(daemons, layout);
} catch (error) {
  process.stderr.write(`heddle: ${error.message}\n`);
  process.exitCode = 1;
}

function readArguments() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { prefix: { type: 'string', default: '/usr/local' }, destdir: { type: 'string', default: '' } },
  });
  const [verb, ...daemons] = positionals;
  if (verb !== 'install' && verb !== 'uninstall') throw new Error('Say "install" or "uninstall"');
  if (daemons.length === 0 || daemons.some((name) => !DAEMONS.includes(name))) throw new Error('Say "tun" or "subnet"');
  return {
    verb,
    daemons,
    layout: describeLayout(readFolder('PREFIX', values.prefix), readFolder('DESTDIR', values.destdir)),
  };
}

// These characters would end a word of the programs or of a unit.
function readFolder(name, path) {
  if (path !== '' && !/^\/[^'"\\\p{Cc}]*$/u.test(path))
    throw new Error(`${name} "${path}" is not an absolute path without quotes`);
  return path.replace(/\/+$/, '');
}

/** `root` is where the root folder of the installed system is while files are written. */
function describeLayout(prefix, root) {
  const library = `${prefix}/lib/heddle`;
  return { root, library, programOf: (name) => `${prefix}/bin/${name}` };
}

function install(daemons, { root, library, programOf }) {
  const programs = ['heddle', ...daemons.map((daemon) => `${daemon}-daemon`)];
  for (const name of programs) checkProgram(join(root, programOf(name)));
  const isUpdate = existsSync(join(root, library));
  installPackage(join(root, library));
  for (const name of programs) {
    writeProgram(join(root, programOf(name)), process.execPath, `${library}/bin/${name}.js`);
    process.stdout.write(`Wrote ${join(root, programOf(name))}\n`);
  }
  for (const daemon of daemons) makeDaemonFiles(root, daemon);
  if (root !== '') return;
  if (isUpdate) restartServices(DAEMONS);
  for (const daemon of daemons) startService([programOf('heddle')], daemon, programOf(`${daemon}-daemon`));
}

function uninstall(daemons, { root, library, programOf }) {
  checkOwnership(join(root, library));
  for (const daemon of daemons) {
    if (root === '') removeService(findHeddle(library), daemon);
    else removeDaemonFiles(root, daemon);
    removeProgram(join(root, programOf(`${daemon}-daemon`)));
  }
  if (DAEMONS.some((daemon) => isProgram(join(root, programOf(`${daemon}-daemon`))))) return;
  const users = root === '' ? findUsers(library) : [];
  if (users.length > 0) {
    process.stdout.write(`Kept ${library}, which is in use by ${users.join(', ')}\n`);
    return;
  }
  removeProgram(join(root, programOf('heddle')));
  if (existsSync(join(root, library))) process.stdout.write(`Removed ${join(root, library)}\n`);
  rmSync(join(root, library), { recursive: true, force: true });
}

// What was installed knows best; a second removal finds only the checkout.
function findHeddle(library) {
  const here = join(dirname(fileURLToPath(import.meta.url)), '../bin/heddle.js');
  const installed = `${library}/bin/heddle.js`;
  return [process.execPath, existsSync(installed) ? installed : here];
}
