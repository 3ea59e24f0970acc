import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseContent } from './entry-reader.ts';
import { type RuntimeRecord, TEAM_COUNT_MAX, TEAMS_VERSION, type TeamRecord, VALUE_BYTES_MAX } from './records.ts';
import { applyChange, copyChange, createContent, type StoreChange } from './store-content.ts';
import { diffEntries, ENTRY_COUNT_MAX, formatContent, isSyncedKey, type StoreEntries } from './store-entries.ts';

const META = { schemaVersion: TEAMS_VERSION, instanceId: 'id-1', createdUnixMs: 5 };

function team(name: string, fields: Partial<TeamRecord> = {}): TeamRecord {
  return {
    name,
    kind: 'nebula',
    configPath: '/etc/t/config.yml',
    desired: 'up',
    isAutostart: true,
    networks: ['10.1.0.0/24', 'fd00::/64'],
    createdUnixMs: 1,
    updatedUnixMs: 2,
    ...fields,
  };
}

function runtime(name: string, fields: Partial<RuntimeRecord> = {}): RuntimeRecord {
  const base = { team: name, pid: 7, startMark: '12-ab', bootId: 'ab', state: 'up', sinceUnixMs: 3, restarts: 0 };
  return { ...base, ...fields };
}

const CHANGE: StoreChange = [
  {
    kind: 'put-team',
    team: team('acme', { device: 'cvpn1', listenPort: 0, proxyPort: 16_579, certNotAfterUnixMs: 9 }),
  },
  { kind: 'put-team', team: team('b', { kind: 'tailnet', networks: [] }) },
  {
    kind: 'put-runtime',
    runtime: runtime('acme', {
      lastExit: { code: null, signal: 'SIGKILL' },
      lastError: { code: 'nebula/crash-loop', message: 'x' },
      renderedPath: '/run/acme.yml',
      device: 'cvpn1',
    }),
  },
  { kind: 'set-active-team', name: 'acme' },
];
const content = applyChange(createContent(META), CHANGE);

function edit(edits: Readonly<Record<string, string | undefined>>): StoreEntries {
  const entries = new Map(formatContent(content));
  for (const [key, text] of Object.entries(edits)) {
    if (text === undefined) entries.delete(key);
    else entries.set(key, text);
  }
  return entries;
}

describe('the texts of a store', () => {
  it('hold every record under its key, and are read back', () => {
    const entries = formatContent(content);
    expect([...entries.keys()]).toEqual(['meta', 'setting/activeTeam', 'team/acme', 'team/b', 'runtime/acme', 'check']);
    expect(parseContent(entries)).toEqual({ kind: 'ok', content });
    expect(parseContent(formatContent(createContent(META)))).toEqual({ kind: 'ok', content: createContent(META) });
  });

  it('are refused with the key of the record that cannot be read', () => {
    const other = JSON.stringify(team('other'));
    const cases: [Record<string, string | undefined>, string, RegExp][] = [
      [{ meta: undefined }, 'meta', /missing/],
      [{ check: undefined }, 'check', /missing/],
      [{ check: '{"digest":"0"}' }, 'check', /SHA-256/],
      [{ 'team/acme': '{"name":' }, 'team/acme', /not JSON/],
      [{ 'team/acme': '[]' }, 'team/acme', /expected an object$/],
      [{ 'team/acme': other }, 'team/acme', /another team/],
      [{ 'team/acme': JSON.stringify({ ...team('acme'), desired: 'maybe' }) }, 'team/acme', /up, down as "desired"/],
      [{ 'runtime/acme': JSON.stringify(runtime('b')) }, 'runtime/acme', /another team/],
      [{ 'runtime/acme': '{}' }, 'runtime/acme', /"team"/],
      [{ 'setting/activeTeam': '7' }, 'setting/activeTeam', /a name/],
      [{ 'setting/other': '7' }, 'setting/other', /no record/],
      [{ 'team/acme': `"${'x'.repeat(VALUE_BYTES_MAX)}"` }, 'team/acme', /more than 65536 bytes/],
    ];
    for (const [edits, key, reason] of cases) {
      expect(parseContent(edit(edits))).toEqual({ kind: 'bad', key, reason: expect.stringMatching(reason) });
    }
  });

  it('are refused when a record has vanished, came back, or is an older one', () => {
    const older = JSON.stringify(team('acme', { updatedUnixMs: 1 }));
    expect(parseContent(edit({ 'runtime/acme': undefined })).kind).toBe('ok');
    for (const edits of [{ 'team/b': undefined }, { 'team/c': JSON.stringify(team('c')) }, { 'team/acme': older }]) {
      expect(parseContent(edit(edits))).toMatchObject({ kind: 'bad', key: 'check' });
    }
  });

  it('of a later schema are told apart, whatever else they hold', () => {
    const meta = JSON.stringify({ ...META, schemaVersion: 3 });
    expect(parseContent(edit({ meta, 'team/acme': '?' }))).toEqual({ kind: 'newer', schemaVersion: 3 });
  });

  it('never make the reader throw', () => {
    const key = fc.oneof(fc.constantFrom(...formatContent(content).keys()), fc.string());
    const text = fc.oneof(fc.json(), fc.string());
    fc.assert(
      fc.property(fc.array(fc.tuple(key, text), { maxLength: 4 }), (edits) => {
        parseContent(edit(Object.fromEntries(edits)));
      }),
    );
  });
});

