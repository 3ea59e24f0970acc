import type { Socket } from 'node:net';
import { startLab } from '@heddle/lab';
import { describe, expect, it } from 'vitest';
import { HeddleCommand, IS_BUILT, toldBy } from '../support/heddle-command.ts';
import {
  afterKey,
  answer,
  cutAfter,
  HostileServer,
  hang,
  KEY,
  page,
  pour,
  UPGRADED,
} from '../support/hostile-server.ts';

// The built command line against coordination servers that misbehave, on loopback. Needs `npm run build`.

const HTML = '<!doctype html><title>Log in to the Wi-Fi</title>';
const AUTH_KEY = 'hskey-auth-SECRETSECRET';
/** The waits between attempts grow: about ten fit into four seconds. */
const ATTEMPT_COUNT_MAX = 20;

interface Case {
  readonly does: string;
  readonly behave: (socket: Socket) => void;
  readonly code: string;
  readonly status: number;
  /** Part of the message. */
  readonly says: RegExp;
}

const CASES: readonly Case[] = [
  { does: 'says nothing', behave: hang, code: 'connect/timeout', status: 5, says: /after 4 s/ },
  {
    does: 'falls silent within the answer to /key',
    behave: answer(page('200 OK', KEY).slice(0, 120), false),
    code: 'connect/timeout',
    status: 5,
    says: /after 4 s/,
  },
  {
    does: 'falls silent within the handshake',
    behave: afterKey(answer(`${UPGRADED}\0\0\0`, false)),
    code: 'connect/timeout',
    status: 5,
    says: /handshaking/,
  },
  {
    does: 'closes at once',
    behave: (socket) => void socket.end(),
    code: 'control/connection-lost',
    status: 7,
    says: /127\.0\.0\.1:\d+ was lost/,
  },
  {
    does: 'closes within the answer to /key',
    behave: answer(page('200 OK', KEY).slice(0, 120)),
    code: 'control/connection-lost',
    status: 7,
    says: /127\.0\.0\.1:\d+ was lost/,
  },
  {
    does: 'closes within the handshake, as one does whose key is another',
    behave: afterKey(answer(`${UPGRADED}\0\0\0`)),
    code: 'control/handshake-failed',
    status: 7,
    says: /closed the connection during the handshake: its key changed/,
  },
  {
    does: 'answers the handshake with rubbish',
    behave: afterKey(answer(`${UPGRADED}${'x'.repeat(51)}`)),
    code: 'control/handshake-failed',
    status: 7,
    says: /wrongly: bad-type/,
  },
  {
    does: 'answers the handshake with another key than it published',
    behave: afterKey(answer(`${UPGRADED}\x02\0\x30${'x'.repeat(48)}`)),
    code: 'control/key-mismatch',
    status: 7,
    says: /does not own the key/,
  },
  {
    does: 'answers HTML',
    behave: answer(page('200 OK', HTML)),
    code: 'control/not-a-coordination-server',
    status: 7,
    says: /No coordination server at 127\.0\.0\.1:\d+/,
  },
  {
    does: 'has a page for errors',
    behave: answer(page('404 Not Found', HTML)),
    code: 'control/not-a-coordination-server',
    status: 7,
    says: /127\.0\.0\.1:\d+: status 404/,
  },
  {
    does: 'is a gateway without a server behind it',
    behave: answer(page('503 Service Unavailable', HTML)),
    code: 'control/server-error',
    status: 7,
    says: /127\.0\.0\.1:\d+ answers with status 503/,
  },
  {
    does: 'answers without end',
    behave: pour('HTTP/1.1 200 OK\r\n\r\n'),
    code: 'control/not-a-coordination-server',
    status: 7,
    says: /127\.0\.0\.1:\d+: .*too long/,
  },
  {
    does: 'sends headers without end',
    behave: pour('HTTP/1.1 200 OK\r\nX: '),
    code: 'control/not-a-coordination-server',
    status: 7,
    says: /No coordination server at 127\.0\.0\.1:\d+/,
  },
  {
    does: 'speaks something else',
    behave: answer('SSH-2.0-OpenSSH_9.6\r\n'),
    code: 'control/not-a-coordination-server',
    status: 7,
    says: /No coordination server at 127\.0\.0\.1:\d+/,
  },
  {
    does: 'redirects',
    behave: answer(page('302 Found', HTML, `Location: https://portal.test/login?token=${AUTH_KEY}\r\n`)),
    code: 'control/redirected',
    status: 7,
    says: /redirects to https:\/\/portal\.test:/,
  },
  {
    does: 'refuses the upgrade',
    behave: afterKey(answer(page('403 Forbidden', HTML))),
    code: 'control/upgrade-refused',
    status: 7,
    says: /status 403/,
  },
  {
    does: 'publishes no key that is one',
    behave: answer(page('200 OK', '{"publicKey":"mkey:17"}')),
    code: 'control/unsupported-server',
    status: 7,
    says: /127\.0\.0\.1:\d+ does not offer/,
  },
];

