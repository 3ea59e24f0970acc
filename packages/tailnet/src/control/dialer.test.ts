import { once } from 'node:events';
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { generatePrivateKey } from '@heddle/proto/keys/private-key';
import { afterEach, describe, expect, it } from 'vitest';
import { cleanUp, cleanups, crypto, FAST, Subject, startServer } from '../../test/control/subject.ts';
import { nodeRng } from '../crypto/node-provider.ts';

afterEach(cleanUp);

describe('what is no coordination server', () => {
  const serve = async (handle: http.RequestListener): Promise<string> => {
    const server = http.createServer(handle).listen(0, '127.0.0.1');
    await once(server, 'listening');
    cleanups.push(async () => void server.close());
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  };

  it.each<[string, string, http.RequestListener]>([
    ['a page', 'control/not-a-coordination-server', (_request, response) => response.end('<!doctype html>')],
    ['a 404', 'control/not-a-coordination-server', (_request, response) => response.writeHead(404).end('no')],
    [
      'an endless answer',
      'control/not-a-coordination-server',
      (_request, response) => response.end('x'.repeat(100_000)),
    ],
    [
      'a redirect',
      'control/redirected',
      (_request, response) => response.writeHead(308, { location: 'https://other.test/key' }).end(),
    ],
    ['a server without Noise', 'control/unsupported-server', (_request, response) => response.end('')],
  ])('%s is told as %s', async (_name, code, handle) => {
    expect(await new Subject(await serve(handle)).untilError('failed')).toBe(code);
  });

  it('https to a plain port', async () => {
    const url = await serve((_request, response) => response.end());
    expect(await new Subject(url.replace('http:', 'https:')).untilError('failed')).toBe(
      'control/not-a-coordination-server',
    );
  });

  it('a proxy that strips the upgrade', async () => {
    const server = await startServer();
    const answer = 'HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n';
    server.onUpgrade = (socket) => socket.end(answer);
    expect(await new Subject(server.url).untilError('failed')).toBe('control/upgrade-refused');
  });

  it('nobody', async () => {
    const subject = new Subject('http://127.0.0.1:1');
    expect(await subject.untilError('reconnecting')).toBe('control/unreachable');
  });

  it('no URL at all is the mistake of the caller', () => {
    expect(() => new Subject('ftp://h')).toThrow(TypeError);
    expect(() => new Subject('nonsense')).toThrow(TypeError);
  });
});

describe('a handshake that goes wrong', () => {
  it('because the server published another key', async () => {
    const server = await startServer();
    server.publishedKey = generatePrivateKey('machine', crypto, nodeRng).publicKey;
    expect(await new Subject(server.url).untilError('reconnecting')).toBe('control/handshake-failed');
  });

  it('because somebody else answers', async () => {
    const server = await startServer();
    const head =
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: tailscale-control-protocol\r\nConnection: upgrade\r\n\r\n';
    server.onUpgrade = (socket) => {
      const ephemeral = generatePrivateKey('machine', crypto, nodeRng).publicKey;
      socket.write(Buffer.concat([Buffer.from(head), Buffer.from([2, 0, 48]), ephemeral, Buffer.alloc(16)]));
    };
    expect(await new Subject(server.url).untilError('failed')).toBe('control/key-mismatch');
  });

  it('because the server says so', async () => {
    const server = await startServer();
    const head =
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: tailscale-control-protocol\r\nConnection: upgrade\r\n\r\n';
    server.onUpgrade = (socket) =>
      socket.end(Buffer.concat([Buffer.from(head), Buffer.from([3, 0, 2]), Buffer.alloc(60)]));
    expect(await new Subject(server.url).untilError('reconnecting')).toBe('control/handshake-failed');
  });
});

describe('a server that hangs', () => {
  it('after accepting is given up', async () => {
    const server = net.createServer(() => undefined).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    cleanups.push(async () => void server.close());
    expect(await new Subject(url, { timings: { ...FAST, dialMs: 30 } }).untilError('reconnecting')).toBe(
      'control/timeout',
    );
  });

  it('in the middle of its key is given up', async () => {
    const server = await startServer();
    server.onKey = (response) => response.writeHead(200, { 'content-length': 100 }).write('{');
    const subject = new Subject(server.url, { timings: { ...FAST, dialMs: 50 } });
    expect(await subject.untilError('reconnecting')).toBe('control/timeout');
  });

  it('in the handshake is given up', async () => {
    const server = await startServer();
    const head =
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: tailscale-control-protocol\r\nConnection: upgrade\r\n\r\n';
    server.onUpgrade = (socket) => socket.write(head);
    expect(await new Subject(server.url, { timings: { ...FAST, dialMs: 50 } }).untilError('reconnecting')).toBe(
      'control/timeout',
    );
  });

  it('in the registration is given up', async () => {
    const server = await startServer();
    server.onRegister = () => new Promise(() => undefined);
    const subject = new Subject(server.url, { timings: { ...FAST, requestMs: 30 } });
    expect(await subject.untilError('reconnecting')).toBe('control/timeout');
  });

  it('before the stream is given up', async () => {
    const server = await startServer();
    server.onStream = () => undefined;
    const subject = new Subject(server.url, { timings: { ...FAST, requestMs: 30 } });
    expect(await subject.untilError('reconnecting')).toBe('control/timeout');
  });
});
