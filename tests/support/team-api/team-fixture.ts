import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import type { Keyring } from '../../../packages/daemon/src/registration/keyring.ts';
import type { RegisterOptions } from '../../../packages/daemon/src/registration/register.ts';
import { RegistrationError } from '../../../packages/daemon/src/registration/registration-error.ts';
import { createTeamWorld, type TeamWorld } from '../../../packages/daemon/src/registration/team-world.ts';
import { TeamApiServer } from './team-api-server.ts';
import type { TeamOrganization } from './team-organization.ts';

/** A registration token that is good for any number of nodes. */
export const TOKEN = 'reg-0123456789-abcdefghijklmnop-SECRET';
/** A member's access token. */
export const MEMBER = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2VjcmV0LXNpZ25hdHVyZQ';
export const START_MS: number = Date.UTC(2026, 10, 21);

/** A team server with the team `acme`, a config root of its own, and a world whose clock stands still. */
export class TeamFixture {
  nowMs: number = START_MS;
  readonly root: string = mkdtempSync(join(tmpdir(), 'heddle-teams-'));
  readonly configRoot: string = join(this.root, 'etc');
  /** Delays that something waited. */
  readonly waits: number[] = [];
  readonly server: TeamApiServer;
  readonly acme: TeamOrganization;

  constructor(tls?: { readonly key: string; readonly cert: string }) {
    this.server = new TeamApiServer({ nowMs: () => this.nowMs, tls });
    this.acme = this.server.addOrganization('acme');
    this.acme.tokens.set(TOKEN, { expiresUnixMs: START_MS + 86_400_000, usesMax: -1, useCount: 0 });
    this.acme.members.add(MEMBER);
  }

  async start(): Promise<this> {
    await this.server.start();
    return this;
  }

  async close(): Promise<void> {
    await this.server.close();
    rmSync(this.root, { recursive: true, force: true });
  }

  world(given: Partial<TeamWorld> = {}): TeamWorld {
    return createTeamWorld({
      version: '0.0.1',
      configRoot: this.configRoot,
      keyring: undefined,
      unixMs: () => this.nowMs,
      uptimeSeconds: () => 12.7,
      sleep: async (delayMs) => void this.waits.push(delayMs),
      ...given,
    });
  }

  /** How a lighthouse registers with the team; it is the node that always may. */
  options(given: Partial<RegisterOptions> = {}): RegisterOptions {
    return {
      apiBase: this.server.url,
      orgSlug: 'acme',
      nodeName: 'gate',
      mode: 'server',
      credential: { kind: 'registration-token', token: TOKEN },
      lighthouse: { publicIp: '203.0.113.7', fqdn: undefined, externalPort: 4242 },
      allowsPlainHttp: false,
      tlsCa: undefined,
      replacesGoodNode: false,
      ...given,
    };
  }

  path(...names: string[]): string {
    return join(this.configRoot, ...names);
  }
}

/** A keyring in memory. */
export class FakeKeyring implements Keyring {
  readonly secrets: Map<string, string> = new Map();
  isLocked = false;

  async store({ account }: { account: string }, secret: string): Promise<boolean> {
    if (!this.isLocked) this.secrets.set(account, secret);
    return !this.isLocked;
  }

  async lookup({ account }: { account: string }): Promise<string | undefined> {
    return this.isLocked ? undefined : this.secrets.get(account);
  }

  async remove({ account }: { account: string }): Promise<void> {
    this.secrets.delete(account);
  }
}

/** The failure of an operation, checked for what every one must have and must not have. */
export async function failureOf(run: () => unknown, secrets: readonly string[] = []): Promise<RegistrationError> {
  let error: unknown;
  try {
    await run();
  } catch (caught) {
    error = caught;
  }
  if (!(error instanceof RegistrationError)) throw new Error(`no RegistrationError but ${inspect(error)}`);
  if (!/^registration\/[a-z-]+$/.test(error.code)) throw new Error(`a strange code: ${error.code}`);
  if (error.nextStep === '' || /[\n\r]/.test(error.message)) throw new Error('no next step, or more than one line');
  const everything = inspect(error, { depth: 20, showHidden: true }) + error.stack;
  for (const secret of [TOKEN, MEMBER, 'PRIVATE KEY', ...secrets]) {
    if (everything.includes(secret)) throw new Error(`the error tells "${secret.slice(0, 6)}…"`);
  }
  return error;
}
