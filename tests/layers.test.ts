import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const LINES_MAX = 500;

/** What each package may import besides itself, Node.js only where `node` is true. Anything else fails. */
const ALLOWED: Record<string, { node: boolean; packages: readonly string[] }> = {
  proto: { node: false, packages: ['@noble/'] },
  host: { node: true, packages: ['koffi'] },
  tailnet: { node: true, packages: ['@heddle/proto/', '@heddle/host/', 'fzstd'] },
  lab: { node: true, packages: ['@heddle/proto/', '@heddle/tailnet'] },
  daemon: {
    node: true,
    packages: [
      '@heddle/proto/',
      '@heddle/host/',
      '@heddle/tailnet',
      '@heddle/lab',
      'commander',
      'yaml',
      'classic-level',
    ],
  },
};

/** Folders of proto that may import only the named siblings; `node` alone may import every folder. */
const PROTO_FOLDERS: Record<string, readonly string[]> = {
  bytes: [],
  time: [],
  crypto: ['bytes'],
  keys: ['bytes', 'crypto'],
  ip: ['bytes'],
  stun: ['bytes', 'ip'],
  disco: ['bytes', 'crypto', 'keys', 'ip'],
  derp: ['bytes', 'time', 'crypto', 'keys'],
  noise: ['bytes', 'crypto', 'keys', 'time'],
  wireguard: ['bytes', 'time', 'crypto', 'keys'],
  filter: ['bytes', 'time', 'ip'],
  control: ['bytes', 'time', 'crypto', 'keys', 'ip', 'filter', 'dns'],
  routing: ['ip'],
  path: ['bytes', 'time', 'crypto', 'keys', 'ip', 'disco', 'stun'],
  netcheck: ['bytes', 'time', 'crypto', 'ip', 'stun', 'control'],
  netstack: ['bytes', 'time', 'crypto', 'ip'],
  dns: ['ip', 'control'],
  tsmp: ['bytes', 'keys', 'ip'],
};

/** As above, for the folders of daemon. The command line alone may import every folder. */
const DAEMON_FOLDERS: Record<string, readonly string[]> = {
  schema: [],
  plan: [],
  nebula: [],
  demo: [],
  socket: ['schema'],
  process: ['schema'],
  store: ['schema'],
  registration: ['schema', 'nebula'],
  service: ['schema', 'socket'],
  team: ['plan'],
  allocation: ['plan'],
  rest: ['schema', 'interfaces', 'process'],
  interfaces: ['schema', 'plan', 'allocation', 'store', 'config'],
  'interface-daemon': [
    'schema',
    'plan',
    'allocation',
    'store',
    'interfaces',
    'rest',
    'process',
    'config',
    'drivers',
    'team',
    'socket',
  ],
  config: ['schema', 'socket', 'team'],
  engine: ['schema', 'socket', 'process'],
  drivers: ['schema', 'socket', 'config', 'nebula', 'plan', 'team'],
  supervisor: [
    'schema',
    'socket',
    'process',
    'store',
    'config',
    'plan',
    'team',
    'drivers',
    'registration',
    'interfaces',
    'interface-daemon',
  ],
};

function sources(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) return name === 'node_modules' || name === 'dist' ? [] : sources(path);
    return name.endsWith('.ts') ? [path] : [];
  });
}

function imports(path: string): string[] {
  const text = readFileSync(path, 'utf8');
  return [...text.matchAll(/(?:^|[\s;])(?:from|import)\s*\(?\s*'([^']+)'/g)].map((match) => match[1] as string);
}

describe('imports', () => {
  for (const [name, allowed] of Object.entries(ALLOWED)) {
    it(`${name} imports only what its row allows`, () => {
      const bad = sources(join(ROOT, 'packages', name, 'src'))
        .filter((path) => !path.endsWith('.test.ts'))
        .flatMap((path) =>
          imports(path)
            .filter((target) => !target.startsWith('.'))
            .filter((target) => !(target.startsWith('node:') && allowed.node))
            .filter((target) => !allowed.packages.some((prefix) => target.startsWith(prefix)))
            .map((target) => `${relative(ROOT, path)} imports ${target}`),
        );
      expect(bad).toEqual([]);
    });
  }

  it.each([
    ['proto', PROTO_FOLDERS],
    ['daemon', DAEMON_FOLDERS],
  ])('the folders of %s import downwards', (name, folders) => {
    const base = join(ROOT, 'packages', name, 'src');
    const bad = Object.entries(folders).flatMap(([folder, allowed]) =>
      sources(join(base, folder))
        .filter((path) => !path.endsWith('.test.ts'))
        .flatMap((path) =>
          imports(path)
            .filter((target) => target.startsWith('..'))
            .map((target) => relative(base, join(path, '..', target)).split('/')[0] as string)
            .filter((other) => other !== folder && !allowed.includes(other))
            .map((other) => `${relative(base, path)} imports ${other}/`),
        ),
    );
    expect(bad).toEqual([]);
  });

  it.each<[string, Record<string, readonly string[]>, string]>([
    ['proto', PROTO_FOLDERS, 'node'],
    ['daemon', DAEMON_FOLDERS, 'cli'],
  ])('every folder of %s has a row', (name, rows, top) => {
    const folders = readdirSync(join(ROOT, 'packages', name, 'src'), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
    expect(folders.filter((folder) => folder !== top && !(folder in rows))).toEqual([]);
  });

  it('the wire schema imports nothing of ours', () => {
    const bad = sources(join(ROOT, 'packages/daemon/src/schema')).flatMap((path) =>
      imports(path)
        .filter((target) => target !== 'vitest' && !target.startsWith('./'))
        .map((target) => `${relative(ROOT, path)} imports ${target}`),
    );
    expect(bad).toEqual([]);
  });
});

describe('sizes', () => {
  it(`no source file has more than ${LINES_MAX} lines`, () => {
    const long = ['packages', 'tests', 'bench']
      .flatMap((folder) => sources(join(ROOT, folder)))
      .filter((path) => !path.endsWith('.generated.ts'))
      .map((path) => ({ path: relative(ROOT, path), lines: readFileSync(path, 'utf8').split('\n').length }))
      .filter(({ lines }) => lines > LINES_MAX);
    expect(long).toEqual([]);
  });
});
