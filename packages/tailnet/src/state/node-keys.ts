/**
 * The lasting keys of a node: who this machine is to its coordination server (machine key), and who it is to its peers
 * (node key). They survive crashes, damage to one file and a full disk, and are never replaced silently.
 *
 * Error contract: a TailnetError leaves the directory as it was.
 */

import { join } from 'node:path';
import type { CryptoProvider, Rng } from '@heddle/proto/crypto/provider';
import {
  generatePrivateKey,
  type MachinePrivateKey,
  type NodePrivateKey,
  parsePrivateKey,
} from '@heddle/proto/keys/private-key';
import { TailnetError } from '../tailnet-error.ts';
import { STATE_COPY, STATE_DAMAGED, STATE_FILE, type StateDir, tightenMode } from './state-dir.ts';
import {
  formatStateDocument,
  normalizeControlUrl,
  parseStateDocument,
  type StateDocument,
  type StateDocumentResult,
} from './state-document.ts';
import { codeOf, foreign, readOwnFile, replaceFile } from './state-files.ts';

export interface NodeKeys {
  readonly machineKey: MachinePrivateKey;
  readonly nodeKey: NodePrivateKey;
}

export interface NodeKeysOptions {
  readonly dir: StateDir;
  readonly crypto: Pick<CryptoProvider, 'x25519PublicKey'>;
  readonly rng: Rng;
  readonly controlUrl: string;
}

/**
 * Reads the keys, or makes and stores them when the directory holds none.
 * @throws {TailnetError} `state/corrupt` when document and copy are damaged, `state/foreign` when they belong to another
 * server or program, `state/newer-version`, `state/disk-full`, `state/unwritable`.
 */
export function loadOrCreateKeys(options: NodeKeysOptions): NodeKeys {
  const controlUrl = normalizeControlUrl(options.controlUrl);
  const document = loadDocument(options.dir);
  if (document === undefined) return storeNewKeys(options, controlUrl);
  if (document.controlUrl !== controlUrl) {
    throw foreign(options.dir.path, `belongs to a node of ${document.controlUrl}, not of ${controlUrl}`);
  }
  const machineKey = parsePrivateKey('machine', document.machineKey, options.crypto);
  const nodeKey = parsePrivateKey('node', document.nodeKey, options.crypto);
  if (machineKey === undefined || nodeKey === undefined) throw corrupt(options.dir);
  return { machineKey, nodeKey };
}

/**
 * Stores a new node key beside the machine key that is there: before it is used, so that a crash cannot lose it.
 * @throws {TailnetError} as {@link loadOrCreateKeys}.
 */
export function storeNodeKey(options: NodeKeysOptions, nodeKey: NodePrivateKey): void {
  const { machineKey } = loadOrCreateKeys(options);
  storeKeys(options.dir, normalizeControlUrl(options.controlUrl), { machineKey, nodeKey });
}

function storeNewKeys(options: NodeKeysOptions, controlUrl: string): NodeKeys {
  const machineKey = generatePrivateKey('machine', options.crypto, options.rng);
  const nodeKey = generatePrivateKey('node', options.crypto, options.rng);
  storeKeys(options.dir, controlUrl, { machineKey, nodeKey });
  return { machineKey, nodeKey };
}

// The copy is written second, so at every moment one of the two is sound, and the document is never the older one.
function storeKeys(dir: StateDir, controlUrl: string, keys: NodeKeys): void {
  const document = {
    controlUrl,
    machineKey: keys.machineKey.exposeText(),
    nodeKey: keys.nodeKey.exposeText(),
  };
  const text = formatStateDocument(document);
  replaceFile(dir.fs, join(dir.path, STATE_FILE), text);
  mirror(dir, STATE_COPY, text);
}

function loadDocument(dir: StateDir): StateDocument | undefined {
  const main = readOwnFile(dir.fs, join(dir.path, STATE_FILE));
  const copy = readOwnFile(dir.fs, join(dir.path, STATE_COPY));
  for (const name of [STATE_FILE, STATE_COPY, STATE_DAMAGED]) tightenMode(dir.fs, join(dir.path, name), 0o600, dir.log);
  if (main === undefined && copy === undefined) return undefined;
  const parsed = main === undefined ? undefined : parse(dir, main);
  if (parsed?.kind === 'ok') {
    if (copy !== main) mirror(dir, STATE_COPY, formatStateDocument(parsed.document));
    return parsed.document;
  }
  return recover(dir, main, copy);
}

function parse(dir: StateDir, text: string): StateDocumentResult {
  const result = parseStateDocument(text);
  if (result.kind === 'foreign') throw foreign(join(dir.path, STATE_FILE), 'was written by another program');
  if (result.kind === 'newer') {
    throw new TailnetError('state/newer-version', `State "${dir.path}" was written by a later version of heddle`);
  }
  return result;
}

function recover(dir: StateDir, main: string | undefined, copy: string | undefined): StateDocument {
  const saved = copy === undefined ? undefined : parse(dir, copy);
  if (saved?.kind !== 'ok') throw corrupt(dir);
  const found = main === undefined ? 'missing' : 'damaged';
  const message = `${STATE_FILE} in "${dir.path}" was ${found}; recovered from its copy`;
  dir.log({ level: 'warn', message, fields: { code: 'state/recovered' } });
  keepDamaged(dir);
  mirror(dir, STATE_FILE, formatStateDocument(saved.document));
  return saved.document;
}

function keepDamaged(dir: StateDir): void {
  try {
    dir.fs.renameSync(join(dir.path, STATE_FILE), join(dir.path, STATE_DAMAGED));
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') dir.log({ level: 'warn', message: `Cannot set ${STATE_FILE} aside` });
  }
}

// The other of the two files is sound, so the node can run: a full disk only costs the second chance.
function mirror(dir: StateDir, name: string, text: string): void {
  try {
    replaceFile(dir.fs, join(dir.path, name), text);
  } catch (error) {
    const { code, message } = error as TailnetError;
    dir.log({ level: 'warn', message, fields: { code } });
  }
}

function corrupt(dir: StateDir): TailnetError {
  const message = `State "${dir.path}" is damaged and so is its copy; restore ${STATE_FILE} from a backup, or move the directory away to join as a new node`;
  return new TailnetError('state/corrupt', message);
}
