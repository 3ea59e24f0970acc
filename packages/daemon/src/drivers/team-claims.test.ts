import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import certificates from '../../test/vectors/nebula/long-lived.json' with { type: 'json' };
import { TeamClaimsReader } from './team-claims.ts';

let root: string;
let reader: TeamClaimsReader;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'heddle-claims-'));
  reader = new TeamClaimsReader(root);
});
afterEach(() => rmSync(root, { recursive: true }));

function addTeam(name: string, tun: object = {}): string {
  const folder = join(root, name);
  mkdirSync(folder);
  const pki = { ca: join(folder, 'ca.crt'), cert: join(folder, 'host.crt'), key: join(folder, 'host.key') };
  writeFileSync(pki.ca, certificates.ca);
  writeFileSync(pki.cert, certificates.host);
  writeFileSync(pki.key, 'a key that nobody reads\n', { mode: 0o600 });
  writeFileSync(join(folder, 'config.yml'), JSON.stringify({ pki, tun }));
  return folder;
}

describe('the claims of teams that are configured', () => {
  it('are their networks and the routes behind them, in the order of their names', () => {
    addTeam('office', { unsafe_routes: [{ route: '10.90.0.0/16', via: '10.77.0.1' }] });
    addTeam('lab', { disabled: true });
    expect(reader.read()).toMatchObject([
      { team: 'lab', networks: ['10.77.0.2/24'], wantsDevice: false },
      { team: 'office', networks: ['10.77.0.2/24'], unsafeRoutes: ['10.90.0.0/16'], wantsDevice: true },
    ]);
  });

  it('are the same list until a file changes', () => {
    const folder = addTeam('office');
    const first = reader.read();
    expect(reader.read()).toBe(first);
    writeFileSync(join(folder, 'config.yml'), JSON.stringify({ tun: { disabled: true } }));
    expect(reader.read()).toEqual([]);
    addTeam('other');
    expect(reader.read()).toMatchObject([{ team: 'other' }]);
  });

  it('leave out tailnets, whose server gives the addresses, and what cannot be used', () => {
    mkdirSync(join(root, 'tail'));
    writeFileSync(join(root, 'tail', 'tailnet.yml'), 'login_server: http://127.0.0.1:1\n');
    mkdirSync(join(root, 'broken'));
    writeFileSync(join(root, 'broken', 'config.yml'), 'pki: [');
    addTeam('office');
    expect(reader.read()).toMatchObject([{ team: 'office' }]);
  });

  it('are none where the folder is missing or others can write to a team', () => {
    expect(new TeamClaimsReader(join(root, 'missing')).read()).toEqual([]);
    chmodSync(addTeam('office'), 0o777);
    expect(reader.read()).toEqual([]);
  });
});
