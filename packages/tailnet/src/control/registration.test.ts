import { afterEach, describe, expect, it } from 'vitest';
import { SELF, sendMap } from '../../test/control/fake-control.ts';
import { AUTH_KEY, cleanUp, Subject, startServer, until } from '../../test/control/subject.ts';

afterEach(cleanUp);

describe('a pre-auth key that is refused', () => {
  it.each([
    ['Headscale', { json: { Error: 'authkey expired' } }],
    ['testcontrol', { json: { Error: 'invalid authkey' } }],
    ['Headscale 0.23', { status: 401, json: { MachineAuthorized: false, Error: '' } }],
  ])('by %s is final', async (_name, answer) => {
    const server = await startServer();
    server.onRegister = () => answer;
    const subject = new Subject(server.url);
    expect(await subject.untilError('failed')).toBe('control/invalid-auth-key');
    await subject.client.close();
    expect(server.bodies('register')).toHaveLength(1);
    expect(subject.kinds).toEqual(['connecting', 'handshaking', 'registering', 'failed']);
  });

  it('is told apart from none at all', async () => {
    const server = await startServer();
    server.onRegister = () => ({ json: { Error: 'invalid authkey' } });
    expect(await new Subject(server.url, { authKey: undefined }).untilError('failed')).toBe(
      'control/auth-key-required',
    );
  });

  it('is final after years of streaming too', async () => {
    const server = await startServer();
    const subject = new Subject(server.url);
    await subject.untilNetmap();
    server.onRegister = () => ({ json: { Error: 'authkey already used' } });
    server.onStream = (stream) => stream.respond({ ':status': 404 }, { endStream: true });
    server.cut();
    expect(await subject.untilError('failed')).toBe('control/invalid-auth-key');
  });
});

describe('other refusals', () => {
  it.each([
    ['control/registration-refused', { json: { Error: 'node exists with a different machine key' } }],
    ['control/version-refused', { status: 400, text: 'unsupported client version: (0)' }],
  ])('%s is final', async (code, answer) => {
    const server = await startServer();
    server.onRegister = () => answer;
    expect(await new Subject(server.url).untilError('failed')).toBe(code);
  });

  it('a limit of the rate is obeyed', async () => {
    const server = await startServer();
    const answers = [{ status: 429, headers: { 'retry-after': '0' } }, { json: {} }];
    server.onRegister = () => answers.shift()!;
    const subject = new Subject(server.url);
    expect(await subject.untilError('reconnecting')).toBe('control/rate-limited');
    await subject.untilNetmap();
  });

  it('a failing server is asked again', async () => {
    const server = await startServer();
    const answers = [{ status: 500, text: 'Internal error' }, { text: '' }, { json: {} }];
    server.onRegister = () => answers.shift()!;
    const subject = new Subject(server.url);
    await subject.untilNetmap();
    const codes = subject.states.flatMap((state) => ('error' in state ? state.error.code : []));
    expect(codes).toEqual(['control/server-error', 'control/bad-response']);
  });
});

