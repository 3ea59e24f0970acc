import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isProcessAlive } from '@heddle/host/process-identity';
import { findProcessesByArgument } from '@heddle/host/process-search';
import type { TailnetError } from '@heddle/tailnet/tailnet-error';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NebulaDriver } from '../../packages/daemon/src/drivers/nebula-driver.ts';
import { TailnetDriver } from '../../packages/daemon/src/drivers/tailnet-driver.ts';
import { type TeamPaths, teamPaths } from '../../packages/daemon/src/drivers/team-paths.ts';
import type { Assignment, TeamChild, TeamDriver } from '../../packages/daemon/src/team/driver.ts';
import { stopChild } from '../../packages/daemon/src/team/stop-child.ts';
import { makeFakeNebula } from '../../packages/daemon/test/fake-nebula.ts';
import certificates from '../../packages/daemon/test/vectors/nebula/long-lived.json' with { type: 'json' };
import { IS_BUILT } from '../support/heddle-command.ts';
import { until } from '../support/processes.ts';

// What every driver promises to the supervisor, asked of real processes; only Nebula and the tailnet's node pretend.
const FAKE_HEDDLE = fileURLToPath(new URL('./fake-main.mjs', import.meta.url));

let folder: string;
let paths: TeamPaths;
const children: TeamChild[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'heddle-driver-'));
  const roots = { configRoot: join(folder, 'config'), teamsDir: join(folder, 'teams'), runDir: join(folder, 'run') };
  paths = teamPaths('acme', roots);
  mkdirSync(paths.configDir, { recursive: true });
});
afterEach(() => {
  for (const child of children.splice(0)) child.signal('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

/** How a test makes a team of one kind behave. */
interface Kind {
  readonly assignment: Assignment;
  create(): TeamDriver;
  writeConfig(behaviour: 'good' | 'deaf' | 'fatal' | 'unreadable'): void;
}

const nebula: Kind = {
  assignment: { device: undefined, listenPort: 0, proxyPort: undefined },
  create: () =>
    new NebulaDriver({
      team: 'acme',
      paths,
      binary: makeFakeNebula(folder),
      probe: undefined,
      unixMs: () => Date.now(),
      admit: async () => {},
    }),
  writeConfig: (behaviour) => {
    const file = (name: string, text: string): string => {
      writeFileSync(join(folder, name), text, { mode: 0o600 });
      return join(folder, name);
    };
    const pki = {
      ca: file('ca.crt', certificates.ca),
      cert: file('host.crt', certificates.host),
      key: file('host.key', 'a key that nobody reads\n'),
    };
    const fakes = {
      good: { handlersAfterMs: 0 },
      deaf: { ignoreTerm: true, handlersAfterMs: 0 },
      fatal: {
        errorLine: {
          msg: 'Could not load client cert',
          error: 'private key is not a pair with public key in nebula cert',
        },
      },
      unreadable: {},
    };
    const text = JSON.stringify({ pki, tun: { disabled: true }, fake: fakes[behaviour] });
    writeFileSync(join(paths.configDir, 'config.yml'), behaviour === 'unreadable' ? 'pki:\n  ca: [' : text);
  },
};

const tailnet: Kind = {
  assignment: { device: undefined, listenPort: 0, proxyPort: undefined },
  create: () =>
    new TailnetDriver({ team: 'acme', paths, engineCommand: [process.execPath, FAKE_HEDDLE], env: process.env }),
  writeConfig: (behaviour) => {
    const servers = { good: 'ok.test', deaf: 'stuck.test', fatal: 'used-key.test', unreadable: '' };
    const text = `login_server: http://${servers[behaviour]}\nproxy: off\n`;
    writeFileSync(join(paths.configDir, 'tailnet.yml'), behaviour === 'unreadable' ? 'login_server: [' : text);
  },
};

describe.skipIf(!IS_BUILT || process.platform !== 'linux').each([
  ['nebula', nebula],
  ['tailnet', tailnet],
])('the driver of %s', (name, kind) => {
  async function start(driver = kind.create()): Promise<TeamChild> {
    const child = await driver.start(kind.assignment);
    children.push(child);
    return child;
  }

  it('says what the team will take, without starting anything', async () => {
    kind.writeConfig('good');
    const { claims } = await kind.create().inspect();
    expect(claims).toMatchObject({ team: 'acme', kind: name });
    expect(existsSync(paths.dir)).toBe(false);
  });

  it('names file and line of a configuration that cannot be read', async () => {
    kind.writeConfig('unreadable');
    for (const act of [() => kind.create().inspect(), () => kind.create().start(kind.assignment)]) {
      const error = (await act().catch((caught: unknown) => caught)) as TailnetError;
      expect(error.code).toBe('team/bad-config');
      expect(error.message).toMatch(/acme\/\w+\.yml line \d+/);
      expect(error.isRetryable).toBe(false);
    }
  });

  it('accepts a good configuration without starting anything, and leaves no file of it', async () => {
    kind.writeConfig('good');
    await kind.create().verify();
    expect(existsSync(paths.dir) ? readdirSync(paths.dir) : []).toEqual([]);
  });

  it('starts a child that becomes ready, is healthy, and goes when it is told', async () => {
    kind.writeConfig('good');
    const child = await start();
    await child.ready;
    expect(await child.checkHealth()).toEqual({ kind: 'ok' });
    expect(await stopChild(child)).toBe('stopped');
    expect(isProcessAlive(child.identity)).toBe(false);
  });

  it('lets a child that does not listen be killed', async () => {
    kind.writeConfig('deaf');
    const child = await start();
    await child.ready;
    expect(['killed', 'stopped']).toContain(await stopChild(child));
    expect(isProcessAlive(child.identity)).toBe(false);
  }, 15_000);

  it('tells a crash, which is worth another try', async () => {
    kind.writeConfig('good');
    const child = await start();
    await child.ready;
    child.signal('SIGKILL');
    expect(await child.exited).toMatchObject({ retry: 'backoff', message: expect.stringContaining('SIGKILL') });
  });

  it('tells what only a person can mend', async () => {
    kind.writeConfig('fatal');
    const child = await start();
    expect(await child.exited).toMatchObject({ retry: 'never' });
  });

  it('keeps the log for its owner, and no secret in it or in the arguments', async () => {
    kind.writeConfig('good');
    const child = await start();
    await child.ready;
    expect(statSync(paths.logPath).mode & 0o077).toBe(0);
    expect(statSync(paths.dir).mode & 0o077).toBe(0);
    const line = readFileSync(`/proc/${child.identity.pid}/cmdline`, 'latin1');
    expect(line + readFileSync(paths.logPath, 'utf8')).not.toMatch(/PRIVATE KEY|key that nobody/);
  });

  it('can be found by the next supervisor', async () => {
    kind.writeConfig('good');
    const child = await start();
    await child.ready;
    expect(findProcessesByArgument(`${join(folder, 'teams')}/`).map(({ pid }) => pid)).toContain(child.identity.pid);
  });

  it('removes what it wrote and nothing of the user', async () => {
    kind.writeConfig('good');
    const driver = kind.create();
    const child = await start(driver);
    await child.ready;
    await stopChild(child);
    await driver.removeFiles();
    expect(existsSync(paths.dir)).toBe(false);
    expect(readdirSync(paths.configDir)).toHaveLength(1);
  });

  it('leaves no descriptor behind over 20 restarts', async () => {
    kind.writeConfig('good');
    const openCount = (): number => readdirSync('/proc/self/fd').length;
    await stopChild(await start());
    const before = openCount();
    for (let i = 0; i < 20; i++) {
      const child = await start();
      await child.ready;
      await stopChild(child);
    }
    await until('the descriptors of before', 3000, () => openCount() <= before);
  }, 30_000);
});
