import fc from 'fast-check';
import { expect, it } from 'vitest';
import testcontrol from '../../test/vectors/control/stream-testcontrol.json' with { type: 'json' };
import { decodeUtf8, encodeUtf8 } from '../bytes/utf8.ts';
import { answerControlToNode, parsePingRequest } from './ping-request.ts';

const responses = testcontrol.steps.flatMap((step) =>
  step.responses.map(([, response]) => response as Record<string, unknown>),
);
const recorded = responses.flatMap((response) => parsePingRequest(response['PingRequest']) ?? []);
const answer = (request: string): string => decodeUtf8(answerControlToNode(encodeUtf8(request)))!;

it('reads the recorded requests of all kinds', () => {
  expect(recorded.map(({ types, isUrlNoise, ip }) => [types.join(), isUrlNoise, ip === ''])).toEqual([
    ['', false, true],
    ['', true, true],
    ['TSMP,disco', false, false],
    ['c2n', true, true],
  ]);
});

it('echoes the recorded control-to-node request', () => {
  expect(decodeUtf8(answerControlToNode(recorded.at(-1)!.payload!))).toBe(
    'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 5\r\n\r\nhello',
  );
});

it('echoes a body in chunks', () => {
  const head = 'POST /echo?a=1 HTTP/1.1\r\nHost: c2n\r\nTransfer-Encoding: chunked\r\n\r\n';
  expect(answer(`${head}9\r\nhello c2n\r\nA\r\n, and more\r\n0\r\n\r\n`)).toMatch(/\r\n\r\nhello c2n, and more$/);
  expect(answer(`${head}9\r\nhel`)).toMatch(/Content-Length: 0\r\n\r\n$/);
  expect(answer(`${head}zz\r\n`)).toMatch(/Content-Length: 0\r\n\r\n$/);
});

it('serves nothing else', () => {
  for (const path of ['/', '/debug/goroutines', '/update', '/echo/..', '//echo', 'http://x/echo']) {
    expect(answer(`POST ${path} HTTP/1.1\r\nHost: h\r\n\r\n`), path).toMatch(/^HTTP\/1\.1 404 /);
  }
});

it('calls a damaged request so', () => {
  for (const request of [
    '',
    'POST /echo HTTP/1.1\r\nHost: h\r\n',
    'POST /echo\r\n\r\n',
    '\r\n\r\n',
    'post /echo HTTP/1.1\r\n\r\n',
  ]) {
    expect(answer(request), request).toMatch(/^HTTP\/1\.1 400 /);
  }
});

it('any bytes are survived', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void answerControlToNode(bytes)));
  fc.assert(fc.property(fc.jsonValue(), (json) => void parsePingRequest(json)));
});
