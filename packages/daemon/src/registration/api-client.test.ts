import { once } from 'node:events';
import { createServer } from 'node:net';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  answerWith,
  apiError,
  babble,
  cutOff,
  hang,
  hangUp,
  htmlPage,
  type Misbehaviour,
  pour,
  redirectTo,
  stall,
  upgrade,
} from '../../../../tests/support/team-api/misbehaviour.ts';
import { failureOf, TeamFixture, TOKEN } from '../../../../tests/support/team-api/team-fixture.ts';
import pem from '../../../tailnet/test/vectors/derp/certificates.json' with { type: 'json' };
import type { NodeCredentials } from './api-client.ts';
import { createClient } from './open-team.ts';
import { register } from './register.ts';
import { REGISTRATION_ADVICE } from './registration-error.ts';
import { parseTeamName } from './team-name.ts';

let team: TeamFixture;
let node: NodeCredentials;
beforeEach(async () => {
  team = await new TeamFixture().start();
  await register(team.options(), team.world());
  node = { team: parseTeamName('acme'), nodeId: 1, apiToken: team.acme.nodes.get(1)!.apiToken };
  team.server.requests.length = 0;
});
afterEach(() => team.close());

const api = (timeoutMs = 9000, apiBase = team.server.url, tlsCa?: string) =>
  createClient(team.world({ timeoutMs }), { apiBase, allowsPlainHttp: false, tlsCa });

/** The code of each of the three calls when the server does this. */
async function codesFor(misbehaviour: Misbehaviour, timeoutMs?: number): Promise<string[]> {
  const client = api(timeoutMs);
  const request = { team: node.team, nodeName: 'x', lighthouse: undefined };
  const calls = [
    () => client.checkin(node, 1),
    () => client.downloadConfig(node),
    () => client.register(request, { kind: 'registration-token', token: TOKEN }),
  ];
  const codes: string[] = [];
  for (const call of calls) {
    team.server.misbehaviours.splice(0, 9, misbehaviour, misbehaviour, misbehaviour);
    codes.push((await failureOf(call, [node.apiToken])).code);
  }
  return codes;
}

describe('every error of the API has its code', () => {
  it.each([
    [429, 'Rate Limit Exceeded', 'registration/rate-limited'],
    [401, 'Authentication Required', 'registration/authentication-required'],
    [400, 'Organization Required', 'registration/organization-required'],
    [403, 'Access Denied', 'registration/access-denied'],
    [404, 'Organization Not Found', 'registration/organization-not-found'],
    [400, 'Validation Error', 'registration/validation'],
    [401, 'Token Expired', 'registration/token-expired'],
    [401, 'Token Usage Limit Exceeded', 'registration/token-used-up'],
    [401, 'Invalid Registration Token', 'registration/invalid-token'],
    [400, 'Certificate Authority Missing', 'registration/ca-missing'],
    [400, 'No Lighthouse Nodes Available', 'registration/no-lighthouse'],
    [400, 'No Available IP Addresses', 'registration/no-addresses'],
    [500, 'Node Creation Failed', 'registration/node-creation-failed'],
    [500, 'Certificate Generation Failed', 'registration/certificate-failed'],
    [500, 'Registration Failed', 'registration/registration-failed'],
    [401, 'Unauthorized', 'registration/authentication-required'],
    [403, 'Forbidden', 'registration/access-denied'],
    [404, 'Not Found', 'registration/not-found'],
    [409, 'Conflict', 'registration/conflict'],
    [410, 'Gone', 'registration/gone'],
    [418, 'Teapot', 'registration/refused'],
    [500, 'Internal Server Error', 'registration/server-error'],
    [503, 'Service Unavailable', 'registration/server-error'],
    [502, 'Registration Failed', 'registration/server-error'],
    [400, 'constructor', 'registration/validation'],
  ])('%i %s', async (status, title, code) => {
    expect(await codesFor(apiError(status, title, `Because of ${TOKEN} and ${node.apiToken}.`))).toEqual([
      code,
      code,
      code,
    ]);
    expect(REGISTRATION_ADVICE).toHaveProperty([code, 'next']);
  });

  it('and a page of something in between is judged by its status', async () => {
    for (const [status, code] of [
      [403, 'registration/access-denied'],
      [429, 'registration/rate-limited'],
      [502, 'registration/server-error'],
    ] as const) {
      expect(await codesFor(htmlPage(status))).toEqual([code, code, code]);
    }
  });

  it('with what the server says about single fields', async () => {
    const detail = { node_name: ['Too long.', 'Too odd.'], nested: { a: 1 }, public_ip: 'Missing.' };
    team.server.misbehaviours.push(apiError(400, 'Validation Error', detail));
    const error = await failureOf(() => api().checkin(node, 1));
    expect(error.message).toContain('"Validation Error: node_name: Too long.; public_ip: Missing."');
  });

  it('with how long to stay away, within reason', async () => {
    for (const [sent, retryAfterMs] of [
      ['120', 120_000],
      ['99999999', 86_400_000],
      ['-1', undefined],
      ['soon', undefined],
    ] as const) {
      team.server.misbehaviours.push(apiError(429, 'Rate Limit Exceeded', 'Later.', { 'retry-after': sent }));
      expect(await failureOf(() => api().checkin(node, 1))).toMatchObject({ retryAfterMs, isRetryable: true });
    }
  });
});

