import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { activeInterface, handshakePeer } from './log-facts.ts';
import { type NebulaLogLine, parseLogLine } from './log-line.ts';

interface RecordedLog {
  readonly file: string;
  readonly format: 'json' | 'text';
  readonly up: boolean;
  readonly text: string;
}

const LOGS = JSON.parse(
  readFileSync(new URL('../../test/vectors/nebula/recorded-logs.json', import.meta.url), 'utf8'),
) as RecordedLog[];

const VERSIONS = ['1.6.1', '1.11.1'];
const FORMATS = ['json', 'text'];

function linesOf(name: string): NebulaLogLine[] {
  const log = LOGS.find(({ file }) => file === `${name}.log`);
  if (log === undefined) throw new Error(`no recording ${name}`);
  return log.text.split('\n').filter(Boolean).map(parseLogLine);
}

describe('a line of Nebula’s log', () => {
  it.each(LOGS.map((log) => [log.file, log] as const))('is understood in %s', (file, { text }) => {
    const unstructured = text.split('\n').filter((line) => line !== '' && !parseLogLine(line).isStructured);
    const allowed = /^(failed to |\d{4}\/)/;
    expect(unstructured.filter((line) => !allowed.test(line))).toEqual([]);
    if (!/bad-config--(yaml|level|format)|stderr/.test(file)) expect(unstructured).toEqual([]);
  });

  it('has the same parts in both formats of both versions', () => {
    const lines = VERSIONS.flatMap((version) => FORMATS.map((format) => linesOf(`shutdown.${version}.${format}`)[0]));
    for (const line of lines) {
      expect(line).toMatchObject({ level: 'info', message: 'Caught signal, shutting down' });
      expect(line?.fields).toEqual({ signal: 'terminated' });
    }
    expect(lines.map((line) => new Date(line?.unixMs ?? 0).toISOString())).toEqual([
      '2026-11-21T08:47:32.000Z',
      '2026-11-21T08:47:56.000Z',
      '2026-11-21T08:48:19.725Z',
      '2026-11-21T08:48:44.753Z',
    ]);
  });

  it.each(VERSIONS.flatMap((version) => FORMATS.map((format) => [version, format])))(
    'has one of four levels, trace is debug and fatal is error (%s %s)',
    (version, format) => {
      const levels = new Set(linesOf(`levels.${version}.${format}`).map((line) => line.level));
      expect([...levels].sort().filter((level) => level !== 'warn')).toEqual(['debug', 'info']);
      expect(linesOf(`no-privilege--late.${version}.${format}`).at(-1)?.level).toBe('error');
    },
  );

  it('keeps what Go quoted', () => {
    const [, line] = linesOf('bad-cert--ca-expired.1.6.1.text').reverse();
    expect(line?.fields['cert']).toContain('NebulaCertificate {\n\tDetails {\n\t\tName: shortca\n');
    expect(linesOf('bad-config--level.1.6.1.json').at(-1)?.error).toContain(
      'not a valid logrus Level: "foo"; possible',
    );
  });

  it('without structure is a message of its own', () => {
    const fatal = parseLogLine('failed to load config: yaml: line 1: did not find expected node content');
    expect(fatal).toMatchObject({ level: 'error', unixMs: undefined, isStructured: false });
    expect(parseLogLine('goroutine 1 [running]:')).toMatchObject({ level: 'info', message: 'goroutine 1 [running]:' });
    expect(parseLogLine('{"a":1}')).toMatchObject({ message: '{"a":1}', isStructured: false });
    expect(parseLogLine('')).toMatchObject({ message: '', isStructured: false });
  });

  it('without a time, or with one in a format of the user, has none', () => {
    expect(parseLogLine('{"level":"info","msg":"Goodbye"}').unixMs).toBeUndefined();
    expect(parseLogLine('level=info msg=Goodbye')).toMatchObject({ message: 'Goodbye', unixMs: undefined });
    expect(parseLogLine('{"level":"info","msg":"Goodbye","time":"Nov 21"}').unixMs).toBeUndefined();
  });

  it('longer than 8 KiB is cut, level and message stay', () => {
    const long = `{"time":"2026-11-21T08:48:19Z","level":"WARN","msg":"big","cert":"${'ab '.repeat(9000)}"}`;
    expect(parseLogLine(long)).toMatchObject({
      level: 'warn',
      message: 'big',
      unixMs: Date.UTC(2026, 10, 21, 8, 48, 19),
    });
    expect(parseLogLine('x '.repeat(9000)).message.length).toBeLessThanOrEqual(8192);
  });

  it('never shows a private key', () => {
    const body = 'by+ipx/cW/NFy2FBTpGQ2x85Pi/ePWMCMcVtrb0iAkk=';
    const pem = `-----BEGIN NEBULA X25519 PRIVATE KEY-----\\n${body}\\n-----END NEBULA X25519 PRIVATE KEY-----`;
    const tested = [
      `{"time":"2026-11-21T08:48:19Z","level":"INFO","msg":"pki:\\n  key: ${pem}"}`,
      `time="2026-11-21T08:48:19Z" level=info msg="pki: ${pem}"`,
      `{"level":"INFO","msg":"${'x'.repeat(9000)}${pem}"}`,
      `    ${body}`,
    ];
    for (const line of tested) expect(JSON.stringify(parseLogLine(line))).not.toContain('by+ipx');
  });

  it('of any content is parsed without an error and without foreign prototypes', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.json(),
          fc.string().map((text) => `level=info msg=${text}`),
        ),
        (text) => {
          const line = parseLogLine(text);
          expect(typeof line.message).toBe('string');
          activeInterface(line);
          handshakePeer(line);
        },
      ),
    );
    const line = parseLogLine('{"level":"info","msg":"x","__proto__":{"polluted":1}}');
    expect(Object.getPrototypeOf(line.fields)).toBe(Object.prototype);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });
});

