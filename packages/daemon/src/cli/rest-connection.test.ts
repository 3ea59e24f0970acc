/** Against servers of other users, which collect what they are sent, and against servers that want a second connection. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CAN_RUN_AS_OTHERS } from '../../../host/test/other-user.ts';
import { runHeddle, ScriptedDaemon, TUN } from '../../test/scripted-daemon.ts';
import { checkServerOwner } from './server-owner.ts';

const TOKEN = 'abc-DEF_0123456789==';
const NOBODY = 65534;

let dir: string;
let tokenFile: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'heddle-owner-'));
  tokenFile = join(dir, 'token');
  writeFileSync(tokenFile, `${TOKEN}\n`, { mode: 0o600 });
});
afterEach(() => rmSync(dir, { recursive: true }));

/** A server of another user that answers everything as the daemon would, and prints its port and all it receives. */
class Thief {
  readonly port: number;
  readonly #child: ChildProcess;
  #loot = '';

  private constructor(child: ChildProcess, port: number) {
    this.port = port;
    this.#child = child;
    child.stdout?.on('data', (text: string) => {
      this.#loot += text;
    });
  }

  static async start({ uid, afterwards }: { uid: number; afterwards: string }): Promise<Thief> {
    const script = `
      const body = ${JSON.stringify(JSON.stringify(TUN))};
      const header = 'HTTP/1.1 200 OK\\r\\ncontent-type: application/json\\r\\ncontent-length: ';
      const answer = header + body.length + '\\r\\n\\r\\n' + body;
      const server = require('node:net').createServer((socket) => {
        socket.on('error', () => {});
        socket.on('data', (bytes) => { process.stdout.write(bytes, () => { socket.write(answer); ${afterwards} }); });
      });
      server.listen(0, '127.0.0.1', () => process.stdout.write(server.address().port + '\\n'));`;
    const child = spawn(process.execPath, ['-e', script], { uid, gid: uid, stdio: ['ignore', 'pipe', 'inherit'] });
    child.stdout?.setEncoding('utf8');
    const [port] = (await once(child.stdout as NodeJS.ReadableStream, 'data')) as [string];
    return new Thief(child, Number(port));
  }

  /** Ends the server; all that it was sent. */
  async end(): Promise<string> {
    const closed = once(this.#child, 'close');
    this.#child.kill('SIGKILL');
    await closed;
    return this.#loot;
  }
}

describe.skipIf(!CAN_RUN_AS_OTHERS)(
  'a server of another user (needs Linux, root to start one, and a Node.js that it may run)',
  () => {
    it('is asked without the token who it is, and gets no more', async () => {
      const thief = await Thief.start({ uid: NOBODY, afterwards: '' });
      const { status, out, err } = await runHeddle(`tun create --port ${thief.port} --token-file ${tokenFile}`);
      expect(await thief.end()).toMatch(/^GET \/healthz HTTP\/1\.1\r\n(?:(?!authorization)[^\r\n]+\r\n)+\r\n$/i);
      expect([status, out]).toEqual([4, '']);
      const host = `127.0.0.1:${thief.port}`;
      expect(err).toMatch(
        `heddle: The program at ${host} belongs to user ${NOBODY}: the token was not sent [rest/foreign-server]`,
      );
    });

    it('is nobody when it closes at once, which is as bad', async () => {
      const thief = await Thief.start({ uid: NOBODY, afterwards: 'socket.destroy();' });
      const { status, err } = await runHeddle(`tun create --port ${thief.port} --token-file ${tokenFile}`);
      expect(await thief.end()).not.toContain(TOKEN);
      expect(status).toBeGreaterThan(0);
      expect(err).toMatch(/\[rest\/(?:foreign-server|bad-answer)\]/);
    });

    it('answers whoever has no token to lose', async () => {
      const thief = await Thief.start({ uid: NOBODY, afterwards: '' });
      const { status } = await runHeddle(`tun create --port ${thief.port}`);
      expect([status, await thief.end()]).toEqual([0, expect.stringMatching(/^POST \/tun /)]);
    });

    it('is told apart from one of root', async () => {
      const friend = await Thief.start({ uid: 0, afterwards: '' });
      const { status } = await runHeddle(`tun create --port ${friend.port} --token-file ${tokenFile}`);
      expect([status, await friend.end()]).toEqual([0, expect.stringContaining(`authorization: Bearer ${TOKEN}\r\n`)]);
    });
  },
);

describe('a server of our own user', () => {
  let daemon: ScriptedDaemon;
  beforeEach(async () => {
    daemon = await ScriptedDaemon.start();
  });
  afterEach(() => daemon.close());
  const ask = () => daemon.ask(`tun create --token-file ${tokenFile}`);

  it('gets question and token on the connection that told whose it is', async () => {
    const connections = new Set<unknown>();
    daemon.says(TUN);
    const say = daemon.answer;
    daemon.answer = (response) => {
      connections.add(response.socket);
      say(response);
    };
    expect((await ask()).status).toBe(0);
    expect(daemon.asked.map(({ line, headers }) => [line, headers.authorization])).toEqual([
      ['GET /healthz', undefined],
      ['POST /tun', `Bearer ${TOKEN}`],
    ]);
    expect(connections.size).toBe(1);
  });

  it('gets no token when it ends that connection', async () => {
    daemon.answer = (response) => {
      response.writeHead(200, { 'content-type': 'application/json', connection: 'close' });
      response.end('{}');
    };
    const { status, err } = await ask();
    expect(status).not.toBe(0);
    // The kernel knows the owner of an end that is not closed yet.
    expect(err).toMatch(/broke off \(ECONNRESET\) \[rest\/bad-answer\]|cannot be known .* \[rest\/foreign-server\]/);
    expect(daemon.asked.map(({ headers }) => headers.authorization)).toEqual([undefined]);
  });

  it('may be slow to say who it is, but not for ever', async () => {
    daemon.answer = () => {};
    const { status, err } = await daemon.ask(`tun create --timeout 0.05 --token-file ${tokenFile}`);
    expect([status, err.includes('[rest/timeout]')]).toEqual([5, true]);
  });

  it('is said not to run when there is none', async () => {
    await daemon.close();
    const { status, err } = await ask();
    expect([status, err.includes('[rest/not-running]')]).toEqual([3, true]);
  });
});

describe('who may be sent a token', () => {
  const isTrusted = (uid: number | undefined, platform: NodeJS.Platform): boolean => {
    try {
      checkServerOwner({ host: '127.0.0.1:3030', uid, ownUid: 1000, platform });
      return true;
    } catch (error) {
      expect(error).toMatchObject({ code: 'rest/foreign-server' });
      return false;
    }
  };

  it('is root and our own user, on any system', () => {
    for (const platform of ['linux', 'darwin'] as const) {
      expect([0, 1000].map((uid) => isTrusted(uid, platform))).toEqual([true, true]);
      expect([1, 1001, NOBODY].map((uid) => isTrusted(uid, platform))).toEqual([false, false, false]);
    }
  });

  it('is whom the kernel does not know only where it does not tell', () => {
    expect(['linux', 'darwin', 'win32'].map((platform) => isTrusted(undefined, platform as NodeJS.Platform))).toEqual([
      false,
      true,
      true,
    ]);
    expect(() =>
      checkServerOwner({ host: '[::1]:3030', uid: undefined, ownUid: undefined, platform: 'linux' }),
    ).toThrow('It cannot be known whose program is at [::1]:3030: the token');
  });
});
