import { spawnSync } from 'node:child_process';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SERVICE_OPTIONS } from '../../test/fake-service-system.ts';
import { describeService, type ServiceDescription, type ServiceOptions } from './description.ts';
import { renderLaunchdPlists } from './launchd-plist.ts';
import { isOurUnit } from './unit-names.ts';

const OPTIONS: ServiceOptions = { ...SERVICE_OPTIONS, nodePath: '/usr/local/bin/node' };

type Value = string | number | boolean | Value[] | { [key: string]: Value };

/** A reader of the few elements a job is made of; anything else, an unclosed element or a stray `&` or `<` is an error. */
function readPlist(text: string): Value {
  const body = /^<\?xml [^>]*\?>\n<!-- (?:(?!--).)* -->\n<!DOCTYPE [^>]*>\n<plist version="1.0">\n(.*)<\/plist>\n$/s;
  const rest = body.exec(text)?.[1];
  if (rest === undefined) throw new Error('Not a property list');
  const tokens = rest.match(/<[^<>]*>|[^<>]+/g) ?? [];
  if (tokens.join('') !== rest) throw new Error('Stray "<" or ">"');
  const queue = tokens.filter((token) => !/^\s+$/.test(token));
  const value = readValue(queue);
  if (queue.length > 0) throw new Error(`Left over: ${queue[0]}`);
  return value;
}

function readValue(queue: string[]): Value {
  const token = queue.shift();
  if (token === '<true/>' || token === '<false/>') return token === '<true/>';
  if (token === '<string>') return readText(queue, '</string>');
  if (token === '<integer>') return Number(readText(queue, '</integer>'));
  if (token === '<array>') return readUntil(queue, '</array>', () => readValue(queue));
  if (token !== '<dict>') throw new Error(`Unknown element ${token}`);
  return Object.fromEntries(
    readUntil(queue, '</dict>', () => {
      if (queue.shift() !== '<key>') throw new Error('No key');
      return [readText(queue, '</key>'), readValue(queue)];
    }),
  );
}

function readUntil<T>(queue: string[], end: string, readOne: () => T): T[] {
  const found: T[] = [];
  while (queue[0] !== end) found.push(readOne());
  queue.shift();
  return found;
}

function readText(queue: string[], end: string): string {
  const text = queue[0] === end ? '' : (queue.shift() ?? '');
  if (queue.shift() !== end) throw new Error(`No ${end}`);
  if (/&(?!(?:amp|lt|gt);)/.test(text)) throw new Error('Stray "&"');
  return text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
}

const jobs = (options: Partial<ServiceOptions> = {}) =>
  renderLaunchdPlists(describeService({ ...OPTIONS, ...options })).map(({ name, text }) => ({
    name,
    job: readPlist(text) as Record<string, Value>,
  }));

describe('the job of the supervisor', () => {
  it('starts with the machine, comes back after a failure and has time to stop its teams', () => {
    const [{ name, job }, ...others] = jobs() as [ReturnType<typeof jobs>[number]];
    expect(others).toEqual([]);
    expect(name).toBe('tech.deltaops.cvpn');
    expect(job).toMatchObject({
      Label: name,
      RunAtLoad: true,
      KeepAlive: { SuccessfulExit: false },
      ThrottleInterval: 10,
      ExitTimeOut: 15,
      UserName: 'root',
      GroupName: 'wheel',
      // Decimal for 077.
      Umask: 63,
    });
    expect(job['ProgramArguments']).toEqual([
      '/usr/local/bin/node',
      '/usr/local/bin/heddle',
      ...['--ipc-mode', 'socket', '--socket-path', '/var/run/tech.deltaops.cvpn/cmd.sock'],
      ...['--config-root', '/etc/catalyst-networks'],
      ...['--state-db-path', '/var/lib/tech.deltaops.cvpn/state.db', '--autostart'],
    ]);
  });

  it('does not let launchd hold the file that heddle logs to', () => {
    const logFile = '/var/log/heddle/daemon.log';
    const job = jobs({ logFile })[0]?.job;
    expect(job).toMatchObject({ ProgramArguments: expect.arrayContaining(['--log-file', logFile]) });
    expect([job?.['StandardOutPath'], job?.['StandardErrorPath']]).not.toContain(logFile);
  });
});