describe('the announcement of the interface', () => {
  it.each(LOGS.filter((log) => log.up).map(({ file }) => file.replace(/\.log$/, '')))('is found in %s', (name) => {
    const found = linesOf(name)
      .map(activeInterface)
      .filter((each) => each !== undefined);
    const isNew = name.includes('1.11.1');
    expect(found).toHaveLength(1);
    expect(found[0]).toMatchObject({
      device: 'team-a',
      networks: isNew ? ['10.78.0.2/24', 'fd78::2/64'] : ['10.77.0.2/24'],
    });
    expect(found[0]?.udpPort).toBeGreaterThan(1023);
  });
});

describe('the peer of a handshake', () => {
  const NEW = { vpnAddresses: ['10.78.0.1', 'fd78::1'], certName: 'lh', remote: '10.99.0.11:4242', isRelayed: false };
  const OLD = { ...NEW, vpnAddresses: ['10.77.0.1'] };

  it.each(FORMATS)('is the same in both versions (%s)', (format) => {
    expect(linesOf(`handshake.1.11.1.${format}`).map(handshakePeer)).toEqual([undefined, NEW]);
    expect(linesOf(`handshake.1.6.1.${format}`).map(handshakePeer)).toEqual([undefined, OLD]);
    expect(handshakePeer(linesOf(`handshake-responder.1.11.1.${format}`)[0]!)?.certName).toBe('a');
    expect(handshakePeer(linesOf(`handshake-responder.1.6.1.${format}`)[0]!)?.vpnAddresses).toEqual(['10.77.0.2']);
  });

  it.each(FORMATS)('may be behind a relay (%s)', (format) => {
    expect(handshakePeer(linesOf(`relay.1.11.1.${format}`).at(-1)!)).toEqual({
      vpnAddresses: ['10.78.0.8', 'fd78::8'],
      certName: 'k',
      remote: '10.99.0.11:4242',
      isRelayed: true,
    });
    expect(handshakePeer(linesOf(`relay.1.6.1.${format}`).at(-1)!)).toEqual({
      vpnAddresses: ['10.77.0.3'],
      certName: 'b',
      remote: undefined,
      isRelayed: true,
    });
  });
});
