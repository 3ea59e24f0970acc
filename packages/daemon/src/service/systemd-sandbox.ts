/**
 * The folders a hardened unit may write to, and the paths it cannot see.
 *
 * Folders below the four standard places are made and opened by systemd itself (`StateDirectory=` and its siblings).
 * Others are opened by `ReadWritePaths=` and have to exist, so the installation makes them.
 */

import { posix } from 'node:path';
import type { ServiceDescription } from './description.ts';
import { badPath, isWithin } from './service-path.ts';
import { quoteListedPath } from './systemd-quoting.ts';

export type FolderKind = 'runtime' | 'state' | 'logs' | 'configuration';

/** A folder the installation makes when it is missing. */
export interface MissingFolder {
  readonly path: string;
  /** Octal text. */
  readonly mode: string;
}

export interface Sandbox {
  /** Directives of the section `[Service]`. */
  readonly lines: readonly string[];
  readonly folders: readonly MissingFolder[];
}

/**
 * Opens the folders of a service.
 * @throws {TailnetError} `service/bad-path` for one that hardening hides, or that is not the service's alone.
 */
export function openFolders(wanted: readonly (readonly [FolderKind, string])[]): Sandbox {
  const managed = new Map<FolderKind, Set<string>>();
  const opened = new Map<string, string>();
  for (const [kind, path] of wanted) {
    checkFolder(path);
    const name = findManagedName(kind, path);
    if (name !== undefined) managed.set(kind, (managed.get(kind) ?? new Set()).add(name));
    else if (isWithin(canonical(path), '/run')) throw badPath('a folder', path, RUNTIME_NAME);
    else opened.set(path, opened.get(path) ?? PLACES[kind].mode);
  }
  const directories = [...managed].flatMap(([kind, names]) => {
    const { directive, mode } = PLACES[kind];
    return [`${directive}=${[...names].join(' ')}`, `${directive}Mode=${mode}`];
  });
  const paths = [...opened.keys()].map((path) => `ReadWritePaths=${quoteListedPath(`-${path}`)}`);
  return { lines: [...directories, ...paths], folders: [...opened].map(([path, mode]) => ({ path, mode })) };
}

/**
 * Checks what the service only runs or reads.
 * @throws {TailnetError} `service/bad-path` for a path below a folder that hardening hides.
 */
export function checkVisible(description: ServiceDescription): void {
  const { nodePath, command } = description;
  const program = 'install it for the whole system';
  checkSeen('Node.js', nodePath, program);
  checkSeen('heddle', command, program);
  if (description.configRoot !== undefined) checkSeen('the config root', description.configRoot, 'choose another');
  if (description.mode === 'interfaces') return;
  const { nebulaBinary } = description;
  if (nebulaBinary !== undefined) checkSeen('Nebula', nebulaBinary, program);
  if (description.mode === 'server') checkSeen('the team configuration', description.teamConfigPath, 'choose another');
}

/**
 * Checks a folder that the service owns, or that a purge removes with all that is in it.
 * @throws {TailnetError} `service/bad-path` for a folder of the system or one that several programs share.
 */
export function checkFolder(path: string): void {
  checkSeen('a folder', path, 'choose another');
  const plain = canonical(path);
  const isShared = plain.split('/').length < 3 || SHARED.includes(plain) || SYSTEM.some((top) => isWithin(plain, top));
  if (isShared) throw badPath('a folder', path, 'belongs to the system; choose a folder for heddle alone');
}

interface Place {
  readonly base: string;
  readonly directive: string;
  readonly mode: string;
}

const PLACES: Readonly<Record<FolderKind, Place>> = {
  runtime: { base: '/run', directive: 'RuntimeDirectory', mode: '0755' },
  state: { base: '/var/lib', directive: 'StateDirectory', mode: '0700' },
  logs: { base: '/var/log', directive: 'LogsDirectory', mode: '0750' },
  configuration: { base: '/etc', directive: 'ConfigurationDirectory', mode: '0750' },
};

/** By `ProtectHome=yes`, `PrivateTmp=yes` and the kernel's own file systems. */
const HIDDEN = ['/home', '/root', '/run/user', '/tmp', '/var/tmp', '/proc', '/sys', '/dev'];
/** Those of macOS count when something is to be removed. */
const SYSTEM = ['/bin', '/boot', '/lib', '/lib32', '/lib64', '/sbin', '/usr', '/System', '/Users'];
const SHARED = ['/etc/systemd', '/run/lock', '/run/systemd', '/private/etc', '/private/tmp', '/private/var'].concat(
  ['cache', 'db', 'lib', 'local', 'log', 'mail', 'opt', 'spool'].map((name) => `/var/${name}`),
);

const RUNTIME_NAME =
  'is emptied at every start of the machine and cannot be made by systemd; use letters, digits, "-", "_" and "."';

function checkSeen(what: string, path: string, next: string): void {
  const hider = HIDDEN.find((folder) => isWithin(canonical(path), folder));
  if (hider !== undefined) throw badPath(what, path, `is below "${hider}", which the service cannot see; ${next}`);
}

// Older versions of systemd read these names without quotes, and a colon asks for a symbolic link.
function findManagedName(kind: FolderKind, path: string): string | undefined {
  const name = posix.relative(PLACES[kind].base, canonical(path));
  return /^[A-Za-z0-9_+-][A-Za-z0-9._+-]*(\/[A-Za-z0-9_+-][A-Za-z0-9._+-]*)*$/.test(name) ? name : undefined;
}

// /var/run is a symbolic link on every system that runs systemd.
function canonical(path: string): string {
  return isWithin(path, '/var/run') ? path.slice('/var'.length) : path;
}
