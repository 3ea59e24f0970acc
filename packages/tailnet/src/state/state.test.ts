import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generatePrivateKey } from '@heddle/proto/keys/private-key';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TailnetError } from '../tailnet-error.ts';
import type { LogLine } from '../types.ts';
import { loadOrCreateKeys, type NodeKeys, storeNodeKey } from './node-keys.ts';
import { openStateDir, type StateDir } from './state-dir.ts';
import { type FileSystem, nodeFileSystem } from './state-files.ts';

const SERVER = 'https://headscale.example.com';
const crypto = { x25519PublicKey: (key: Uint8Array) => key.map((byte) => byte ^ 0xff) };
let counter = 0;
const rng = {
  fill(bytes: Uint8Array): void {
    counter += 1;
    for (let i = 0; i < bytes.length; i++) bytes[i] = (counter * 37 + i * 7) & 0xff;
  },
};

let root: string;
let path: string;
let lines: LogLine[];
const open: StateDir[] = [];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'heddle-state-'));
  path = join(root, 'node');
  lines = [];
});
afterEach(() => {
  for (const dir of open.splice(0)) dir.close();
  rmSync(root, { recursive: true });
});

function load(controlUrl = SERVER, fs?: FileSystem): NodeKeys {
  return withDir((dir) => loadOrCreateKeys({ dir, crypto, rng, controlUrl }), fs);
}

function withDir<T>(use: (dir: StateDir) => T, fs?: FileSystem): T {
  const dir = openStateDir(path, { log: (line) => lines.push(line), fs });
  open.push(dir);
  try {
    return use(dir);
  } finally {
    dir.close();
  }
}

function texts(keys: NodeKeys): string[] {
  return [keys.machineKey.exposeText(), keys.nodeKey.exposeText()];
}

function replaceNodeKey(fs?: FileSystem): NodeKeys {
  const nodeKey = generatePrivateKey('node', crypto, rng);
  withDir((dir) => storeNodeKey({ dir, crypto, rng, controlUrl: SERVER }, nodeKey), fs);
  return { machineKey: load().machineKey, nodeKey };
}

function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(TailnetError);
    expect((error as TailnetError).message).not.toMatch(/privkey|\n/);
    return (error as TailnetError).code;
  }
  return 'none';
}

const file = (name: string): string => join(path, name);

describe('keys of a node', () => {
  it('are made once, in files 0600 in a directory 0700, and found again', () => {
    const first = texts(load());
    expect(new Set(first).size).toBe(2);
    expect(texts(load())).toEqual(first);
    expect(statSync(path).mode & 0o777).toBe(0o700);
    for (const name of ['state.json', 'state.json.bak']) expect(statSync(file(name)).mode & 0o777).toBe(0o600);
    expect(lines).toEqual([]);
  });

  it('stay when the same server is spelled differently, and are refused to another', () => {
    load('http://LOCALHOST:80/');
    expect(codeOf(() => load('http://localhost'))).toBe('none');
    expect(codeOf(() => load('http://localhost:8080'))).toBe('state/foreign');
  });

  it('get a new node key under the same machine key', () => {
    const [machine, node] = texts(load());
    const replaced = replaceNodeKey();
    expect(texts(replaced)[0]).toBe(machine);
    expect(texts(replaced)[1]).not.toBe(node);
    expect(texts(load())).toEqual(texts(replaced));
  });
});

describe('damage', () => {
  it('of the document, at every length, is repaired from the copy', () => {
    const keys = texts(load());
    const text = readFileSync(file('state.json'));
    for (let length = 0; length < text.length - 1; length += 13) {
      writeFileSync(file('state.json'), text.subarray(0, length));
      expect(texts(load())).toEqual(keys);
      expect(readFileSync(file('state.json'))).toEqual(text);
      expect(readFileSync(file('state.json.damaged')).length).toBe(length);
    }
    expect(lines.every((line) => line.fields?.['code'] === 'state/recovered')).toBe(true);
  });

  it('of one digit of a key is noticed', () => {
    const keys = texts(load());
    const text = readFileSync(file('state.json'), 'utf8');
    const at = text.indexOf('privkey:') + 20;
    writeFileSync(file('state.json'), `${text.slice(0, at)}${text[at] === '0' ? '1' : '0'}${text.slice(at + 1)}`);
    expect(texts(load())).toEqual(keys);
  });

  it('of both files is refused and changes nothing', () => {
    load();
    writeFileSync(file('state.json'), '{"format": "hed');
    writeFileSync(file('state.json.bak'), '');
    const before = readdirSync(path).filter((name) => !name.startsWith('lock'));
    expect(codeOf(load)).toBe('state/corrupt');
    expect(readdirSync(path).filter((name) => !name.startsWith('lock'))).toEqual(before);
    expect(readFileSync(file('state.json'), 'utf8')).toBe('{"format": "hed');
  });

  it('of a sole document without a copy is refused', () => {
    load();
    unlinkSync(file('state.json.bak'));
    writeFileSync(file('state.json'), new Uint8Array(300));
    expect(codeOf(load)).toBe('state/corrupt');
  });

  it('by a lost document or a lost copy is repaired', () => {
    const keys = texts(load());
    for (const name of ['state.json', 'state.json.bak']) {
      unlinkSync(file(name));
      expect(texts(load())).toEqual(keys);
      expect(existsSync(file(name))).toBe(true);
    }
  });

  it('by a crash before the copy was written leaves the newer document', () => {
    load();
    const old = readFileSync(file('state.json.bak'));
    const replaced = replaceNodeKey();
    writeFileSync(file('state.json.bak'), old);
    writeFileSync(file('.state.json.tmp'), 'half');
    expect(texts(load())).toEqual(texts(replaced));
    expect(readFileSync(file('state.json.bak'))).toEqual(readFileSync(file('state.json')));
  });
});

