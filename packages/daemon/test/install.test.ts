import { spawnSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isOurUnit } from '../src/service/unit-names.ts';

const INSTALLER = fileURLToPath(new URL('../install/install.mjs', import.meta.url));
const isBuilt = existsSync(new URL('../dist/bundle/heddle.js', import.meta.url));
const isPossible = isBuilt && process.platform !== 'win32';
const NEEDS_BUILD = isPossible ? '' : ' (skipped: not built)';

let folder = '';
let prefix = '';
let stage = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'heddle-install-'));
  prefix = join(folder, 'my prefix');
  stage = join(folder, 'stage');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const call = (program: string, ...args: string[]) => spawnSync(program, args, { encoding: 'utf8', timeout: 60_000 });
const run = (verb: string, ...daemons: string[]) =>
  call(process.execPath, INSTALLER, verb, '--prefix', prefix, '--destdir', stage, ...daemons);
const staged = (path: string) => join(stage, prefix, path);
const programs = () => readdirSync(staged('bin')).sort();

function succeeds(verb: string, ...daemons: string[]): void {
  expect(run(verb, ...daemons)).toMatchObject({ status: 0, stderr: '' });
}

describe.skipIf(!isPossible)(`an installation below a prefix${NEEDS_BUILD}`, () => {
  it('runs from there, with its native parts, without the checkout', () => {
    succeeds('install', 'tun', 'subnet');
    renameSync(join(stage, prefix), prefix);
    const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
    const said = call(join(prefix, 'bin/heddle'), 'version', '--json');
    expect(said).toMatchObject({ status: 0, stderr: '' });
    expect(JSON.parse(said.stdout)).toMatchObject({ version });
    const script = `
      const load = require('node:module').createRequire(process.argv[1]);
      if (load('koffi').sizeof('int') !== 4) throw new Error('koffi');
      const db = new (load('classic-level').ClassicLevel)(process.argv[2]);
      db.put('a', 'b').then(() => db.get('a')).then(console.log);`;
    const installed = join(prefix, 'lib/heddle/bin/heddle.js');
    expect(call(process.execPath, '-e', script, installed, join(folder, 'db'))).toMatchObject({
      stdout: 'b\n',
      stderr: '',
    });
  });

  it('has no link into the checkout, and everybody may read it', () => {
    const umask = process.umask(0o077);
    succeeds('install', 'tun');
    process.umask(umask);
    const paths = readdirSync(staged('lib/heddle'), { recursive: true, encoding: 'utf8' }).map((path) =>
      staged(`lib/heddle/${path}`),
    );
    expect(paths.length).toBeGreaterThan(50);
    expect(paths.filter((path) => lstatSync(path).isSymbolicLink())).toEqual([]);
    expect(paths.filter((path) => ![0o755, 0o644].includes(statSync(path).mode & 0o777))).toEqual([]);
    expect(statSync(staged('bin/heddle')).mode & 0o777).toBe(0o755);
  });

  it('has programs that "heddle uninstall" knows as its own', () => {
    succeeds('install', 'tun');
    expect(programs()).toEqual(['heddle', 'tun-daemon']);
    for (const name of programs()) expect(isOurUnit(readFileSync(staged(`bin/${name}`), 'utf8'))).toBe(true);
    expect(readFileSync(staged('bin/tun-daemon'), 'utf8')).toContain(
      `\nexec '${process.execPath}' '${prefix}/lib/heddle/bin/tun-daemon.js' "$@"\n`,
    );
  });

  it('makes logs for administrators and a state folder for root, and keeps what is in them', () => {
    succeeds('install', 'tun');
    const log = join(stage, 'var/log/tun_daemon.log');
    expect(statSync(log).mode & 0o777).toBe(0o640);
    expect(statSync(join(stage, 'var/lib/tech.deltaops.cvpn')).mode & 0o777).toBe(0o700);
    writeFileSync(log, 'old\n');
    succeeds('install', 'tun');
    expect(readFileSync(log, 'utf8')).toBe('old\n');
    expect(existsSync(join(stage, 'var/log/subnet_daemon.log'))).toBe(false);
  });

  it('may be repeated, and replaces the package as a whole', () => {
    succeeds('install', 'tun');
    writeFileSync(staged('lib/heddle/dist/bundle/left-over.js'), '');
    succeeds('install', 'tun', 'subnet');
    expect(existsSync(staged('lib/heddle/dist/bundle/left-over.js'))).toBe(false);
    expect(readdirSync(staged('lib'))).toEqual(['heddle']);
    expect(programs()).toEqual(['heddle', 'subnet-daemon', 'tun-daemon']);
  });

  it('does not replace what is somebody else’s', () => {
    mkdirSync(staged('bin'), { recursive: true });
    symlinkSync('/usr/lib/node_modules/heddle/bin/heddle.js', staged('bin/heddle'));
    expect(run('install', 'tun')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('was not written by heddle'),
    });
    expect(existsSync(staged('lib'))).toBe(false);
    rmSync(staged('bin/heddle'));
    mkdirSync(staged('lib/heddle'), { recursive: true });
    expect(run('install', 'tun')).toMatchObject({ status: 1, stderr: expect.stringContaining("is not heddle's") });
    expect(run('uninstall', 'tun')).toMatchObject({ status: 1, stderr: expect.stringContaining("is not heddle's") });
    expect(existsSync(staged('lib/heddle'))).toBe(true);
  });

  it.each([[['install']], [['install', 'team']], [['remove', 'tun']]])(
    'refuses what it does not know: %o',
    ([verb, ...daemons]) => {
      expect(run(verb as string, ...daemons)).toMatchObject({
        status: 1,
        stderr: expect.stringMatching(/^heddle: Say /),
      });
      expect(existsSync(stage)).toBe(false);
    },
  );

  it('refuses a prefix that its programs could not quote', () => {
    for (const bad of ["/a'b", 'relative', '/a\nb', '/a"b']) {
      prefix = bad;
      expect(run('install', 'tun')).toMatchObject({ status: 1, stderr: expect.stringContaining('PREFIX') });
    }
    expect(existsSync(stage)).toBe(false);
  });
});

describe.skipIf(!isPossible)(`a removal below a prefix${NEEDS_BUILD}`, () => {
  it('keeps the package until the last daemon goes', () => {
    succeeds('install', 'tun', 'subnet');
    succeeds('uninstall', 'tun');
    expect(programs()).toEqual(['heddle', 'subnet-daemon']);
    expect(existsSync(staged('lib/heddle/package.json'))).toBe(true);
    succeeds('uninstall', 'subnet');
    expect([programs(), readdirSync(staged('lib')), readdirSync(join(stage, 'var/log'))]).toEqual([[], [], []]);
    expect(existsSync(join(stage, 'var/lib/tech.deltaops.cvpn'))).toBe(false);
  });

  it('may be repeated, and misses nothing', () => {
    succeeds('uninstall', 'tun', 'subnet');
    succeeds('install', 'tun');
    rmSync(staged('bin/tun-daemon'));
    succeeds('uninstall', 'tun', 'subnet');
    succeeds('uninstall', 'tun', 'subnet');
    expect(programs()).toEqual([]);
  });

  it('leaves what is somebody else’s', () => {
    succeeds('install', 'tun');
    rmSync(staged('bin/tun-daemon'));
    writeFileSync(staged('bin/tun-daemon'), '#!/bin/sh\necho theirs\n');
    succeeds('uninstall', 'tun');
    expect(readFileSync(staged('bin/tun-daemon'), 'utf8')).toContain('theirs');
    expect(existsSync(staged('lib/heddle'))).toBe(false);
  });
});
