import { createHash, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer as createTcpServer, type Server } from 'node:net';
import { createServer } from 'node:tls';
import type { DerpNode } from '@heddle/proto/control/derp-map';
import { afterEach, describe, expect, test } from 'vitest';
import { listen, relayNode } from '../../test/relay-fixture.ts';
import pem from '../../test/vectors/derp/certificates.json' with { type: 'json' };
import { secureRelay } from './relay-tls.ts';

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

const verified = { hostName: 'relay.test', isInsecureForTests: false };

async function serve(cert: string): Promise<{ port: number; names: string[] }> {
  const names: string[] = [];
  const SNICallback = (name: string, done: (error: null) => void) => {
    names.push(name);
    done(null);
  };
  const server = createServer({ key: pem.key, cert, SNICallback }, (socket) => {
    socket.on('error', () => {});
    socket.end();
  });
  server.on('tlsClientError', () => {});
  servers.push(server);
  return { port: await listen(server), names };
}

/** The code of the failure, or 'ok'. */
async function outcome(port: number, node: Partial<DerpNode>, tlsCa?: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  await once(socket, 'connect');
  try {
    const secured = await secureRelay(socket, relayNode(port, node), tlsCa);
    secured.destroy();
    return 'ok';
  } catch (error) {
    return (error as { code: string }).code;
  } finally {
    socket.destroy();
  }
}

function pinOf(cert: string): string {
  return `sha256-raw:${createHash('sha256').update(new X509Certificate(cert).raw).digest('hex')}`;
}

describe('authorities', () => {
  test('an unknown authority is refused, an additional one is trusted', async () => {
    const { port, names } = await serve(pem.issued);
    expect(await outcome(port, verified)).toBe('derp/tls-certificate');
    expect(await outcome(port, verified, pem.authority)).toBe('ok');
    expect(names.at(-1)).toBe('relay.test');
  });

  test('the name must match, for an address too', async () => {
    const { port } = await serve(pem.issued);
    expect(await outcome(port, { ...verified, hostName: 'else.test' }, pem.authority)).toBe('derp/tls-certificate');
    expect(await outcome(port, { ...verified, hostName: '127.0.0.1' }, pem.authority)).toBe('ok');
    expect(await outcome(port, { ...verified, hostName: '127.0.0.2' }, pem.authority)).toBe('derp/tls-certificate');
  });

  test('CertName is verified instead of HostName, which stays the name asked for', async () => {
    const { port, names } = await serve(pem.issuedForOther);
    expect(await outcome(port, { ...verified, certName: 'other.test' }, pem.authority)).toBe('ok');
    expect(names).toEqual(['relay.test']);
    expect(await outcome(port, verified, pem.authority)).toBe('derp/tls-certificate');
  });

  test('InsecureForTests takes any certificate', async () => {
    const { port } = await serve(pem.expired);
    expect(await outcome(port, { ...verified, isInsecureForTests: true })).toBe('ok');
  });
});

describe('pins', () => {
  test('the pinned certificate is accepted without an authority, another one is not', async () => {
    const { port } = await serve(pem.selfSigned);
    expect(await outcome(port, { ...verified, certName: pinOf(pem.selfSigned) })).toBe('ok');
    expect(
      await outcome(port, {
        ...verified,
        certName: pinOf(pem.selfSigned).toUpperCase().replace('SHA256-RAW', 'sha256-raw'),
      }),
    ).toBe('ok');
    expect(await outcome(port, { ...verified, certName: pinOf(pem.issued) })).toBe('derp/tls-certificate');
  });

  test('a pin wins over InsecureForTests', async () => {
    const { port } = await serve(pem.selfSigned);
    const node = { ...verified, isInsecureForTests: true, certName: pinOf(pem.issued) };
    expect(await outcome(port, node)).toBe('derp/tls-certificate');
  });

  test('the extra certificate of derper does not count, any other one does', async () => {
    const withMeta = await serve(pem.selfSigned + pem.derperMeta);
    expect(await outcome(withMeta.port, { ...verified, certName: pinOf(pem.selfSigned) })).toBe('ok');
    const withAuthority = await serve(pem.issued + pem.authority);
    expect(await outcome(withAuthority.port, { ...verified, certName: pinOf(pem.issued) })).toBe(
      'derp/tls-certificate',
    );
  });

  test('a pinned certificate must be valid now', async () => {
    const { port } = await serve(pem.expired);
    expect(await outcome(port, { ...verified, certName: pinOf(pem.expired) })).toBe('derp/tls-certificate');
  });

  test('a pinned certificate must be for the host name, when the host is named', async () => {
    const { port } = await serve(pem.selfSigned);
    const pinned = { ...verified, certName: pinOf(pem.selfSigned) };
    expect(await outcome(port, { ...pinned, hostName: 'else.test' })).toBe('derp/tls-certificate');
    expect(await outcome(port, { ...pinned, hostName: '127.0.0.1' })).toBe('ok');
  });
});

describe('servers that do not speak TLS', () => {
  async function answer(bytes: string | undefined): Promise<number> {
    const server = createTcpServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => (bytes === undefined ? socket.end() : socket.end(bytes)));
    });
    servers.push(server);
    return listen(server);
  }

  test('an HTTP answer', async () => {
    expect(await outcome(await answer('HTTP/1.1 400 Bad Request\r\n\r\n'), {})).toBe('derp/not-tls');
  });

  test('a connection that is closed', async () => {
    expect(await outcome(await answer(undefined), {})).toBe('derp/tls-handshake');
  });
});