describe('an interactive login', () => {
  const AuthURL = 'http://server.test/register/1';

  it('shows the page and waits for the held answer', async () => {
    const server = await startServer();
    let finish: (() => void) | undefined;
    server.onRegister = (body) => {
      if (body.Followup === undefined) return { json: { AuthURL } };
      return new Promise((resolve) => {
        finish = () => resolve({ json: {} });
      });
    };
    const subject = new Subject(server.url, { authKey: undefined });
    await until(() => finish !== undefined, 'the follow-up');
    expect(subject.states.at(-1)).toEqual({ kind: 'needs_login', authUrl: AuthURL });
    finish!();
    await subject.untilNetmap();
    expect(server.bodies('register').map((body) => body.Followup)).toEqual([undefined, AuthURL]);
  });

  it('asks again when an old server answers early, and shows the page once', async () => {
    const server = await startServer();
    let count = 0;
    server.onRegister = () => ({ json: ++count < 4 ? { AuthURL } : {} });
    const subject = new Subject(server.url, { authKey: undefined });
    await subject.untilNetmap();
    expect(subject.kinds.filter((kind) => kind === 'needs_login')).toHaveLength(1);
  });

  it('shows the new page when the server forgot the old one', async () => {
    const server = await startServer();
    const answers = [{ AuthURL }, { Error: 'followup registration not found' }, { AuthURL: `${AuthURL}2` }, {}];
    server.onRegister = () => ({ json: answers.shift() });
    const subject = new Subject(server.url, { authKey: undefined });
    await subject.untilNetmap();
    const pages = subject.states.flatMap((state) => (state.kind === 'needs_login' ? state.authUrl : []));
    expect(pages).toEqual([AuthURL, `${AuthURL}2`]);
    expect(server.bodies('register').map((body) => body.Followup)).toEqual([
      undefined,
      AuthURL,
      undefined,
      `${AuthURL}2`,
    ]);
  });

  it('survives a lost connection with the same key and page', async () => {
    const server = await startServer();
    let isCut = false;
    server.onRegister = async (body) => {
      if (body.Followup === undefined) return { json: { AuthURL } };
      if (!isCut) {
        isCut = true;
        server.cut();
      }
      return { json: {} };
    };
    const subject = new Subject(server.url, { authKey: undefined });
    await subject.untilNetmap();
    const bodies = server.bodies('register');
    expect(bodies.map((body) => body.Followup)).toEqual([undefined, AuthURL, AuthURL]);
    expect(new Set(bodies.map((body) => body.NodeKey)).size).toBe(1);
    expect(subject.kinds.slice(3)).toEqual(['needs_login', 'reconnecting', 'needs_login', 'streaming']);
  });
});

describe('an expired node key', () => {
  it('is replaced, and the owner told before the new one is used', async () => {
    const server = await startServer();
    const order: string[] = [];
    server.onRegister = (body) => ({ json: { NodeKeyExpired: body.OldNodeKey === undefined } });
    server.onStream = (stream) => {
      order.push('stream');
      sendMap(stream, { Node: SELF });
    };
    const subject = new Subject(server.url, { onNodeKeyChanged: async () => void order.push('changed') });
    await subject.untilNetmap();
    const [first, second] = server.bodies('register');
    expect(second.OldNodeKey).toBe(first.NodeKey);
    expect(second.Auth).toEqual({ AuthKey: AUTH_KEY });
    expect(server.bodies('stream')[0].NodeKey).toBe(second.NodeKey);
    expect(order).toEqual(['changed', 'stream']);
  });

  it('is not used before its successor is saved', async () => {
    const server = await startServer();
    server.onRegister = (body) => ({ json: { NodeKeyExpired: body.OldNodeKey === undefined } });
    let failures = 2;
    const onNodeKeyChanged = async (): Promise<void> => {
      if (failures-- > 0) throw new Error('disk full');
    };
    const subject = new Subject(server.url, { onNodeKeyChanged });
    await subject.untilNetmap();
    expect(await subject.untilError('reconnecting')).toBe('control/key-not-saved');
    expect(new Set(server.bodies('register').map((body) => body.NodeKey)).size).toBe(2);
    expect(server.bodies('stream')).toHaveLength(1);
  });

  it('that stays expired ends in an error instead of a loop', async () => {
    const server = await startServer();
    server.onRegister = () => ({ json: { NodeKeyExpired: true } });
    expect(await new Subject(server.url).untilError('failed')).toBe('control/registration-refused');
    expect(server.bodies('register')).toHaveLength(2);
  });

  it('that the netmap reports leads back to registration', async () => {
    const server = await startServer();
    server.onStream = (stream) =>
      sendMap(stream, { Node: { ...SELF, Expired: server.bodies('register').length === 1 } });
    const subject = new Subject(server.url);
    await subject.untilNetmap(2);
    expect(await subject.untilError('reconnecting')).toBe('control/key-expired');
    expect(server.bodies('register')).toHaveLength(2);
    expect(subject.netmaps.map(({ self }) => self.isExpired)).toEqual([true, false]);
  });
});
