import { createSocket } from 'node:dgram';
import { isIP } from 'node:net';
import { readListen } from './config-yaml.ts';
import { type ExitClass, RegistrationError } from './registration-error.ts';
import { readTeamFile } from './team-files.ts';
import { listTeamFolders, type TeamFolder } from './team-folder.ts';
import type { TeamWorld } from './team-world.ts';

/** What binding a UDP port showed. */
export type PortState = 'free' | 'taken' | 'forbidden' | 'not-local' | 'failed';

/** Binds and lets go at once; tests replace it. */
export type PortProbe = (host: string, port: number) => Promise<PortState>;

export interface CheckPortOptions {
  /** Which ports; none for those that the teams' configurations name, or 4242 where no team names one. */
  readonly ports: readonly number[];
  readonly probe: PortProbe;
}

/** One address and port. */
export interface PortReport {
  readonly host: string;
  readonly port: number;
  readonly state: PortState;
  /** Whose configuration names it: more than one cannot run together. */
  readonly teams: readonly string[];
}

export interface CheckPortResult {
  readonly ports: readonly PortReport[];
  /** Teams that take whatever port is free. */
  readonly anyPortTeams: readonly string[];
  /** Teams whose configuration cannot be read. */
  readonly unreadableTeams: readonly string[];
}

const NEBULA_PORT = 4242;
const PORT_COUNT_MAX = 64;
const WILDCARD = '0.0.0.0';

/**
 * Tells which UDP ports are free. A port a running team has bound itself is taken, too.
 * @throws {RegistrationError} `registration/bad-port`.
 */
export async function checkPort({ ports, probe }: CheckPortOptions, world: TeamWorld): Promise<CheckPortResult> {
  for (const port of ports) checkNumber(port);
  if (ports.length > PORT_COUNT_MAX) {
    throw new RegistrationError('registration/bad-port', `More than ${PORT_COUNT_MAX} ports are given`);
  }
  const wishes = readWishes(world);
  const targets = ports.length > 0 ? fromPorts(ports, wishes.wanted) : fromTeams(wishes.wanted);
  const reports: PortReport[] = [];
  for (const target of targets) reports.push({ ...target, state: await probe(target.host, target.port) });
  return { ports: reports, anyPortTeams: wishes.any, unreadableTeams: wishes.unreadable };
}

/** `conflict` when a port is not free or two teams want the same one. */
export function exitClassOfCheckPort({ ports }: CheckPortResult): ExitClass | undefined {
  return ports.some(({ state, teams }) => state !== 'free' || teams.length > 1) ? 'conflict' : undefined;
}

/** For people. */
export function formatCheckPort({ ports, anyPortTeams, unreadableTeams }: CheckPortResult): string {
  const lines = ports.map(({ host, port, state, teams }) => {
    const of = teams.length === 0 ? '' : ` (${teams.length > 1 ? 'wanted by teams' : 'team'} ${teams.join(', ')})`;
    return `UDP ${host.includes(':') ? `[${host}]` : host}:${port}: ${WORDS[state]}${of}`;
  });
  if (anyPortTeams.length > 0) lines.push(`Any free port: ${anyPortTeams.join(', ')}`);
  if (unreadableTeams.length > 0) lines.push(`Configuration not readable: ${unreadableTeams.join(', ')}`);
  return `${lines.join('\n')}\n`;
}

const WORDS: Readonly<Record<PortState, string>> = {
  free: 'free',
  taken: 'taken by another program',
  forbidden: 'not allowed for this user',
  'not-local': 'not an address of this machine',
  failed: 'cannot be opened',
};

/** Binds a UDP socket without sharing. */
export const probePort: PortProbe = (host, port) =>
  new Promise((resolve) => {
    const socket = createSocket({ type: isIP(host) === 6 ? 'udp6' : 'udp4' });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      socket.close();
      resolve(STATE_BY_CODE[error.code ?? ''] ?? 'failed');
    });
    socket.bind({ port, address: host, exclusive: true }, () => socket.close(() => resolve('free')));
  });

const STATE_BY_CODE: Readonly<Record<string, PortState>> = {
  EADDRINUSE: 'taken',
  EACCES: 'forbidden',
  EPERM: 'forbidden',
  EADDRNOTAVAIL: 'not-local',
};

type Target = Omit<PortReport, 'state'>;

interface Wishes {
  readonly wanted: readonly { readonly team: string; readonly host: string; readonly port: number }[];
  readonly any: readonly string[];
  readonly unreadable: readonly string[];
}

function readWishes(world: TeamWorld): Wishes {
  const wanted: Wishes['wanted'][number][] = [];
  const any: string[] = [];
  const unreadable: string[] = [];
  for (const folder of listTeamFolders(world.configRoot, world.fs)) {
    const text = readQuietly(folder);
    if (text === 'missing') continue;
    const listen = text === undefined ? undefined : readListen(text.yaml);
    if (listen === undefined) unreadable.push(folder.team);
    else if (listen.port === 0) any.push(folder.team);
    else wanted.push({ team: folder.team, host: isIP(listen.host) === 0 ? WILDCARD : listen.host, port: listen.port });
  }
  return { wanted, any, unreadable };
}

function readQuietly(folder: TeamFolder): { readonly yaml: string } | 'missing' | undefined {
  try {
    const yaml = readTeamFile(folder, 'config.yml');
    return yaml === undefined ? 'missing' : { yaml };
  } catch {
    return undefined;
  }
}

function fromPorts(ports: readonly number[], wanted: Wishes['wanted']): readonly Target[] {
  return [...new Set(ports)].map((port) => ({ host: WILDCARD, port, teams: teamsOf(port, wanted) }));
}

function fromTeams(wanted: Wishes['wanted']): readonly Target[] {
  if (wanted.length === 0) return [{ host: WILDCARD, port: NEBULA_PORT, teams: [] }];
  const targets = new Map<string, Target>();
  for (const { host, port } of wanted) targets.set(`${host} ${port}`, { host, port, teams: teamsOf(port, wanted) });
  return [...targets.values()];
}

function teamsOf(port: number, wanted: Wishes['wanted']): readonly string[] {
  return wanted.filter((wish) => wish.port === port).map(({ team }) => team);
}

function checkNumber(port: number): void {
  if (Number.isInteger(port) && port >= 1 && port <= 65_535) return;
  throw new RegistrationError('registration/bad-port', `${port} is not a port`);
}
