import { execFile, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FakeNode, listenOnLoopback } from '../../test/fake-node.ts';
import { type Proxy as RunningProxy, startProxy } from './proxy.ts';

const run = promisify(execFile);
const hasCurl = spawnSync('curl', ['--version']).status === 0;
/** Without the proxy settings of whoever runs the tests. */
const CLEAN_ENV = { PATH: process.env['PATH'] };
const BIG = randomBytes(5 * 1024 * 1024);

// What a real client makes of the proxy. Skipped where curl is not installed.
describe.skipIf(!hasCurl)('curl', () => {
  const node = new FakeNode({ web: '127.0.0.1' });
  const server = createServer((request, response) => {
    const hash = createHash('sha256');
    request.on('data', (chunk) => hash.update(chunk));
    request.on('end', () => {
      if (request.url === '/big') response.end(BIG);
      else response.end(`${request.method} ${request.url} ${request.headers.host} ${hash.digest('hex')}`);
    });
  });
  let open: RunningProxy;
  let guarded: RunningProxy;
  let url: string;

  beforeAll(async () => {
    url = `http://web:${await listenOnLoopback(server)}`;
    const listen = '127.0.0.1:0';
    open = await startProxy(node, { listen, log: () => undefined });
    guarded = await startProxy(node, { listen, user: 'alice', token: 'p@ss w:rd', log: () => undefined });
  });
  afterAll(async () => {
    await open.close();
    await guarded.close();
    server.close();
  });

  async function curl(...args: string[]): Promise<string> {
    const options = { env: CLEAN_ENV, encoding: 'latin1', maxBuffer: 32 * 1024 * 1024 } as const;
    return (await run('curl', ['-sS', '--max-time', '15', ...args], options)).stdout;
  }
  const ways = (proxy: RunningProxy): string[][] => [
    ['--socks5-hostname', proxy.address],
    ['--proxy', `http://${proxy.address}`],
    ['--proxytunnel', '--proxy', `http://${proxy.address}`],
  ];

  test('fetches a page every way', async () => {
    for (const way of ways(open)) expect(await curl(...way, `${url}/page`)).toContain(`GET /page ${url.slice(7)}`);
  });
  test('downloads five megabytes unchanged', async () => {
    for (const way of ways(open)) {
      const body = Buffer.from(await curl(...way, `${url}/big`), 'latin1');
      expect(body.equals(BIG)).toBe(true);
    }
  });
  test('uploads five megabytes unchanged, also chunked', async () => {
    const file = process.execPath;
    const { createReadStream } = await import('node:fs');
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(file, { end: BIG.length - 1 })) hash.update(chunk);
    const digest = hash.digest('hex');
    for (const way of ways(open)) {
      for (const extra of [[], ['-H', 'Transfer-Encoding: chunked']]) {
        const script = `head -c ${BIG.length} "$0" | curl -sS --max-time 15 "$@"`;
        const args = [...way, '-X', 'PUT', ...extra, '--data-binary', '@-', `${url}/put`];
        const upload = run('sh', ['-c', script, file, ...args], { env: CLEAN_ENV });
        expect((await upload).stdout).toContain(digest);
      }
    }
  });
  test('logs in with the right token only', async () => {
    for (const way of ways(guarded)) {
      expect(await curl(...way, '--proxy-user', 'alice:p@ss w:rd', `${url}/in`)).toContain('GET /in');
      // A plain request gets the proxy's own answer; a tunnel fails.
      const refused = await curl(...way, '--proxy-user', 'alice:wrong', `${url}/out`).catch(
        (error: Error) => error.message,
      );
      expect(refused).not.toContain('GET /out');
    }
    await expect(curl('--fail', '--proxy', guarded.address, `${url}/out`)).rejects.toThrow('407');
  });
  test('reports an unknown host in its own words', async () => {
    await expect(curl('--socks5-hostname', open.address, 'http://nope/')).rejects.toThrow('(4)');
    await expect(curl('--fail', '--proxy', open.address, 'http://nope/')).rejects.toThrow('502');
    await expect(curl('--proxytunnel', '--proxy', open.address, 'http://nope/')).rejects.toThrow('502');
  });
});