describe('a foreign directory', () => {
  it('of another program is refused and keeps its mode', () => {
    mkdirSync(path, { mode: 0o755 });
    writeFileSync(file('precious.db'), 'x');
    expect(codeOf(load)).toBe('state/foreign');
    expect(statSync(path).mode & 0o777).toBe(0o755);
    expect(readdirSync(path)).toEqual(['precious.db']);
  });

  it('with a document of another program, or of a later version, is refused', () => {
    load();
    writeFileSync(file('state.json'), '{"_machinekey": "x"}');
    expect(codeOf(load)).toBe('state/foreign');
    writeFileSync(file('state.json'), '{"format": "heddle-state", "version": 99}');
    expect(codeOf(load)).toBe('state/newer-version');
  });

  it.runIf(process.getuid?.() === 0)('of another user is refused, and so is a file of one', () => {
    load();
    chownSync(file('state.json'), 12345, 12345);
    expect(codeOf(load)).toBe('state/foreign');
    chownSync(path, 12345, 12345);
    expect(codeOf(load)).toBe('state/foreign');
  });

  it('whose document is a link, or which is no directory, is refused', () => {
    load();
    unlinkSync(file('state.json'));
    symlinkSync('/etc/passwd', file('state.json'));
    expect(codeOf(load)).toBe('state/foreign');
    rmSync(path, { recursive: true });
    writeFileSync(path, '');
    expect(codeOf(load)).toBe('state/foreign');
  });
});

describe('modes', () => {
  it('wider than needed are tightened, and the log says so', () => {
    load();
    chmodSync(path, 0o755);
    chmodSync(file('state.json'), 0o644);
    load();
    expect(statSync(path).mode & 0o777).toBe(0o700);
    expect(statSync(file('state.json')).mode & 0o777).toBe(0o600);
    expect(lines.map((line) => line.fields?.['code'])).toEqual(['state/mode-tightened', 'state/mode-tightened']);
  });
});

describe('one writer', () => {
  it('is all there can be, and the second learns the pid of the first', () => {
    const first = openStateDir(path);
    open.push(first);
    expect(codeOf(load)).toBe('state/locked');
    expect(() => load()).toThrow(String(process.pid));
    first.close();
    expect(codeOf(load)).toBe('none');
  });
});

describe('a full disk', () => {
  const full = (name: 'writeSync' | 'fsyncSync' | 'openSync', after: number): FileSystem => {
    let count = 0;
    const original = nodeFileSystem[name] as (...args: unknown[]) => unknown;
    const fail = (...args: unknown[]): unknown => {
      if (name === 'openSync' && args[1] !== 'wx') return original(...args);
      if (count++ >= after) throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
      return original(...args);
    };
    return { ...nodeFileSystem, [name]: fail };
  };

  it('at the first start leaves no trace and works later', () => {
    for (const name of ['openSync', 'writeSync', 'fsyncSync'] as const) {
      expect(codeOf(() => load(SERVER, full(name, 0)))).toBe('state/disk-full');
      expect(readdirSync(path).filter((entry) => !entry.startsWith('lock'))).toEqual([]);
    }
    expect(codeOf(load)).toBe('none');
  });

  it('at the copy costs only the copy', () => {
    const keys = texts(load(SERVER, full('writeSync', 1)));
    expect(lines.map((line) => line.fields?.['code'])).toEqual(['state/disk-full']);
    expect(texts(load())).toEqual(keys);
  });

  it('at a new node key keeps the old one', () => {
    const keys = texts(load());
    expect(codeOf(() => replaceNodeKey(full('fsyncSync', 0)))).toBe('state/disk-full');
    expect(texts(load())).toEqual(keys);
  });

  it('at a recovery still gives the keys, run after run', () => {
    const keys = texts(load());
    writeFileSync(file('state.json'), 'x');
    for (let run = 0; run < 3; run++) expect(texts(load(SERVER, full('writeSync', 0)))).toEqual(keys);
    expect(texts(load())).toEqual(keys);
    expect(existsSync(file('state.json'))).toBe(true);
  });
});
