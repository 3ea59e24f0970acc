import { isIP } from 'node:net';
import { join } from 'node:path';
import type { NodeId, Registered } from './api-answers.ts';
import type { LighthouseRequest } from './api-client.ts';
import { type Credentials, type NodeMode, readCredentials } from './credentials.ts';
import { finishWithLock, installNode, keyringEntry } from './node-install.ts';
import { createClient, openTeam, refuseRevoked } from './open-team.ts';
import { RegistrationError } from './registration-error.ts';
import { prepareTeamFolder, type TeamFolder, teamFolder, withTeamLock } from './team-folder.ts';
import { parseTeamName } from './team-name.ts';
import type { TeamWorld } from './team-world.ts';
import type { RegistrationCredential } from './token-source.ts';

export interface RegisterOptions {
  readonly apiBase: string;
  readonly orgSlug: string;
  readonly nodeName: string;
  readonly mode: NodeMode;
  readonly credential: RegistrationCredential;
  readonly lighthouse: LighthouseRequest | undefined;
  /** Plain HTTP beyond loopback. */
  readonly allowsPlainHttp: boolean;
  /** PEM of an authority trusted for this server, from now on. */
  readonly tlsCa: string | undefined;
  /** Makes a second node although the one of this machine is still good. */
  readonly replacesGoodNode: boolean;
}

export interface RegisterResult {
  readonly kind: 'registered';
  readonly team: string;
  readonly nodeId: NodeId;
  readonly nodeName: string;
  readonly nebulaIp: string;
  readonly isLighthouse: boolean;
  readonly mode: NodeMode;
  /** End of the certificate, as the server writes it. */
  readonly expiration: string | undefined;
  readonly tokenStorage: 'keyring' | 'file';
  readonly configPath: string;
}

/** What a registration would do; holds no secret. */
export interface RegisterPlan {
  readonly kind: 'plan';
  readonly team: string;
  readonly request: string;
  readonly credential: RegistrationCredential['kind'];
  readonly nodeName: string;
  readonly files: readonly string[];
}

/**
 * Makes this machine a node of a team: asks the server, then writes key, certificates, credentials and configuration.
 * Everything that can fail without the server is tried before, because a token may be good for one use only.
 * @throws {RegistrationError} any code of the room.
 */
export async function register(options: RegisterOptions, world: TeamWorld): Promise<RegisterResult | RegisterPlan> {
  const folder = teamFolder(world.configRoot, parseTeamName(options.orgSlug), world.fs);
  checkNodeName(options.nodeName);
  checkLighthouse(options.lighthouse);
  const api = createClient(world, options);
  refuseRevoked(folder);
  if (world.isDryRun) return planOf(options, folder);
  prepareTeamFolder(folder);
  return withTeamLock(folder, async () => {
    await finishWithLock(folder, world.keyring);
    const old = readCredentials(folder);
    if (old !== undefined && !options.replacesGoodNode) await refuseGoodNode(world, folder);
    const registered = await api.register(
      { team: folder.team, nodeName: options.nodeName, lighthouse: options.lighthouse },
      options.credential,
    );
    await install(options, world, folder, registered);
    await forgetOldToken(world, folder, old);
    return resultOf(options, folder, registered);
  });
}

/** For people. */
export function formatRegister(result: RegisterResult | RegisterPlan): string {
  if (result.kind === 'plan') {
    const lines = [`Would register "${result.nodeName}" with ${result.request}, using the ${result.credential}`];
    return `${[...lines, ...result.files.map((path) => `Would write ${path}`)].join('\n')}\n`;
  }
  const role = result.isLighthouse ? 'lighthouse' : 'node';
  const until = result.expiration === undefined ? '' : `, certificate until ${result.expiration}`;
  return [
    `Registered ${role} "${result.nodeName}" (${result.nodeId}) with team ${result.team}: ${result.nebulaIp}${until}`,
    `Configuration: ${result.configPath}; token: ${result.tokenStorage === 'keyring' ? 'keyring' : 'credentials.json'}`,
    '',
  ].join('\n');
}

