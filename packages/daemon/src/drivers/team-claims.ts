import { statSync } from 'node:fs';
import { dirname } from 'node:path';
import { scanConfigRoot } from '../config/config-scan.ts';
import type { TeamClaims } from '../plan/claims.ts';
import { claimsOf, readNebulaSetup } from './nebula-setup.ts';

interface KnownTeam {
  /** Changes with the configuration and the certificate. */
  readonly version: string;
  readonly certPath: string | undefined;
  readonly claims: TeamClaims;
}

/**
 * Reads what the teams below a config root take from the machine, running or not, as far as it can be known without
 * starting them: those of Nebula. A configuration that cannot be used takes nothing. What was read is kept until its files
 * change.
 */
export class TeamClaimsReader {
  readonly #configRoot: string;
  #known: ReadonlyMap<string, KnownTeam> = new Map();
  #claims: readonly TeamClaims[] = [];

  constructor(configRoot: string) {
    this.#configRoot = configRoot;
  }

  /** Sorted by team; the same list as long as nothing has changed. */
  read(): readonly TeamClaims[] {
    const known = new Map<string, KnownTeam>();
    for (const { name, kind, configPath } of scan(this.#configRoot)) {
      if (kind !== 'nebula') continue;
      const old = this.#known.get(name);
      const isCurrent = old !== undefined && old.version === versionOf(configPath, old.certPath);
      const team = isCurrent ? old : readTeam(name, configPath);
      if (team !== undefined) known.set(name, team);
    }
    this.#known = known;
    const claims = Array.from(known.values(), (team) => team.claims);
    const isSame = claims.length === this.#claims.length && claims.every((one, i) => one === this.#claims[i]);
    if (!isSame) this.#claims = claims;
    return this.#claims;
  }
}

function scan(configRoot: string): ReturnType<typeof scanConfigRoot> {
  try {
    return scanConfigRoot(configRoot);
  } catch {
    return []; // The teams daemon says what is wrong with it.
  }
}

function readTeam(name: string, configPath: string): KnownTeam | undefined {
  try {
    const setup = readNebulaSetup(dirname(configPath));
    const { cert } = setup.config.pki;
    const certPath = cert.kind === 'file' ? cert.path : undefined;
    return { version: versionOf(configPath, certPath), certPath, claims: claimsOf(name, setup) };
  } catch {
    return undefined;
  }
}

function versionOf(...paths: readonly (string | undefined)[]): string {
  const stats = paths.map((path) => (path === undefined ? undefined : statSync(path, { throwIfNoEntry: false })));
  return stats.map((stat) => `${stat?.ino} ${stat?.mtimeMs} ${stat?.size}`).join(' ');
}
