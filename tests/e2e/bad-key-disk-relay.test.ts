import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statfsSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import { startLab } from '@heddle/lab';
import { describe, expect, it, type TestContext } from 'vitest';
import pem from '../../packages/tailnet/test/vectors/derp/certificates.json' with { type: 'json' };
import { HeddleCommand, IS_BUILT, toldBy } from '../support/heddle-command.ts';
import { HostileServer, hang } from '../support/hostile-server.ts';

// The built command line with bad keys, disks, state directories, relays and no network. Needs `npm run build`.

const AUTH_KEY = 'hskey-auth-SECRETSECRET';
const IS_ROOT = process.getuid?.() === 0;

type Context = Pick<TestContext, 'onTestFinished'>;

function commandOf({ onTestFinished }: Context): HeddleCommand {
  const heddle = new HeddleCommand();
  onTestFinished(() => heddle.close());
  return heddle;
}

async function labOf({ onTestFinished }: Context, ...[options]: Parameters<typeof startLab>) {
  const lab = await startLab(options);
  onTestFinished(() => lab.close());
  return lab;
}

/** Joins the lab once and leaves, so that there is a state directory to damage. */
async function joinOnce(heddle: HeddleCommand, lab: Awaited<ReturnType<typeof startLab>>): Promise<void> {
  const { status, err } = await heddle.connect(lab.controlUrl, [], lab.authKey);
  expect({ status, err }).toEqual({ status: 0, err: '' });
  expect((await heddle.disconnect()).status).toBe(0);
}

const suite = describe.runIf(IS_BUILT && process.platform === 'linux').concurrent;

suite('an auth key that', () => {
  it('is unknown', async (context) => {
    const lab = await labOf(context);
    const heddle = commandOf(context);
    const told = toldBy(await heddle.connect(lab.controlUrl, [], AUTH_KEY));
    expect(told).toMatchObject({ code: 'control/invalid-auth-key', status: 6 });
    expect(told.message).toContain('"invalid pre auth key"');
    expect(told.next).toContain('--auth-key-file');
    expect(lab.nodes()).toEqual([]);
    await heddle.expectNothingLeft(AUTH_KEY);
  });

  it('was used up by another node', async (context) => {
    const lab = await labOf(context);
    const key = lab.createAuthKey({ isReusable: false });
    const first = commandOf(context);
    expect((await first.connect(lab.controlUrl, [], key)).status).toBe(0);
    const second = commandOf(context);
    const told = toldBy(await second.connect(lab.controlUrl, [], key));
    expect(told).toMatchObject({ code: 'control/invalid-auth-key', status: 6 });
    expect(told.message).toContain('already used');
    await second.expectNothingLeft(key);
    await first.disconnect();
    expect((await first.connect(lab.controlUrl, [], key)).status).toBe(0);
    await first.disconnect();
    await first.expectNothingLeft(key);
  });

  it('has expired', async (context) => {
    const lab = await labOf(context);
    const heddle = commandOf(context);
    const key = lab.createAuthKey({ expiresUnixMs: 1 });
    const told = toldBy(await heddle.connect(lab.controlUrl, [], key));
    expect(told).toMatchObject({ code: 'control/invalid-auth-key', status: 6 });
    await heddle.expectNothingLeft(key);
  });

  it('is missing where there is no other way in', async (context) => {
    const lab = await labOf(context, { requiresAuthKey: true });
    const heddle = commandOf(context);
    const told = toldBy(await heddle.connect(lab.controlUrl));
    expect(told).toMatchObject({ code: 'control/auth-key-required', status: 6 });
    expect(told.next).toContain('--auth-key-file');
    await heddle.expectNothingLeft();
  });

  it('is missing, and nobody opens the page', async (context) => {
    const lab = await labOf(context);
    const heddle = commandOf(context);
    const { status, out, err } = await heddle.connect(lab.controlUrl);
    expect(out).toMatch(/To log in, open:\n\n {4}http:\/\/127\.0\.0\.1:\d+\/\S+\n/);
    const told = toldBy({ status, out: '', err });
    expect(told).toMatchObject({ code: 'connect/timeout', status: 5 });
    expect(told.message).toContain('needs login');
    await heddle.expectNothingLeft();
  });

  it('cannot be read', async (context) => {
    const heddle = commandOf(context);
    for (const [name, text] of [['none'], ['empty', '\n'], ['two', `${AUTH_KEY}\n${AUTH_KEY}\n`]] as const) {
      const path = join(heddle.folder, name);
      if (text !== undefined) writeFileSync(path, text);
      const told = toldBy(await heddle.connect('http://127.0.0.1:1', ['--auth-key-file', path]));
      expect(told).toMatchObject({ code: 'connect/auth-key-file', status: 2 });
      await heddle.expectNothingLeft(AUTH_KEY);
    }
  });
});

