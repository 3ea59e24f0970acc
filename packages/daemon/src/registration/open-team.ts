import { join } from 'node:path';
import { parseApiBase } from './api-base.ts';
import { ApiClient, type NodeCredentials } from './api-client.ts';
import { type Credentials, parseJson, type Revocation, readCredentials, revocationShape } from './credentials.ts';
import { keyringEntry } from './node-install.ts';
import { RegistrationError } from './registration-error.ts';
import { readTeamFile } from './team-files.ts';
import { listTeamFolders, type TeamFolder, teamFolder } from './team-folder.ts';
import { parseTeamName } from './team-name.ts';
import type { TeamWorld } from './team-world.ts';

/** A registered team, ready to call its server. */
export interface OpenTeam {
  readonly credentials: Credentials;
  readonly node: NodeCredentials;
  readonly api: ApiClient;
}

/** One team by name, or every one that was registered below the config root. */
export type TeamChoice = { readonly kind: 'one'; readonly orgSlug: string } | { readonly kind: 'all' };

/** @throws {RegistrationError} `registration/bad-org-slug`, `registration/unwritable`. */
export function chooseTeams(world: TeamWorld, choice: TeamChoice): readonly TeamFolder[] {
  if (choice.kind === 'one') return [teamFolder(world.configRoot, parseTeamName(choice.orgSlug), world.fs)];
  return listTeamFolders(world.configRoot, world.fs).filter(isRegistered);
}

// A folder that cannot be read is chosen too: its team then fails by itself, with the reason.
function isRegistered(folder: TeamFolder): boolean {
  try {
    return REGISTERED_NAMES.some((name) => readTeamFile(folder, name) !== undefined);
  } catch {
    return true;
  }
}

const REGISTERED_NAMES = ['credentials.json', '.pending.json'] as const;

/**
 * Reads who we are and finds the token.
 * @throws {RegistrationError} `registration/unknown-team`, `registration/keyring`, `registration/damaged-file`,
 * `registration/bad-api-base`, `registration/plain-http` and those of reading.
 */
export async function openTeam(world: TeamWorld, folder: TeamFolder): Promise<OpenTeam> {
  const credentials = readCredentials(folder);
  if (credentials === undefined) throw unknownTeam(folder);
  if (credentials.org_slug !== folder.team) {
    const message = `"${join(folder.path, 'credentials.json')}" is of another team ("${credentials.org_slug}")`;
    throw new RegistrationError('registration/damaged-file', message);
  }
  const api = createClient(world, {
    apiBase: credentials.api_base,
    allowsPlainHttp: credentials.allow_http === true,
    tlsCa: credentials.tls_ca,
  });
  const apiToken = await findToken(world, folder, credentials);
  return { credentials, api, node: { team: folder.team, nodeId: credentials.node_id, apiToken } };
}

export interface ServerChoice {
  readonly apiBase: string;
  readonly allowsPlainHttp: boolean;
  readonly tlsCa: string | undefined;
}

/** @throws {RegistrationError} `registration/bad-api-base`, `registration/plain-http`. */
export function createClient(world: TeamWorld, { apiBase, allowsPlainHttp, tlsCa }: ServerChoice): ApiClient {
  return new ApiClient({
    base: parseApiBase(apiBase, allowsPlainHttp),
    tlsCa,
    version: world.version,
    timeoutMs: world.timeoutMs,
    exchange: world.exchange,
    sleep: world.sleep,
    signal: world.signal,
  });
}

/**
 * What the folder says about a revocation. A damaged file counts as one: somebody wrote it for a reason.
 * @throws {RegistrationError} those of reading.
 */
export function readRevocation(folder: TeamFolder): Partial<Revocation> | undefined {
  const text = readTeamFile(folder, 'auth-revoked.json');
  return text === undefined ? undefined : (parseJson(text, revocationShape) ?? {});
}

/** @throws {RegistrationError} `registration/revoked` while the file is there. */
export function refuseRevoked(folder: TeamFolder): void {
  const revocation = readRevocation(folder);
  if (revocation === undefined) return;
  const since = revocation.revoked_at === undefined ? '' : ` since ${revocation.revoked_at} (${revocation.reason})`;
  const next = `delete "${join(folder.path, 'auth-revoked.json')}" and register anew`;
  throw new RegistrationError('registration/revoked', `Team "${folder.team}" is revoked${since}`, { next });
}

export function unknownTeam(folder: TeamFolder): RegistrationError {
  const message = `This machine is not registered with a team "${folder.team}" (no credentials in "${folder.path}")`;
  return new RegistrationError('registration/unknown-team', message);
}

async function findToken({ keyring }: TeamWorld, folder: TeamFolder, credentials: Credentials): Promise<string> {
  if (credentials.api_token !== undefined) return credentials.api_token;
  const token = await keyring?.lookup(keyringEntry(credentials));
  // It becomes a header line.
  if (token !== undefined && /^[\x21-\x7e]{1,1024}$/.test(token)) return token;
  const message = `The token of team "${folder.team}" is neither in its file nor in a keyring that opens`;
  throw new RegistrationError('registration/keyring', message, { isRetryable: true });
}
