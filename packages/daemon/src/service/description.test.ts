import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SERVICE_OPTIONS } from '../../test/fake-service-system.ts';
import { describeService, identifyService, type ServiceOptions } from './description.ts';
import { checkServicePath, SERVICE_PATH_BYTES_MAX } from './service-path.ts';

const describeWith = (options: Partial<ServiceOptions>) => describeService({ ...SERVICE_OPTIONS, ...options });

describe('a description', () => {
  it('of a desktop has the defaults of the daemon', () => {
    expect(describeWith({})).toEqual({
      mode: 'desktop',
      isRest: false,
      nodePath: '/usr/bin/node',
      command: '/usr/local/bin/heddle',
      socketPath: '/var/run/tech.deltaops.cvpn/cmd.sock',
      configRoot: '/etc/catalyst-networks',
      stateDbPath: '/var/lib/tech.deltaops.cvpn/state.db',
      logFile: undefined,
      nebulaBinary: undefined,
    });
  });

  it('of a server finds the configuration of its team below the config root', () => {
    expect(describeWith({ team: 'acme', configRoot: '/srv/teams/' })).toMatchObject({
      mode: 'server',
      team: 'acme',
      configRoot: '/srv/teams',
      teamConfigPath: '/srv/teams/acme/config.yml',
      nebulaBinary: '/usr/local/bin/nebula',
    });
  });

  it('needs a team in server mode and none in desktop mode', () => {
    expect(identifyService({ mode: 'server', team: 'a', daemon: undefined })).toEqual({ mode: 'server', team: 'a' });
    for (const options of [
      { mode: 'server', team: undefined },
      { mode: 'desktop', team: 'acme' },
      { mode: 'laptop', team: undefined },
    ]) {
      expect(() => identifyService({ ...options, daemon: undefined })).toThrow(
        expect.objectContaining({ code: 'service/bad-option' }),
      );
    }
  });

  it('takes no team name that could leave its folder or its unit name', () => {
    for (const team of ['', '../x', 'a/b', 'a b', 'a%i', '-a', 'a-', 'a\n', 'a.b', 'ä', 'a'.repeat(65)]) {
      expect(() => describeWith({ team })).toThrow(expect.objectContaining({ code: 'service/bad-option' }));
    }
  });

  it('takes no server address that could carry a secret, and does not repeat it', () => {
    for (const apiBase of [
      'https://u:hunter2@x.example',
      'https://x.example/?token=hunter2',
      'ftp://x',
      'hunter2',
      '',
    ]) {
      const attempt = () => describeWith({ team: 'a', apiBase });
      expect(attempt).toThrow(expect.objectContaining({ code: 'service/bad-option' }));
      expect(attempt).not.toThrow(/hunter2/);
    }
    expect(describeWith({ team: 'a', apiBase: 'https://X.example' })).toMatchObject({ apiBase: 'https://x.example/' });
  });

  it('says which socket path is too long for the system', () => {
    const socketPath = `/run/${'x'.repeat(120)}/cmd.sock`;
    expect(() => describeWith({ socketPath })).toThrow(expect.objectContaining({ code: 'ipc/path-too-long' }));
  });
});

describe('a path of a service', () => {
  it('may hold blanks, percent signs, dollars, umlauts and semicolons', () => {
    for (const path of ['/a b', '/100%h', `/$HOME/\${X}`, '/ü', '/a;b', '/#x', '/-x']) {
      expect(checkServicePath('x', path)).toBe(path);
    }
  });

  it('is freed of doubled and trailing slashes', () => {
    expect(checkServicePath('x', '//a///b/./c//')).toBe('/a/b/c');
  });

  it.each([
    ['relative', 'a/b'],
    ['empty', ''],
    ['the root', '//'],
    ['with a line break', '/a\nExecStartPre=/bin/x'],
    ['with a carriage return', '/a\rb'],
    ['with a NUL', '/a\0b'],
    ['with a C1 control', '/a\u0085b'],
    ['with a line separator', '/a\u2028b'],
    ['with half a character', '/a\ud800b'],
    ['with what XML cannot hold', '/a\uffffb'],
    ['with a double quote', '/a"b'],
    ['with a single quote', "/a'b"],
    ['with a backslash', '/a\\b'],
    ['that climbs', '/a/../b'],
    ['too long', `/${'x'.repeat(SERVICE_PATH_BYTES_MAX)}`],
  ])('is refused: %s', (_, path) => {
    expect(() => checkServicePath('the config root', path)).toThrow(
      expect.objectContaining({ code: 'service/bad-path', message: expect.stringMatching(/^Path of the config root/) }),
    );
  });

  it('never breaks a line of a unit or of the message, whatever it was', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (rest) => {
        try {
          expect(checkServicePath('x', `/${rest}`)).not.toMatch(/[\n\r"'\\]/);
        } catch (error) {
          expect(error).toMatchObject({ code: 'service/bad-path' });
          expect((error as Error).message).not.toMatch(/\n|\r/);
        }
      }),
    );
  });
});