suite('a state directory that', () => {
  const damages: readonly (readonly [string, string, (dir: string) => void])[] = [
    ['is damaged, and its copy too', 'state/corrupt', (dir) => writeBoth(dir, '{"format":"heddle-st')],
    ['is empty where keys should be', 'state/corrupt', (dir) => writeBoth(dir, '')],
    ['another program wrote', 'state/foreign', (dir) => writeBoth(dir, '{"_machinekey":"privkey:00"}')],
    ['a later heddle wrote', 'state/newer-version', (dir) => writeBoth(dir, '{"format":"heddle-state","version":99}')],
    ['holds a file of somebody else', 'state/foreign', (dir) => writeFileSync(join(dir, 'thesis.tex'), 'x')],
  ];
  it.for(damages)('%s', async ([, code, damage], context) => {
    const lab = await labOf(context);
    const heddle = commandOf(context);
    await joinOnce(heddle, lab);
    damage(heddle.stateDir);
    const before = contentOf(heddle.stateDir);
    const told = toldBy(await heddle.connect(lab.controlUrl, [], lab.authKey));
    expect(told).toMatchObject({ code, status: 8 });
    expect(told.message).toContain(heddle.stateDir);
    expect(contentOf(heddle.stateDir)).toEqual(before);
    await heddle.expectNothingLeft(lab.authKey);
  });

  it('belongs to another server', async (context) => {
    const lab = await labOf(context);
    const heddle = commandOf(context);
    await joinOnce(heddle, lab);
    const before = contentOf(heddle.stateDir);
    const told = toldBy(await heddle.connect('http://127.0.0.1:1', [], lab.authKey));
    expect(told).toMatchObject({ code: 'state/foreign', status: 8 });
    expect(told.message).toContain(lab.controlUrl);
    expect(contentOf(heddle.stateDir)).toEqual(before);
    await heddle.expectNothingLeft(lab.authKey);
  });

  it('is no directory, or a link to nowhere', async (context) => {
    const heddle = commandOf(context);
    writeFileSync(join(heddle.folder, 'file'), 'x');
    symlinkSync(join(heddle.folder, 'nowhere'), join(heddle.folder, 'link'));
    for (const [name, code] of [
      ['file', 'state/foreign'],
      ['file/below', 'state/foreign'],
      ['link', 'state/unwritable'],
    ] as const) {
      heddle.stateDir = join(heddle.folder, name);
      const told = toldBy(await heddle.connect('http://127.0.0.1:1', [], AUTH_KEY));
      expect(told).toMatchObject({ code, status: 8 });
      await heddle.expectNothingLeft(AUTH_KEY);
    }
    expect(readFileSync(join(heddle.folder, 'file'), 'utf8')).toBe('x');
    expect(existsSync(join(heddle.folder, 'nowhere'))).toBe(false);
  });

  it('is damaged, and its copy is not: the node is the same', async (context) => {
    const lab = await labOf(context);
    const heddle = commandOf(context);
    await joinOnce(heddle, lab);
    const sound = heddle.stateFiles();
    writeFileSync(join(heddle.stateDir, 'state.json'), '\0\0\0');
    await joinOnce(heddle, lab);
    expect(heddle.stateFiles()).toEqual({ ...sound, 'state.json.damaged': '\0\0\0' });
    expect(heddle.log()).toContain('"state/recovered"');
    expect(lab.nodes()).toHaveLength(1);
  });

  it('was mended is not to blame for a server that is silent', async (context) => {
    const heddle = commandOf(context);
    const silent = await new HostileServer(hang).start();
    context.onTestFinished(() => silent.close());
    expect(toldBy(await heddle.connect(silent.url, [], AUTH_KEY)).code).toBe('connect/timeout');
    writeFileSync(join(heddle.stateDir, 'state.json'), '');
    expect(toldBy(await heddle.connect(silent.url, [], AUTH_KEY)).code).toBe('connect/timeout');
    expect(heddle.log()).toContain('"state/recovered"');
    await heddle.expectNothingLeft(AUTH_KEY);
  });

  it.runIf(IS_ROOT)('is on a full disk', async (context) => {
    const heddle = commandOf(context);
    const lab = await labOf(context);
    mkdirSync(heddle.stateDir);
    const options = 'size=64k,mode=700';
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'heddle-test', heddle.stateDir], { stdio: 'ignore' });
    } catch {
      return context.skip('may not mount');
    }
    context.onTestFinished(() => void execFileSync('umount', ['-l', heddle.stateDir]));
    const ballast = join(heddle.stateDir, 'engine.log.1');
    const { bavail, bsize } = statfsSync(heddle.stateDir);
    writeFileSync(ballast, new Uint8Array(bavail * bsize));
    const told = toldBy(await heddle.connect(lab.controlUrl, [], lab.authKey));
    expect(told).toMatchObject({ code: 'state/disk-full', status: 8 });
    expect(told.next).toContain('free some space');
    await heddle.expectNothingLeft(lab.authKey);
    writeFileSync(ballast, '');
    await joinOnce(heddle, lab);
    // A node that has its keys starts on a full disk.
    const sound = heddle.stateFiles();
    const left = statfsSync(heddle.stateDir);
    writeFileSync(ballast, new Uint8Array(left.bavail * left.bsize));
    await joinOnce(heddle, lab);
    expect(heddle.stateFiles()).toEqual(sound);
    await heddle.expectNothingLeft(lab.authKey);
  });
});