describe('a change', () => {
  it('leaves the content it was applied to as it was', () => {
    const before = formatContent(content);
    applyChange(content, [
      { kind: 'delete-team', name: 'acme' },
      { kind: 'delete-runtime', team: 'acme' },
      { kind: 'set-active-team', name: undefined },
    ]);
    expect(formatContent(content)).toEqual(before);
  });

  it('is copied with nothing but the fields of the records', () => {
    const mutable = { ...team('a'), networks: ['10.0.0.0/8'], password: 'secret' };
    const copy = copyChange([{ kind: 'put-team', team: mutable }]);
    mutable.networks.push('x');
    expect(copy).toEqual([{ kind: 'put-team', team: team('a', { networks: ['10.0.0.0/8'] }) }]);
  });

  it('with a bad record is the mistake of the caller', () => {
    for (const fields of [
      { name: '../x' },
      { device: 'waytoolongdevicename' },
      { listenPort: 65_536 },
      { networks: ['10.0.0.1'] },
      { configPath: 'x'.repeat(4097) },
    ]) {
      expect(() => copyChange([{ kind: 'put-team', team: team('a', fields) }])).toThrow(TypeError);
    }
    expect(() => copyChange([{ kind: 'put-runtime', runtime: runtime('a', { pid: 0 }) }])).toThrow(
      /^Bad runtime.pid: /,
    );
    expect(() => copyChange([{ kind: 'set-active-team', name: '' }])).toThrow(TypeError);
  });

  it('cannot make more teams than there may be', () => {
    const many = Array.from({ length: TEAM_COUNT_MAX }, (_, i) => ({ kind: 'put-team', team: team(`t${i}`) }) as const);
    const full = applyChange(applyChange(createContent(META), many), [{ kind: 'set-active-team', name: 't0' }]);
    expect(formatContent(full).size).toBeLessThanOrEqual(ENTRY_COUNT_MAX);
    expect(() => applyChange(full, [{ kind: 'put-team', team: team('more') }])).toThrow(RangeError);
  });

  it('is written as what differs, and may be lost with the power only if that is runtime records', () => {
    const isSynced = (writes: readonly { readonly key: string }[]) => writes.some(({ key }) => isSyncedKey(key));
    const writesOf = (change: StoreChange) =>
      diffEntries(formatContent(content), formatContent(applyChange(content, change)));
    expect(writesOf([{ kind: 'put-team', team: team('b', { kind: 'tailnet', networks: [] }) }])).toEqual([]);
    const deletes = writesOf([{ kind: 'delete-team', name: 'b' }]);
    expect(deletes.map(({ type, key }) => `${type} ${key}`)).toEqual(['del team/b', 'put check']);
    expect(isSynced(deletes)).toBe(true);
    expect(isSynced(writesOf([{ kind: 'set-active-team', name: 'b' }]))).toBe(true);
    expect(isSynced(writesOf([{ kind: 'put-runtime', runtime: runtime('b') }]))).toBe(false);
  });

  it('of the largest record fits a value', () => {
    const path = '\u0001'.repeat(4096);
    const largest = runtime('a', {
      renderedPath: path,
      lastError: { code: 'c'.repeat(64), message: '\u0001'.repeat(1024) },
    });
    const teamRecord = team('a', { configPath: path, networks: Array(256).fill(`${'f'.repeat(45)}/128`) });
    const change = copyChange([
      { kind: 'put-team', team: teamRecord },
      { kind: 'put-runtime', runtime: largest },
    ]);
    const entries = formatContent(applyChange(createContent(META), change));
    expect(parseContent(entries).kind).toBe('ok');
  });
});