async function install(
  options: RegisterOptions,
  world: TeamWorld,
  folder: TeamFolder,
  registered: Registered,
): Promise<void> {
  const credentials: Credentials = {
    api_base: options.apiBase,
    org_slug: folder.team,
    node_id: registered.nodeId,
    node_name: registered.nodeName,
    nebula_ip: registered.nebulaIp,
    is_lighthouse: registered.isLighthouse,
    mode: options.mode,
    expiration: registered.expiration ?? null,
    registered_at: new Date(world.unixMs()).toISOString(),
    ...(options.allowsPlainHttp ? { allow_http: true } : {}),
    ...(options.tlsCa === undefined ? {} : { tls_ca: options.tlsCa }),
  };
  try {
    const { keyring } = world;
    await installNode({
      folder,
      keyring,
      credentials,
      newToken: registered.apiToken,
      node: registered,
      keepsConfig: false,
    });
  } catch (error) {
    if (!(error instanceof RegistrationError)) throw error;
    const message = `The server made node ${registered.nodeId}, but its files are not complete: ${error.message}`;
    const next = `${error.nextStep}; delete node ${registered.nodeId} on the server if heddle check-auth does not know it`;
    throw new RegistrationError(error.code, message, { cause: error, next });
  }
}

/** A node that the server still answers is not thrown away by a repeated command. */
async function refuseGoodNode(world: TeamWorld, folder: TeamFolder): Promise<void> {
  let doubt = '';
  try {
    const { api, node } = await openTeam(world, folder);
    await api.checkin(node, world.uptimeSeconds());
  } catch (error) {
    if (!(error instanceof RegistrationError)) throw error;
    if (error.status === 401 || error.status === 403 || error.status === 404) return;
    if (error.code === 'registration/keyring' || error.code === 'registration/damaged-file') return;
    doubt = `, and whether it is still good cannot be asked: ${error.message}`;
  }
  const message = `This machine is a node of team "${folder.team}" already${doubt}`;
  throw new RegistrationError('registration/already-registered', message);
}

async function forgetOldToken(world: TeamWorld, folder: TeamFolder, old: Credentials | undefined): Promise<void> {
  if (old?.token_storage !== 'keyring' || world.keyring === undefined || !URL.canParse(old.api_base)) return;
  const current = readCredentials(folder);
  const entry = keyringEntry(old);
  if (current !== undefined && keyringEntry(current).account !== entry.account) await world.keyring.remove(entry);
}

function resultOf(options: RegisterOptions, folder: TeamFolder, registered: Registered): RegisterResult {
  const { nodeId, nodeName, nebulaIp, isLighthouse, expiration } = registered;
  return {
    kind: 'registered',
    team: folder.team,
    nodeId,
    nodeName,
    nebulaIp,
    isLighthouse,
    expiration,
    mode: options.mode,
    tokenStorage: readCredentials(folder)?.token_storage ?? 'file',
    configPath: join(folder.path, 'config.yml'),
  };
}

function planOf(options: RegisterOptions, folder: TeamFolder): RegisterPlan {
  const { origin } = new URL(options.apiBase);
  const names = ['node.key', 'node.crt', 'ca.crt', 'credentials.json', 'config.yml'];
  return {
    kind: 'plan',
    team: folder.team,
    request: `${origin} (team ${folder.team})`,
    credential: options.credential.kind,
    nodeName: options.nodeName,
    files: names.map((name) => join(folder.path, name)),
  };
}

// The server takes letters, digits, ".", "_" and "-"; a name in a certificate has at most 253 bytes.
function checkNodeName(name: string): void {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/.test(name)) return;
  const message = `The node name ${JSON.stringify(name.slice(0, 80))} is not 1 to 253 letters, digits, ".", "_" and "-"`;
  throw new RegistrationError('registration/bad-node-name', message);
}

function checkLighthouse(lighthouse: LighthouseRequest | undefined): void {
  if (lighthouse === undefined) return;
  const { publicIp, fqdn, externalPort } = lighthouse;
  if (publicIp === undefined && fqdn === undefined) {
    throw new RegistrationError('registration/bad-lighthouse', 'A lighthouse needs an address that others reach');
  }
  if (publicIp !== undefined && isIP(publicIp) === 0) {
    throw new RegistrationError('registration/bad-lighthouse', `"${publicIp.slice(0, 80)}" is not an IP address`);
  }
  if (fqdn !== undefined && !(HOST_NAME.test(fqdn) && fqdn.length <= 253)) {
    throw new RegistrationError('registration/bad-lighthouse', `"${fqdn.slice(0, 80)}" is not a host name`);
  }
  if (!Number.isInteger(externalPort) || externalPort < 1 || externalPort > 65_535) {
    throw new RegistrationError('registration/bad-port', `${externalPort} is not a port`);
  }
}

// RFC 1123 §2.1.
const HOST_NAME =
  /^(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$/;
