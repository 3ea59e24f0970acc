import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runHeddle, ScriptedDaemon, TUN } from '../../test/scripted-daemon.ts';
import { INTERFACE_CODES } from '../schema/interface-codes.ts';

let daemon: ScriptedDaemon;

beforeEach(async () => {
  daemon = await ScriptedDaemon.start();
});
afterEach(() => daemon.close());

describe('a refusal', () => {
  it('has the code and the words of the daemon', async () => {
    daemon.refuses('allocation/overlap', 409, '10.0.0.0/24 is a route of "eth0"\u001b[2J');
    const { status, out, err } = await daemon.ask('tun create --address 10.0.0.1/24');
    expect([status, out]).toEqual([9, '']);
    expect(err).toBe(
      'heddle: 10.0.0.0/24 is a route of "eth0"?[2J [allocation/overlap]\n  next: choose another network, or none\n',
    );
    expect(JSON.parse((await daemon.ask('tun create --json')).out)).toMatchObject({
      ok: false,
      code: 'allocation/overlap',
    });
  });

  it('has an exit status that tells usage, permission and conflict apart', async () => {
    for (const [code, { status }] of Object.entries(INTERFACE_CODES)) {
      daemon.refuses(code, status, 'No');
      const result = await daemon.ask('tun delete tun0 --json');
      const expected = { 400: 2, 403: 4, 404: 2, 405: 2, 409: 9, 413: 2, 415: 2, 422: 2, 500: 1, 503: 9, 507: 9 };
      expect([code, result.status]).toEqual([code, expected[status as keyof typeof expected]]);
      expect(JSON.parse(result.out)).toMatchObject({ code, message: 'No' });
    }
  });

  it('names a command as the next step, not a request', async () => {
    daemon.refuses('tun/unknown', 404, 'There is no device "tun9" of heddle');
    expect((await daemon.ask('tun show tun9')).err).toContain('\n  next: see heddle tun list\n');
    daemon.refuses('rest/forbidden', 403, 'User 1000 may not change interfaces');
    expect((await daemon.ask('tun create')).err).toContain('or pass the token by --token-file\n');
  });

  it('keeps a code of a later daemon, but none of another room', async () => {
    daemon.refuses('tun/too-new6', 422, 'Not today');
    expect((await daemon.ask('tun create')).err).toContain(
      'heddle: Not today [tun/too-new6]\n  next: see heddle tun list',
    );
    daemon.refuses('ipc/not-running', 422, 'Not today');
    expect((await daemon.ask('tun create')).err).toContain('[rest/bad-answer]');
  });
});

describe('a daemon that cannot be asked', () => {
  it('does not run: the command ends with 3 and says what to start', async () => {
    await daemon.close();
    for (const line of ['tun list', 'tun create', 'subnet free', 'subnet delete 10.1.0.0/24']) {
      const { status, out, err } = await daemon.ask(line);
      expect([status, out]).toEqual([3, '']);
      expect(err).toMatch(
        /^heddle: The (tun|subnet)-daemon is not at 127\.0\.0\.1:[0-9]+ \(ECONNREFUSED\), nor at \[::1\]/,
      );
      expect(err).toContain(
        '[rest/not-running]\n  next: start it: tun-daemon, subnet-daemon, or the teams daemon with --rest\n',
      );
    }
  });

  const hasIpv6 = Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === '::1'));
  it.skipIf(!hasIpv6)('is found at ::1 (needs IPv6 on the loopback interface)', async () => {
    await daemon.close();
    daemon = await ScriptedDaemon.start('::1');
    daemon.says([TUN]);
    expect(await daemon.ask('tun list')).toMatchObject({ status: 0, err: '' });
    expect(daemon.asked[0]?.headers.host).toBe(`[::1]:${daemon.port}`);
  });

  it('is given the time of --timeout', async () => {
    daemon.answer = () => {};
    const { status, err } = await daemon.ask('tun create --timeout 0.05');
    expect(status).toBe(5);
    expect(err).toMatch(/^heddle: No answer of the tun-daemon within 0\.05 s \[rest\/timeout\]\n {2}next: see whether/);
    daemon.answer = (response) => response.writeHead(200, { 'content-type': 'application/json' }).write('[');
    expect((await daemon.ask('tun list --timeout 0.05')).err).toContain('[rest/timeout]');
  });

  it('is left alone at ctrl-C', async () => {
    const interrupt = new AbortController();
    daemon.answer = () => interrupt.abort();
    const { status, err } = await daemon.ask('tun list', interrupt.signal);
    expect([status, err.includes('[cli/interrupted]')]).toEqual([130, true]);
  });
});

describe('an answer that is not one of the daemon', () => {
  it('is refused, whatever it is', async () => {
    const answers: (() => void)[] = [
      () => daemon.says('<html>hello</html>', 200, 'text/html'),
      () => daemon.says('not found', 404, 'text/plain'),
      () => daemon.says({ error: 'no' }, 500),
      () => daemon.says({ code: 'tun/unknown' }, 404, 'application/problem+json'),
      () => daemon.says('{', 409, 'application/problem+json'),
      () => daemon.says('', 302, 'application/json'),
      () => daemon.says('[', 200),
      () => daemon.says('', 200),
      () => daemon.says({}, 200),
      () => daemon.says([{ ...TUN, mtu: 'large' }], 200),
      () => daemon.says(`"${'x'.repeat(5 * 1024 * 1024)}"`, 200),
      () => {
        daemon.answer = (response) => response.writeHead(204).end();
      },
      () => {
        daemon.answer = (response) => response.destroy();
      },
      () => {
        daemon.answer = (response) => {
          response.writeHead(200, { 'content-type': 'application/json', 'content-length': '10' });
          response.write('[', () => response.destroy());
        };
      },
      () => {
        daemon.answer = (response) =>
          response.socket?.end('HTTP/1.1 101 Other\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n');
      },
    ];
    for (const [i, give] of answers.entries()) {
      give();
      const { status, out, err } = await daemon.ask('tun list');
      expect([i, status, out, err.split('\n').length]).toEqual([i, 1, '', 3]);
      expect(err).toMatch(/\[rest\/bad-answer\]\n {2}next: see what listens there/);
    }
    expect(daemon.asked).toHaveLength(answers.length);
  });

  it('says which field is wrong, not what is in it', async () => {
    daemon.says([TUN, { ...TUN, mtu: 'secret' }]);
    const { err } = await daemon.ask('tun list');
    expect(err).toContain('The answer of the tun-daemon is not understood (1.mtu: a whole number from 0 to 65535 was');
    expect(err).not.toContain('secret');
  });

  it('may not be HTTP at all', async () => {
    const stranger = createTcpServer((socket) => socket.end('SSH-2.0-x\r\n'));
    await new Promise<void>((resolve) => stranger.listen(0, '127.0.0.1', resolve));
    const { err } = await runHeddle(`tun list --port ${(stranger.address() as AddressInfo).port}`);
    stranger.close();
    expect(err).toContain('does not speak HTTP');
    expect(err).toContain('[rest/bad-answer]');
  });
});
