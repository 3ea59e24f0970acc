import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { forwardableHeaders, forwardableRequestHeaders, parseAbsoluteTarget } from './http-message.ts';

describe('parseAbsoluteTarget', () => {
  test.each([
    ['http://web/', { host: 'web', port: 80, authority: 'web', path: '/' }],
    ['http://web', { host: 'web', port: 80, authority: 'web', path: '/' }],
    ['HTTP://Web:8080/a/b?c=d', { host: 'Web', port: 8080, authority: 'Web:8080', path: '/a/b?c=d' }],
    ['http://web?x', { host: 'web', port: 80, authority: 'web', path: '/?x' }],
    ['http://web:/x', { host: 'web', port: 80, authority: 'web:', path: '/x' }],
    ['http://[fd7a::1]/x', { host: 'fd7a::1', port: 80, authority: '[fd7a::1]', path: '/x' }],
    ['http://[fd7a::1]:81/x', { host: 'fd7a::1', port: 81, authority: '[fd7a::1]:81', path: '/x' }],
  ])('%s', (url, expected) => {
    expect(parseAbsoluteTarget(url)).toEqual(expected);
  });
  test.each([
    '/',
    '*',
    'web:80',
    'https://web/',
    'ftp://web/',
    'http://',
    'http:///x',
    'http://user@web/',
    'http://web:0/',
    'http://web:99999/',
    'http://fd7a::1/',
    'http://web/#x',
    'http://[web]/',
  ])('refuses %s', (url) => expect(parseAbsoluteTarget(url)).toBeUndefined());
  test('random text never throws', () => {
    fc.assert(fc.property(fc.string(), (text) => void parseAbsoluteTarget(`http://${text}`)));
  });
});

describe('forwardable headers', () => {
  test('leave out what concerns one hop', () => {
    const raw = [
      'Accept',
      '*/*',
      'Connection',
      'X-Once, close',
      'X-Once',
      '1',
      'Proxy-Authorization',
      'Basic x',
      'TE',
      'trailers',
      'Transfer-Encoding',
      'chunked',
      'Upgrade',
      'h2c',
      'Keep-Alive',
      '5',
      'Proxy-Connection',
      'keep-alive',
      'Trailer',
      'X',
      'Cookie',
      'a=b',
    ];
    expect(forwardableHeaders(raw, 'X-Once, close')).toEqual(['Accept', '*/*', 'Cookie', 'a=b']);
  });
  test('keep order, case and repetition', () => {
    const raw = ['Set-Cookie', 'a=1', 'set-cookie', 'b=2', 'X-Mixed-CASE', 'v'];
    expect(forwardableHeaders(raw, undefined)).toEqual(raw);
  });
  test('of a request name the target as host, whatever the client said', () => {
    expect(forwardableRequestHeaders(['HOST', 'evil', 'A', '1', 'host', 'evil2'], undefined, 'web:81')).toEqual([
      'Host',
      'web:81',
      'A',
      '1',
    ]);
  });
});
