/**
 * Puts a package of the server into the folder of its team, all of it or nothing: several files change together, and a
 * key without its certificate is worth nothing.
 *
 * The whole package is first one file, `.pending.json` (0600): that is the moment from which it counts. Then the files
 * are replaced one by one and the pending file is removed. Whoever finds one finishes the work; until then every single
 * file is the old one or the new one, and `config.yml`, which holds key and certificate inline, is the last to change.
 */

import { objectOf, optional, type Shape, text } from '../schema/shape.ts';
import { type NodePackage, tokenShape } from './api-answers.ts';
import { type Credentials, credentialsShape, formatJson, parseJson } from './credentials.ts';
import type { Keyring, KeyringEntry } from './keyring.ts';
import { RegistrationError } from './registration-error.ts';
import { readTeamFile, removeTeamFile, writeTeamFile, writeWithCopy } from './team-files.ts';
import { type TeamFolder, withTeamLock } from './team-folder.ts';

/** Everything that changes together. */
interface PendingInstall {
  readonly credentials: Credentials;
  /** A new token that has not found its place; missing when the old one stays where it is. */
  readonly new_token?: string | undefined;
  readonly key: string;
  readonly certificate: string;
  readonly ca_certificate: string;
  /** Missing where the file stays as it is. */
  readonly config_yaml?: string | undefined;
}

const pendingShape: Shape<PendingInstall> = objectOf<PendingInstall>({
  credentials: credentialsShape,
  new_token: optional(tokenShape),
  key: text,
  certificate: text,
  ca_certificate: text,
  config_yaml: optional(text),
});

export interface InstallOptions {
  readonly folder: TeamFolder;
  readonly keyring: Keyring | undefined;
  /** Without a new token: with `api_token` or `token_storage` as they are. */
  readonly credentials: Credentials;
  readonly newToken: string | undefined;
  readonly node: NodePackage;
  /** Leaves `config.yml` alone, with what somebody edited in it. */
  readonly keepsConfig: boolean;
}

/** Installs a package; the caller holds the lock of the folder. @throws {RegistrationError} those of writing. */
export async function installNode(options: InstallOptions): Promise<void> {
  const { folder, keyring, credentials, newToken, node } = options;
  const pending: PendingInstall = {
    credentials,
    ...(newToken === undefined ? {} : { new_token: newToken }),
    key: node.key,
    certificate: node.certificate,
    ca_certificate: node.caCertificate,
    ...(options.keepsConfig ? {} : { config_yaml: node.configYaml }),
  };
  writeTeamFile(folder, '.pending.json', formatJson(pending));
  await finish(folder, keyring, pending);
}

/**
 * Finishes an installation that a crash interrupted; the supervisor calls it before it starts a team. True when there
 * was one.
 * @throws {RegistrationError} `registration/busy`, `registration/damaged-file` and those of writing.
 */
export async function finishPendingInstall(folder: TeamFolder, keyring: Keyring | undefined): Promise<boolean> {
  if (readTeamFile(folder, '.pending.json') === undefined) return false;
  return withTeamLock(folder, () => finishWithLock(folder, keyring));
}

/** The same for a caller that holds the lock. */
export async function finishWithLock(folder: TeamFolder, keyring: Keyring | undefined): Promise<boolean> {
  const stored = readTeamFile(folder, '.pending.json');
  if (stored === undefined) return false;
  const pending = parseJson(stored, pendingShape);
  if (pending === undefined) {
    const message = `"${folder.path}/.pending.json" is damaged`;
    throw new RegistrationError('registration/damaged-file', message);
  }
  await finish(folder, keyring, pending);
  return true;
}

async function finish(folder: TeamFolder, keyring: Keyring | undefined, pending: PendingInstall): Promise<void> {
  const credentials = await placeToken(keyring, pending);
  writeTeamFile(folder, 'node.key', pending.key);
  writeTeamFile(folder, 'node.crt', pending.certificate);
  writeTeamFile(folder, 'ca.crt', pending.ca_certificate);
  writeWithCopy(folder, 'credentials.json', formatJson(credentials));
  if (pending.config_yaml !== undefined) writeWithCopy(folder, 'config.yml', pending.config_yaml);
  removeTeamFile(folder, '.pending.json');
}

async function placeToken(keyring: Keyring | undefined, pending: PendingInstall): Promise<Credentials> {
  const { credentials, new_token: token } = pending;
  if (token === undefined) return credentials;
  const { api_token: _old, ...rest } = credentials;
  const isKept = keyring !== undefined && (await keyring.store(keyringEntry(credentials), token));
  return isKept ? { ...rest, token_storage: 'keyring' } : { ...rest, token_storage: 'file', api_token: token };
}

/** Under which name the keyring has the token of a node. */
export function keyringEntry({ org_slug, node_id, api_base }: Credentials): KeyringEntry {
  return { account: `${org_slug}/${node_id}@${new URL(api_base).host}` };
}