describe.runIf(IS_BUILT && process.platform === 'linux').concurrent('connect, at a server that', () => {
  it.for(CASES)('$does', async ({ behave, code, status, says }, { onTestFinished }) => {
    const server = await new HostileServer(behave).start();
    onTestFinished(() => server.close());
    const heddle = new HeddleCommand();
    onTestFinished(() => heddle.close());
    const result = await heddle.connect(server.url, [], AUTH_KEY);
    const told = toldBy(result);
    expect({ code: told.code, status: told.status }).toEqual({ code, status });
    expect(told.message).toMatch(says);
    expect(server.connectionCount).toBeGreaterThan(0);
    expect(server.connectionCount).toBeLessThan(ATTEMPT_COUNT_MAX);
    await heddle.expectNothingLeft(AUTH_KEY);
    // The keys were made before the server was asked, and are as they were made.
    const files = heddle.stateFiles();
    expect(Object.keys(files).sort()).toEqual(['state.json', 'state.json.bak']);
    expect(files['state.json']).toBe(files['state.json.bak']);
  });

  it.for([
    ['closes within the upgrade', 300, 'close', 'control/connection-lost'],
    ['closes within a frame of the registration', 700, 'close', 'control/connection-lost'],
    ['falls silent within a frame of the registration', 700, 'hang', 'connect/timeout'],
  ] as const)('is sound and %s', async ([, bytesMax, end, code], { onTestFinished }) => {
    const lab = await startLab();
    onTestFinished(() => lab.close());
    const server = await new HostileServer(cutAfter(Number(new URL(lab.controlUrl).port), bytesMax, end)).start();
    onTestFinished(() => server.close());
    const heddle = new HeddleCommand();
    onTestFinished(() => heddle.close());
    expect(toldBy(await heddle.connect(server.url, [], lab.authKey)).code).toBe(code);
    expect(server.connectionCount).toBeLessThan(ATTEMPT_COUNT_MAX);
    await heddle.expectNothingLeft(lab.authKey);
  });

  it('is not there, and later is: the keys are the same', async ({ onTestFinished }) => {
    const server = await new HostileServer(hang).start();
    const { port, url } = server;
    await server.close();
    const heddle = new HeddleCommand();
    onTestFinished(() => heddle.close());
    const told = toldBy(await heddle.connect(url, [], AUTH_KEY));
    expect(told).toMatchObject({ code: 'control/unreachable', status: 7 });
    expect(told.message).toContain(`Cannot reach 127.0.0.1:${port}: connection refused`);
    await heddle.expectNothingLeft(AUTH_KEY);
    const files = heddle.stateFiles();
    const lab = await startLab({ port });
    onTestFinished(() => lab.close());
    expect((await heddle.connect(url, [], lab.authKey)).status).toBe(0);
    expect(heddle.stateFiles()).toEqual(files);
    expect((await heddle.disconnect()).status).toBe(0);
    await heddle.expectNothingLeft(lab.authKey);
  });

  it('answers HTML, in JSON', async ({ onTestFinished }) => {
    const server = await new HostileServer(answer(page('200 OK', HTML))).start();
    onTestFinished(() => server.close());
    const heddle = new HeddleCommand();
    onTestFinished(() => heddle.close());
    const { status, out, err } = await heddle.connect(server.url, ['--json'], AUTH_KEY);
    expect({ status, err }).toEqual({ status: 7, err: '' });
    expect(JSON.parse(out)).toEqual({
      ok: false,
      code: 'control/not-a-coordination-server',
      message: expect.stringContaining(url(server)),
      next: expect.stringContaining('--login-server'),
    });
  });
});

const url = (server: HostileServer): string => `127.0.0.1:${server.port}`;
