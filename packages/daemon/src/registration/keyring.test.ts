import { describe, expect, it } from 'vitest';
import { type Command, type CommandOutcome, runCommand } from './command-runner.ts';
import { findKeyring, type Keyring } from './keyring.ts';

const SECRET = 'node-token-"$(x)-SECRET';
const entry = { account: 'acme/1@vpn.example.com:8443' };

/** Plays both programs from what reaches their standard input. */
class FakePrograms {
  readonly calls: Command[] = [];
  secret: string | undefined;
  isLocked = false;

  readonly run = async (call: Command): Promise<CommandOutcome> => {
    this.calls.push(call);
    const [verb] = call.args;
    if (verb === 'store' && !this.isLocked) this.secret = call.input;
    const hex = /-X ([0-9a-f]+)\n$/.exec(call.input)?.[1];
    if (verb === '-i' && hex !== undefined && !this.isLocked) this.secret = Buffer.from(hex, 'hex').toString();
    if (verb === 'clear' || verb === 'delete-generic-password') this.secret = undefined;
    const isLookup = verb === 'lookup' || verb === 'find-generic-password';
    if (isLookup && this.secret === undefined) return { kind: 'exited', status: 1, stdout: '' };
    return { kind: 'exited', status: 0, stdout: isLookup ? `${this.secret}${verb === 'lookup' ? '' : '\n'}` : '' };
  };
}

function keyringOf(platform: NodeJS.Platform, programs: FakePrograms): Keyring {
  return findKeyring({ platform, uid: 1000, run: programs.run }) as Keyring;
}

describe.each(['linux', 'darwin'] as const)('the keyring of %s', (platform) => {
  it('keeps, finds and forgets a secret, which is no argument of any program', async () => {
    const programs = new FakePrograms();
    const keyring = keyringOf(platform, programs);
    expect(await keyring.lookup(entry)).toBeUndefined();
    expect(await keyring.store(entry, SECRET)).toBe(true);
    expect(await keyring.lookup(entry)).toBe(SECRET);
    await keyring.remove(entry);
    expect(await keyring.lookup(entry)).toBeUndefined();
    const words = programs.calls.flatMap(({ command, args }) => [command, ...args]).join(' ');
    expect(words).not.toContain(SECRET);
    expect(words).not.toContain(Buffer.from(SECRET).toString('hex'));
    expect(words).toContain(entry.account);
  });

  it('that says yes and keeps nothing counts as none', async () => {
    const programs = new FakePrograms();
    programs.isLocked = true;
    expect(await keyringOf(platform, programs).store(entry, SECRET)).toBe(false);
  });

  it('is not asked about an account that could be more than a word', async () => {
    const programs = new FakePrograms();
    const keyring = keyringOf(platform, programs);
    for (const account of ['a" -w x', 'a\nb', '', 'a'.repeat(201)]) {
      expect(await keyring.store({ account }, SECRET)).toBe(false);
      expect(await keyring.lookup({ account })).toBeUndefined();
    }
    expect(programs.calls).toEqual([]);
  });

  it('without its program is no keyring', async () => {
    const run = async (): Promise<CommandOutcome> => ({ kind: 'failed', reason: 'ENOENT' });
    const keyring = findKeyring({ platform, uid: 1000, run }) as Keyring;
    expect(await keyring.store(entry, SECRET)).toBe(false);
    expect(await keyring.lookup(entry)).toBeUndefined();
  });
});

describe('there is no keyring', () => {
  it('for root, whose services have no session, and where the system has none', () => {
    const { run } = new FakePrograms();
    for (const [platform, uid] of [
      ['linux', 0],
      ['darwin', 0],
      ['win32', undefined],
      ['freebsd', 1000],
    ] as const) {
      expect(findKeyring({ platform, uid, run })).toBeUndefined();
    }
  });
});

describe('a program', () => {
  const node = (code: string, given: Partial<Command> = {}): Promise<CommandOutcome> =>
    runCommand({
      command: process.execPath,
      args: ['-e', code],
      input: '',
      timeoutMs: 15_000,
      outputBytesMax: 1000,
      ...given,
    });

  it('gets its input and gives its output and status', async () => {
    const echo = 'process.stdin.on("data", (d) => process.stdout.write(d)).on("end", () => (process.exitCode = 3))';
    expect(await node(echo, { input: SECRET })).toEqual({ kind: 'exited', status: 3, stdout: SECRET });
  });

  it('that is not there, dies, hangs or talks without end has failed', async () => {
    expect(await node('', { command: '/nonexistent/program' })).toEqual({ kind: 'failed', reason: 'ENOENT' });
    expect(await node('process.kill(process.pid, "SIGKILL")')).toEqual({ kind: 'failed', reason: 'SIGKILL' });
    expect(await node('setInterval(() => {}, 1000)', { timeoutMs: 50 })).toEqual({ kind: 'failed', reason: 'timeout' });
    const endless =
      'const f = () => { while (process.stdout.write("x".repeat(9999))); }; process.stdout.on("drain", f); f()';
    expect(await node(endless)).toEqual({ kind: 'failed', reason: 'too much output' });
  });

  it('that ends without reading its input has its own status', async () => {
    expect(await node('process.exit(4)', { input: 'x'.repeat(1_000_000) })).toMatchObject({ status: 4 });
  });
});
