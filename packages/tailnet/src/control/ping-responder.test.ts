import { afterEach, describe, expect, it, vi } from 'vitest';
import { type FakeControl, type FakeRequest, SELF, sendMap } from '../../test/control/fake-control.ts';
import { cleanUp, Subject, startServer, until } from '../../test/control/subject.ts';
import type { ControlClientOptions } from './control-client.ts';

afterEach(cleanUp);

describe('a ping request', () => {
  const ask = async (PingRequest: object, more: Partial<ControlClientOptions> = {}): Promise<FakeControl> => {
    const server = await startServer();
    server.onStream = (stream) =>
      sendMap(stream, {
        Node: SELF,
        PingRequest: { ...PingRequest, URL: (PingRequest as { URL: string }).URL.replace('SELF', server.url) },
      });
    await new Subject(server.url, more).untilNetmap();
    return server;
  };
  const others = (server: FakeControl): FakeRequest[] =>
    server.requests.filter(({ path }) => !path.startsWith('/machine/map') && path !== '/machine/register');

  it('by HTTP is answered by HTTP', async () => {
    const server = await ask({ URL: 'SELF/pong?id=1' });
    await until(() => server.plainRequests.includes('/pong?id=1'), 'the request');
  });

  it('through Noise is answered there, whatever its host', async () => {
    const server = await ask({ URL: 'http://elsewhere.test/pong?id=2', URLIsNoise: true });
    await until(() => others(server).length === 1, 'the request');
    expect(others(server)[0]).toMatchObject({ method: 'HEAD', path: '/pong?id=2' });
  });

  it('to an address is passed on, and the result posted', async () => {
    const onPing = vi.fn(async () => ({ error: undefined, latencyMs: 12, endpoint: '192.0.2.1:3', derpRegionId: 0 }));
    const server = await ask(
      { URL: 'http://x.test/result', URLIsNoise: true, Types: 'disco,TSMP', IP: '100.64.0.9' },
      { onPing },
    );
    await until(() => others(server).length === 1, 'the result');
    expect(onPing).toHaveBeenCalledWith(['disco', 'TSMP'], '100.64.0.9');
    expect(JSON.parse(others(server)[0]!.body)).toEqual({
      Type: 'disco',
      IP: '100.64.0.9',
      LatencySeconds: 0.012,
      Endpoint: '192.0.2.1:3',
    });
  });

  it('with a request inside gets an echo, through Noise only', async () => {
    const Payload = Buffer.from('POST /echo HTTP/1.1\r\nHost: c2n\r\n\r\nhello').toString('base64');
    const server = await ask({ URL: 'SELF/c2n/token', Types: 'c2n', Payload });
    await until(() => others(server).length === 1, 'the answer');
    expect(others(server)[0]).toMatchObject({
      method: 'POST',
      path: '/c2n/token',
      body: expect.stringMatching(/^HTTP\/1.1 200 OK\r\n(?:.+\r\n)+\r\nhello$/),
    });
  });

  it('with a URL that is none harms nothing', async () => {
    const server = await startServer();
    server.onStream = (stream) => sendMap(stream, { Node: SELF, PingRequest: { URL: 'file:///etc/passwd' } });
    const subject = new Subject(server.url);
    await until(() => subject.lines.some(({ message }) => message.includes('ping request')), 'a log line');
    expect(subject.kinds.at(-1)).toBe('streaming');
  });
});