describe('a hostile answer', () => {
  const json = (text: string | Uint8Array): Misbehaviour => answerWith(200, text);
  const same = (code: string): string[] => [code, code, code];

  it.each<[string, Misbehaviour, string]>([
    ['HTML', htmlPage(200), 'not-a-team-server'],
    ['JSON called something else', answerWith(200, '{}', { 'content-type': 'text/json' }), 'not-a-team-server'],
    ['JSON without a type', answerWith(200, '{}', {}), 'not-a-team-server'],
    ['truncated JSON', json('{"node_id": 1, "key": "-----BEGIN NEBULA X25519 PRIVATE KEY-----'), 'bad-answer'],
    ['JSON that is no object', json('[{"success":true}]'), 'bad-answer'],
    ['bytes that are no UTF-8', json(Buffer.from('{"success":true,"x":"\xff"}', 'latin1')), 'bad-answer'],
    ['a thousand brackets', json('['.repeat(60_000)), 'bad-answer'],
    ['more than was agreed', pour, 'answer-too-large'],
    ['a redirect', redirectTo('https://elsewhere.example.com/'), 'redirected'],
    ['a redirect to itself', redirectTo('/', 308), 'redirected'],
    ['no HTTP', babble, 'not-a-team-server'],
    ['another protocol', upgrade, 'not-a-team-server'],
  ])('of %s', async (_name, misbehaviour, reason) => {
    expect(await codesFor(misbehaviour)).toEqual(same(`registration/${reason}`));
  });

  it.each<[string, Misbehaviour, string]>([
    ['that is cut off', cutOff('{"node_id": 1'), 'connection-lost'],
    ['that is none', hangUp, 'connection-lost'],
    ['that does not come', hang, 'timeout'],
    ['that stops coming', stall, 'timeout'],
  ])('%s', async (_name, misbehaviour, reason) => {
    const code = `registration/${reason}`;
    expect(await codesFor(misbehaviour, 200)).toEqual([code, code, 'registration/answer-lost']);
  });

  it('never makes us go where a redirect points', async () => {
    const other = await new TeamFixture().start();
    team.server.misbehaviours.push(redirectTo(`${other.server.url}/api/org/acme/nodes/1/checkin/`));
    expect((await failureOf(() => api().checkin(node, 1))).code).toBe('registration/redirected');
    expect(other.server.requests).toEqual([]);
    await other.close();
  });
});

describe('a package', () => {
  const fields = (): Record<string, unknown> => ({ ...team.acme.packageOf(team.acme.nodes.get(1)!) });
  const download = (changes: Record<string, unknown>) => {
    team.server.misbehaviours.push(answerWith(200, JSON.stringify({ ...fields(), ...changes })));
    return api().downloadConfig(node);
  };

  it.each<[string, unknown]>([
    ['node_id', '../1'],
    ['node_id', 1.5],
    ['node_id', null],
    ['node_name', 'two\nlines'],
    ['node_name', '\u001b[2J'],
    ['nebula_ip', 'somewhere'],
    ['is_lighthouse', 'yes'],
    ['certificate', ''],
    ['key', 'none'],
    ['ca_certificate', 7],
    ['config_yaml', ''],
    ['config_yaml', 'just a text'],
    ['config_yaml', 'pki: [unclosed'],
    ['config_yaml', '- a\n- list\n'],
    ['config_yaml', 'x'.repeat(600_000)],
    ['expiration', 'tomorrow'],
  ])('with a bad %s is refused: %o', async (name, value) => {
    const error = await failureOf(() => download({ [name]: value }));
    expect(error.code).toBe('registration/bad-answer');
    expect(error.message).toContain(`"${name}"`);
  });

  it('whose certificate is of another key is refused', async () => {
    const { certificate } = team.acme.nodes.get(1)!;
    team.acme.renew(team.acme.nodes.get(1)!);
    const error = await failureOf(() => download({ certificate }));
    expect(error.message).toContain('made for another key');
  });

  it('with a configuration that grows by aliases is refused', async () => {
    const bomb = ['a: &a [x,x,x,x,x,x,x,x,x]'];
    for (let i = 0; i < 8; i++) {
      const [from, to] = [String.fromCharCode(97 + i), String.fromCharCode(98 + i)];
      bomb.push(`${to}: &${to} [${Array(9).fill(`*${from}`).join(',')}]`);
    }
    expect((await failureOf(() => download({ config_yaml: bomb.join('\n') }))).code).toBe('registration/bad-answer');
  });

  it('without an end and with fields of later versions is taken', async () => {
    expect(await download({ expiration: null, later: { a: [1] } })).toMatchObject({ nodeId: 1, expiration: undefined });
  });

  it('of any JSON is taken or refused, never more', async () => {
    const names = Object.keys(fields());
    const body = fc.oneof(
      fc.json({ maxDepth: 4 }),
      fc
        .tuple(fc.constantFrom(...names), fc.jsonValue())
        .map(([name, value]) => JSON.stringify({ ...fields(), [name]: value })),
      fc.nat(2000).map((length) => JSON.stringify(fields()).slice(0, length)),
    );
    await fc.assert(
      fc.asyncProperty(body, async (text) => {
        team.server.misbehaviours.splice(0, 9, answerWith(200, text));
        try {
          expect(await api().downloadConfig(node)).toHaveProperty('configYaml');
        } catch (error) {
          expect(await failureOf(() => Promise.reject(error))).toMatchObject({ code: 'registration/bad-answer' });
        }
      }),
      { numRuns: 150 },
    );
  });
});

