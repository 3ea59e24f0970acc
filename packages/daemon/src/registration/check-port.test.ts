import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { failureOf } from '../../../../tests/support/team-api/team-fixture.ts';
import { checkPort, exitClassOfCheckPort, formatCheckPort, type PortProbe, probePort } from './check-port.ts';
import { createTeamWorld, type TeamWorld } from './team-world.ts';

let root: string;
let world: TeamWorld;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'heddle-ports-'));
  world = createTeamWorld({ version: '0', configRoot: root });
});
afterEach(() => rmSync(root, { recursive: true }));

const free: PortProbe = async () => 'free';

function addTeam(name: string, yaml: string): void {
  mkdirSync(join(root, name), { mode: 0o700 });
  writeFileSync(join(root, name, 'config.yml'), yaml);
}

describe('the ports', () => {
  it('of the teams are those in their configurations', async () => {
    addTeam('a', 'listen: { host: 0.0.0.0, port: 4242 }');
    addTeam('b', 'listen: { host: "::", port: "4243" }');
    addTeam('c', 'listen: { port: 0 }');
    addTeam('d', 'tun: {}');
    addTeam('e', 'listen: [');
    addTeam('f', 'listen: { port: 70000 }');
    const result = await checkPort({ ports: [], probe: free }, world);
    expect(result).toEqual({
      ports: [
        { host: '0.0.0.0', port: 4242, teams: ['a'], state: 'free' },
        { host: '::', port: 4243, teams: ['b'], state: 'free' },
      ],
      anyPortTeams: ['c', 'd'],
      unreadableTeams: ['e', 'f'],
    });
    expect(exitClassOfCheckPort(result)).toBeUndefined();
    expect(formatCheckPort(result)).toContain('UDP [::]:4243: free (team b)');
  });

  it('that two teams want cannot both be theirs', async () => {
    for (const name of ['a', 'b']) addTeam(name, 'listen: { host: gate.example.com, port: 4242 }');
    const result = await checkPort({ ports: [], probe: free }, world);
    expect(result.ports).toEqual([{ host: '0.0.0.0', port: 4242, teams: ['a', 'b'], state: 'free' }]);
    expect(exitClassOfCheckPort(result)).toBe('conflict');
  });

  it('default to 4242 without a team, and can be named', async () => {
    expect((await checkPort({ ports: [], probe: free }, world)).ports).toMatchObject([{ port: 4242 }]);
    expect((await checkPort({ ports: [1, 65_535, 1], probe: free }, world)).ports.length).toBe(2);
    for (const ports of [[0], [65_536], [1.5], Array.from({ length: 65 }, (_, i) => i + 1)]) {
      expect((await failureOf(() => checkPort({ ports, probe: free }, world))).code).toBe('registration/bad-port');
    }
  });
});

describe('a port of this machine', () => {
  let socket: Socket;
  beforeEach(async () => {
    socket = createSocket('udp4').bind(0, '127.0.0.1');
    await once(socket, 'listening');
  });
  afterEach(() => socket.close());

  it('is taken while a program has it, on the wildcard address as well, and free otherwise', async () => {
    const { port } = socket.address();
    expect(await probePort('127.0.0.1', port)).toBe('taken');
    expect(await probePort('0.0.0.0', port)).toBe('taken');
    expect(await probePort('127.0.0.2', port)).toBe('free');
    expect(await probePort('127.0.0.2', port)).toBe('free');
  });

  it('cannot be had at an address of somebody else', async () => {
    expect(await probePort('192.0.2.1', socket.address().port)).toBe('not-local');
  });
});
