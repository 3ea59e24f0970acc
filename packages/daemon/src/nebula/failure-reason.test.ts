import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { explainExit } from './failure-reason.ts';
import { type NebulaLogLine, parseLogLine } from './log-line.ts';

interface RecordedLog {
  readonly file: string;
  readonly stream: 'stdout' | 'stderr';
  readonly exit: number | null;
  readonly reason: string | null;
  readonly text: string;
}

const LOGS = JSON.parse(
  readFileSync(new URL('../../test/vectors/nebula/recorded-logs.json', import.meta.url), 'utf8'),
) as RecordedLog[];

const CODES: Readonly<Record<string, string>> = {
  pki_missing: 'nebula/pki-missing',
  pki_invalid: 'nebula/pki-invalid',
  pki_mismatch: 'nebula/pki-mismatch',
  cert_expired: 'nebula/certificate-expired',
  pki_ca_expired: 'nebula/ca-expired',
  tun_busy: 'nebula/device-busy',
  tun_name_conflict: 'nebula/device-conflict',
  tun_lost: 'nebula/device-lost',
  no_privilege: 'nebula/no-privilege',
  port_in_use: 'nebula/port-in-use',
  stats_port_in_use: 'nebula/stats-port-in-use',
  config_invalid: 'nebula/config-invalid',
};

function parse(text: string): NebulaLogLine[] {
  return text.split('\n').filter(Boolean).map(parseLogLine);
}

function recording(file: string): NebulaLogLine[] {
  return parse(LOGS.find((log) => log.file === file)?.text ?? '');
}

const ENDED = LOGS.filter(({ exit, stream }) => exit !== null && stream === 'stdout');
const EXIT_1 = { code: 1, signal: null };

describe('the reason of an exit', () => {
  it.each(ENDED.map((log) => [log.file, log.reason, log] as const))('of %s is %s', (file, reason, { exit }) => {
    const lines = [...recording(file), ...recording(file.replace(/\.log$/, '.stderr.log'))];
    const found = explainExit(lines, { code: exit, signal: null });
    expect(found.code).toBe(reason === null ? 'nebula/stopped' : CODES[reason]);
    expect(found.message).not.toContain('\n');
  });

  it('covers every reason that was recorded', () => {
    expect(new Set(LOGS.flatMap(({ reason }) => (reason === null ? [] : [reason])))).toEqual(
      new Set(Object.keys(CODES)),
    );
  });

  it('tells whether another start may help', () => {
    const adviceOf = (file: string) => explainExit(recording(file), EXIT_1).retry;
    expect(adviceOf('bad-cert--expired.1.11.1.json.log')).toBe('never');
    expect(adviceOf('no-privilege.1.6.1.text.log')).toBe('never');
    expect(adviceOf('bad-config--yaml.1.11.1.json.log')).toBe('never');
    expect(adviceOf('device-taken.1.11.1.json.log')).toBe('few');
    expect(adviceOf('port-taken.1.6.1.json.log')).toBe('few');
    expect(adviceOf('device-deleted.1.11.1.json.log')).toBe('backoff');
    expect(explainExit([], { code: 0, signal: null }).retry).toBe('backoff');
  });

  it('is the signal when there was one', () => {
    const found = explainExit(recording('bad-cert--expired.1.11.1.json.log'), { code: null, signal: 'SIGKILL' });
    expect(found).toEqual({ code: 'nebula/killed', message: 'Nebula was killed by "SIGKILL"', retry: 'backoff' });
  });

  it('is not what peers or a failed reload caused earlier', () => {
    const lines = [
      ...recording('start.1.11.1.json.log'),
      ...recording('peer-expired.1.11.1.json.log'),
      ...recording('reload.1.11.1.json.log'),
      parseLogLine(
        '{"level":"ERROR","msg":"Failed to send handshake message","error":"sendto: operation not permitted"}',
      ),
    ];
    expect(explainExit(lines, { code: 2, signal: null }).code).toBe('nebula/crashed');
    expect(explainExit(lines, EXIT_1).code).toBe('nebula/start-failed');
    const deleted = [...lines, ...recording('device-deleted.1.11.1.json.log')];
    expect(explainExit(deleted, { code: 2, signal: null }).code).toBe('nebula/device-lost');
  });

  it('of a panic quotes the panic', () => {
    const lines = parse('panic: runtime error: index out of range\n\ngoroutine 1 [running]:\nmain.main()');
    expect(explainExit(lines, { code: 2, signal: null }).message).toBe(
      'Nebula crashed with exit status 2 (Nebula: "panic: runtime error: index out of range")',
    );
  });

  it('is bounded, however long the line', () => {
    const line = parseLogLine(`{"level":"ERROR","msg":"odd","error":"${'very '.repeat(1000)}"}`);
    expect(explainExit([line], EXIT_1).message.length).toBeLessThan(400);
  });

  it('without any line is still one', () => {
    expect(explainExit([], EXIT_1)).toMatchObject({ code: 'nebula/start-failed' });
    expect(explainExit([], { code: null, signal: null })).toMatchObject({ code: 'nebula/crashed' });
  });
});