describe('retries', () => {
  it('a configuration is asked for three times while the server is in trouble', async () => {
    team.server.misbehaviours.push(htmlPage(502), hangUp);
    expect(await api().downloadConfig(node)).toMatchObject({ nodeId: 1 });
    expect(team.waits).toEqual([1000, 3000]);
    team.server.misbehaviours.push(htmlPage(502), htmlPage(502), htmlPage(503));
    expect((await failureOf(() => api().downloadConfig(node))).status).toBe(503);
  });

  it('a refusal and a limit are asked for once', async () => {
    for (const status of [400, 401, 403, 404, 429]) {
      team.server.requests.length = 0;
      team.server.misbehaviours.push(apiError(status, 'x', 'y'));
      expect((await failureOf(() => api().downloadConfig(node))).status).toBe(status);
      expect(team.server.requests.length).toBe(1);
    }
  });

  it('a heartbeat is sent once', async () => {
    team.server.misbehaviours.push(htmlPage(502));
    await failureOf(() => api().checkin(node, 1));
    expect(team.server.requests.length).toBe(1);
  });
});

describe('a heartbeat', () => {
  it('tells version and uptime, with the token as bearer', async () => {
    expect(await api().checkin(node, 61.9)).toEqual({ lastCheckin: '2026-11-21T00:00:00.000Z' });
    const [request] = team.server.requests;
    expect(request).toMatchObject({ method: 'POST', path: '/api/org/acme/nodes/1/checkin/' });
    expect(request?.headers.authorization).toBe(`Bearer ${node.apiToken}`);
    expect(JSON.parse(request!.body)).toEqual({ version: '0.0.1', uptime: 61 });
  });

  it('needs no body in the answer, but none that says no', async () => {
    team.server.misbehaviours.push(
      answerWith(204, '', {}),
      answerWith(200, '{}'),
      answerWith(200, '{"success":false}'),
    );
    expect(await api().checkin(node, 1)).toEqual({ lastCheckin: undefined });
    expect(await api().checkin(node, 1)).toEqual({ lastCheckin: undefined });
    expect((await failureOf(() => api().checkin(node, 1))).code).toBe('registration/bad-answer');
  });
});

describe('the way to the server', () => {
  it('leads over TLS with an authority of one’s own, and not without', async () => {
    const secure = await new TeamFixture({ key: pem.key, cert: pem.issued }).start();
    const request = { team: node.team, nodeName: 'x', lighthouse: undefined };
    const credential = { kind: 'registration-token', token: TOKEN } as const;
    const untrusted = await failureOf(() => api(9000, secure.server.url).register(request, credential));
    expect(untrusted).toMatchObject({ code: 'registration/tls-certificate', isRetryable: false });
    expect(secure.server.requests).toEqual([]);
    const trusted = await failureOf(() => api(9000, secure.server.url, pem.authority).register(request, credential));
    expect(trusted.code).toBe('registration/no-lighthouse');
    const plain = secure.server.url.replace('https:', 'http:');
    expect((await failureOf(() => api(9000, plain).checkin(node, 1))).code).toBe('registration/connection-lost');
    const tls = team.server.url.replace('http:', 'https:');
    expect((await failureOf(() => api(9000, tls).checkin(node, 1))).code).toBe('registration/not-a-team-server');
    await secure.close();
  });

  it('is unreachable where nobody listens', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    server.close();
    await once(server, 'close');
    const error = await failureOf(() => api(9000, `http://127.0.0.1:${port}`).checkin(node, 1));
    expect(error).toMatchObject({ code: 'registration/unreachable', isRetryable: true });
  });

  it('keeps a path in front of the API', async () => {
    await failureOf(() => api(9000, `${team.server.url}/vpn/`).checkin(node, 1));
    expect(team.server.requests[0]?.path).toBe('/vpn/api/org/acme/nodes/1/checkin/');
  });
});
