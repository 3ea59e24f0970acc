import { parseHex } from '@heddle/proto/bytes/hex';
import { parseEndpoint } from '@heddle/proto/ip/endpoint';
import { formatPublicKey } from '@heddle/proto/keys/public-key';
import { afterEach, describe, expect, it } from 'vitest';
import recorded from '../../../proto/test/vectors/control/frames-headscale-0.29.2.json' with { type: 'json' };
import { SELF, sendMap } from '../../test/control/fake-control.ts';
import { AUTH_KEY, cleanUp, Subject, startServer, until } from '../../test/control/subject.ts';
import tlsVector from '../../test/vectors/control/tls.json' with { type: 'json' };

afterEach(cleanUp);

describe('a join', () => {
  it('registers, streams and updates, and gives the netmap of recorded bytes', async () => {
    const server = await startServer();
    server.onStream = (stream) => {
      stream.respond({ ':status': 200 });
      stream.write(Buffer.concat(recorded.frames.map(({ frame }) => parseHex(frame)!)));
    };
    const subject = new Subject(server.url);
    subject.client.setEndpoints([{ endpoint: parseEndpoint('192.0.2.1:41641')!, type: 1 }]);
    const netmap = await subject.untilNetmap();
    expect(netmap.self.name).toBe('alpha.ts.test.');
    expect(netmap.derpMap.regions.get(900)!.nodes).toHaveLength(1);
    expect(subject.kinds).toEqual(['connecting', 'handshaking', 'registering', 'streaming']);
    await until(() => server.bodies('update').length > 0, 'an update');
    expect(server.bodies('register')).toMatchObject([
      { Version: 131, Auth: { AuthKey: AUTH_KEY }, Hostinfo: { Hostname: 'subject' } },
    ]);
    for (const body of [server.bodies('stream')[0], server.bodies('update')[0]]) {
      expect(body).toMatchObject({
        Endpoints: ['192.0.2.1:41641'],
        EndpointTypes: [1],
        Hostinfo: { Hostname: 'subject' },
      });
      expect(body.DiscoKey).toMatch(/^discokey:[0-9a-f]{64}$/);
      expect(body.NodeKey).toBe(formatPublicKey('node', subject.nodeKey.publicKey));
    }
    expect(server.plainRequests).toEqual(['/key?v=131', '/ts2021']);
  });

  it('needs no early payload', async () => {
    const server = await startServer();
    server.hasEarlyPayload = false;
    await new Subject(server.url).untilNetmap();
  });

  it('works over TLS with an additional CA, and not without it', async () => {
    const server = await startServer(tlsVector);
    await new Subject(server.url, { tlsCa: tlsVector.ca }).untilNetmap();
    expect(await new Subject(server.url).untilError('failed')).toBe('control/certificate');
  });

  it('reads a netmap that comes in pieces and is bigger than a window', async () => {
    const server = await startServer();
    const Peers = Array.from({ length: 5000 }, (_, i) => ({
      ...SELF,
      ID: i + 2,
      Hostinfo: { Hostname: 'x'.repeat(500) },
    }));
    server.onStream = (stream) => sendMap(stream, { Node: SELF, Peers });
    expect((await new Subject(server.url).untilNetmap()).peers.size).toBe(5000);
  });
});

describe('news about ourselves', () => {
  it('travel together, and again on the next session', async () => {
    const server = await startServer();
    const subject = new Subject(server.url);
    await subject.untilNetmap();
    await until(() => server.bodies('update').length === 1, 'the first update');
    subject.client.setEndpoints([{ endpoint: parseEndpoint('192.0.2.7:7')!, type: 2 }]);
    subject.client.setHomeDerp(900);
    await until(() => server.bodies('update').length === 2, 'one update for both');
    const news = { Endpoints: ['192.0.2.7:7'], EndpointTypes: [2], Hostinfo: { NetInfo: { PreferredDERP: 900 } } };
    expect(server.bodies('update')[1]).toMatchObject(news);
    server.cut();
    await subject.untilNetmap(2);
    expect(server.bodies('stream')[1]).toMatchObject(news);
  });

  it('that are none are not sent', async () => {
    const server = await startServer();
    const subject = new Subject(server.url);
    subject.client.setHomeDerp(1);
    await subject.untilNetmap();
    await until(() => server.bodies('update').length === 1, 'the first update');
    subject.client.setHomeDerp(1);
    subject.client.setEndpoints([]);
    subject.client.setHomeDerp(2);
    await until(() => server.bodies('update').length === 2, 'the second update');
    expect(server.bodies('update')[1].Hostinfo.NetInfo.PreferredDERP).toBe(2);
  });

  it('are tried again when the server fails', async () => {
    const server = await startServer();
    const statuses = [200, 500, 500, 200];
    server.onUpdate = () => ({ status: statuses.shift() ?? 200 });
    const subject = new Subject(server.url);
    await subject.untilNetmap();
    subject.client.setHomeDerp(5);
    await until(() => server.bodies('update').length === 4, 'the third try');
    expect(subject.kinds).not.toContain('reconnecting');
  });
});

describe('the end', () => {
  it('logout expires the key and closes', async () => {
    const server = await startServer();
    const subject = new Subject(server.url);
    await subject.untilNetmap();
    await subject.client.logout();
    expect(server.bodies('register').at(-1)).toMatchObject({
      Expiry: '1970-01-01T00:02:03Z',
      NodeKey: formatPublicKey('node', subject.nodeKey.publicKey),
    });
    expect(server.bodies('register').at(-1)).not.toHaveProperty('Auth');
    await until(() => server.sessions.size === 0, 'the end of the session');
  });

  it('close in any phase is quick and silent', async () => {
    const server = await startServer();
    server.onRegister = () => new Promise(() => undefined);
    const subject = new Subject(server.url);
    await until(() => server.bodies('register').length === 1, 'the registration');
    const { length } = subject.states;
    await subject.client.close();
    await subject.client.close();
    expect(subject.states).toHaveLength(length);
  });
});

it('no secret is in any word', async () => {
  const server = await startServer();
  const answers = [{ status: 500, text: AUTH_KEY }, { json: { Error: `the key ${AUTH_KEY} was refused by auth` } }];
  server.onRegister = () => answers.shift()!;
  const subject = new Subject(server.url);
  await subject.untilError('failed');
  expect(subject.words).not.toContain('thisIsTheSecret');
  expect(subject.words).not.toContain(Buffer.from(subject.nodeKey.exposeBytes()).toString('hex'));
});