describe('the job of a REST daemon', () => {
  it.each([
    ['tun', 3030],
    ['subnet', 3031],
  ])('has the name, the port and the files that existing installations know: %s', (daemon, port) => {
    const [{ name, job }, ...others] = jobs({ daemon }) as [ReturnType<typeof jobs>[number]];
    expect(others).toEqual([]);
    expect(name).toBe(`com.${daemon}.daemon`);
    expect(job).toMatchObject({
      Label: name,
      RunAtLoad: true,
      KeepAlive: { SuccessfulExit: false },
      ThrottleInterval: 10,
      UserName: 'root',
      GroupName: 'wheel',
    });
    expect(job['ProgramArguments']).toEqual([
      '/usr/local/bin/node',
      `/usr/local/lib/heddle/bin/${daemon}-daemon.js`,
      ...['--port', String(port), '--state-db-path', `/var/lib/tech.deltaops.cvpn/${daemon}.db`],
      ...['--log-file', `/var/log/${daemon}_daemon.log`, '--err-file', `/var/log/${daemon}_daemon.err`],
    ]);
  });
});

describe('the jobs of a team on a server', () => {
  it('are Nebula, which stays down once it was revoked, and a check every minute', () => {
    const [team, check] = jobs({ team: 'acme' });
    expect(team?.name).toBe('tech.deltaops.cvpn.team.acme');
    expect(team?.job).toMatchObject({
      ProgramArguments: ['/usr/local/bin/nebula', '-config', '/etc/catalyst-networks/acme/config.yml'],
      KeepAlive: { PathState: { '/etc/catalyst-networks/acme/auth-revoked.json': false } },
    });
    expect(team?.job['RunAtLoad']).toBeUndefined();
    expect(check?.name).toBe('tech.deltaops.cvpn.auth.acme');
    expect(check?.job).toMatchObject({ StartInterval: 60, RunAtLoad: true });
    expect(check?.job['KeepAlive']).toBeUndefined();
  });
});

describe('every job', () => {
  it('is well formed and says what was meant, whatever the paths', () => {
    const nasty = fc.string({
      unit: fc.constantFrom('&', '<', '>', ';', ']', '$', '%', ' ', 'ü', '🧵', 'lt', '-', '!'),
    });
    fc.assert(
      fc.property(nasty, (rest) => {
        const job = jobs({ configRoot: `/srv/${rest}x` })[0]?.job;
        expect(job?.['ProgramArguments']).toContain(`/srv/${rest}x`);
      }),
    );
  });

  it('carries our mark', () => {
    const descriptions: ServiceDescription[] = [describeService(OPTIONS), describeService({ ...OPTIONS, team: 'a' })];
    for (const { text } of descriptions.flatMap(renderLaunchdPlists)) expect(isOurUnit(text)).toBe(true);
  });

  const python = 'import plistlib, sys, json; print(json.dumps(plistlib.loads(sys.stdin.buffer.read())))';
  const hasPython = spawnSync('python3', ['-c', 'import plistlib']).status === 0;
  it.skipIf(!hasPython)(`is read alike by another reader${hasPython ? '' : ' (skipped: no python3)'}`, () => {
    const description = describeService({ ...OPTIONS, configRoot: '/srv/a&b<c> ü', team: 'acme' });
    for (const { text } of renderLaunchdPlists(description)) {
      const { stdout } = spawnSync('python3', ['-c', python], { input: text, encoding: 'utf8' });
      expect(JSON.parse(stdout)).toEqual(readPlist(text));
    }
  });
});
