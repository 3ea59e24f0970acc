import { describe, expect, it } from 'vitest';
import { ask, exchange, expectProblem, logged, post, start, TOKEN } from '../../test/rest-client.ts';
import type { ClientIdentity } from './caller-check.ts';

const STRANGER = 65_534;

describe('who may change things', () => {
  const asUser = (identity: ClientIdentity | undefined) => start({ identify: async () => identity });

  it('is root, the own user and the operators', async () => {
    for (const uid of [0, process.geteuid?.() ?? 0, 1000]) {
      const answer = await post(await asUser({ uid }), '/tun', {});
      expect(JSON.parse(answer.text)).toMatchObject({ created_by: uid });
    }
  });

  it('is nobody else, who may read all the same', async () => {
    for (const [identity, code] of [
      [{ uid: STRANGER }, 'rest/forbidden'],
      [undefined, 'rest/no-identity'],
    ] as const) {
      const server = await asUser(identity);
      expectProblem(await post(server, '/tun', {}), code);
      expectProblem(await ask(server, '/tun/tun0', { method: 'DELETE' }), code);
      expect((await ask(server, '/tun')).status).toBe(200);
    }
    expect(logged).toEqual([]);
  });

  it('is asked of the kernel for changes alone, with the socket of the client', async () => {
    const ports: (number | undefined)[] = [];
    const server = await start({
      identify: ({ remotePort }) => {
        ports.push(remotePort);
        return { uid: 0 };
      },
    });
    await ask(server, '/tun');
    expect(ports).toEqual([]);
    await post(server, '/tun', {});
    await post(server, '/tun', {});
    expect(ports).toHaveLength(2);
    expect(ports).not.toContain(undefined);
  });

  it('is the holder of the token, whoever that is', async () => {
    const server = await asUser({ uid: STRANGER });
    const answer = await post(server, '/tun', {}, { authorization: `bearer ${TOKEN}` });
    expect(JSON.parse(answer.text)).toMatchObject({ created_by: null });
    expect(logged).toMatchObject([
      { level: 'info', fields: { user: 'token', method: 'POST', path: '/tun', status: 200 } },
    ]);
  });

  it('is not even root with a wrong token', async () => {
    const server = await asUser({ uid: 0 });
    for (const authorization of [
      'Bearer x',
      `Bearer ${TOKEN}x`,
      `Basic ${TOKEN}`,
      'Bearer ',
      TOKEN,
      `Bearer ${TOKEN} x`,
    ]) {
      expectProblem(await post(server, '/tun', {}, { authorization }), 'rest/bad-token');
      expectProblem(await ask(server, '/tun', { headers: { authorization } }), 'rest/bad-token');
    }
    const without = await start({ token: () => undefined });
    expectProblem(await post(without, '/tun', {}, { authorization: 'Bearer undefined' }), 'rest/bad-token');
  });

  it('is whom the token and the operators of the moment say', async () => {
    const operators = new Set<number>();
    let token = TOKEN;
    const server = await start({
      identify: () => ({ uid: STRANGER }),
      isOperator: (uid) => operators.has(uid),
      token: () => token,
    });
    const withToken = (text: string) => post(server, '/tun', {}, { authorization: `Bearer ${text}` });
    token = 'another-token-that-is-long';
    expectProblem(await withToken(TOKEN), 'rest/bad-token');
    expect((await withToken(token)).status).toBe(200);
    expectProblem(await post(server, '/tun', {}), 'rest/forbidden');
    operators.add(STRANGER);
    expect((await post(server, '/tun', {})).status).toBe(200);
  });

  it('is nobody with two tokens', async () => {
    const server = await asUser({ uid: 0 });
    const fields = `Authorization: Bearer ${TOKEN}\r\nAuthorization: Bearer ${TOKEN}\r\n`;
    const answer = await exchange(server, `GET /tun HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${fields}\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 400 [\s\S]*"rest\/bad-request"/);
  });

  it('is nobody while the kernel fails to tell', async () => {
    const server = await start({
      identify: () => {
        throw new Error('secret of the kernel');
      },
    });
    const answer = await post(server, '/tun', {});
    expectProblem(answer, 'rest/internal');
    expect(answer.text).not.toContain('secret');
  });
});