suite('without', () => {
  it.runIf(IS_ROOT && existsSync('/usr/bin/unshare'))('a network, connect says so', async (context) => {
    const heddle = commandOf(context);
    heddle.wrapper = ['/usr/bin/unshare', '-n', 'sh', '-c', 'ip link set lo up; exec "$@"', 'sh'];
    const told = toldBy(await heddle.connect('http://192.0.2.1', [], AUTH_KEY));
    expect(told).toMatchObject({ code: 'control/unreachable', status: 7 });
    expect(told.message).toContain('Cannot reach 192.0.2.1: the network is unreachable');
    await heddle.expectNothingLeft(AUTH_KEY);
  });

  it('a relay that proves itself, the node runs and its peers are reached directly', async (context) => {
    const { onTestFinished } = context;
    let connectionCount = 0;
    const relay = createServer({ key: pem.key, cert: pem.issued }, (socket) => socket.on('error', () => {}).end());
    relay.on('connection', () => connectionCount++);
    await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void relay.close());
    const { port } = relay.address() as { port: number };
    const lab = await labOf(context, { derpMap: derpMapOf(port) });
    const [one, two] = [commandOf(context), commandOf(context)];
    expect((await one.connect(lab.controlUrl, ['--timeout', '15', '--hostname', 'one'], lab.authKey)).status).toBe(0);
    expect((await two.connect(lab.controlUrl, ['--timeout', '15', '--hostname', 'two'], lab.authKey)).status).toBe(0);
    const ping = await one.run(['ping', 'two', '-c', '3', '--socket-path', one.socketPath]);
    expect(ping).toMatchObject({ status: 0, err: '' });
    expect(ping.out).toContain('via direct');
    const status = JSON.parse((await one.run(['status', '--json', '--socket-path', one.socketPath])).out);
    expect(status).toMatchObject({ state: 'running', relay: { code: 'bad', isConnected: false } });
    const lines = one.log().split('\n');
    const warnings = lines.filter((line) => line.includes('"derp/tls-certificate"') && line.includes('"warn"'));
    expect(warnings).toHaveLength(1);
    expect(connectionCount).toBeLessThan(40);
    await one.disconnect();
    await two.disconnect();
    for (const heddle of [one, two]) await heddle.expectNothingLeft(lab.authKey);
  }, 60_000);
});

function writeBoth(dir: string, text: string): void {
  for (const name of ['state.json', 'state.json.bak']) writeFileSync(join(dir, name), text);
}

/** Every regular file but the log. */
function contentOf(dir: string): Record<string, string> {
  const files = readdirSync(dir, { withFileTypes: true }).filter((entry) => entry.isFile());
  const names = files.map(({ name }) => name).filter((name) => name !== 'engine.log');
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(dir, name), 'utf8')]));
}

function derpMapOf(port: number): object {
  const node = { Name: '1a', RegionID: 1, HostName: 'relay.test', IPv4: '127.0.0.1', IPv6: 'none', DERPPort: port };
  const region = { RegionID: 1, RegionCode: 'bad', RegionName: 'Bad', Nodes: [{ ...node, STUNPort: -1 }] };
  return { Regions: { 1: region } };
}
