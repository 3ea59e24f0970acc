import { describe, expect, test } from 'vitest';
import { TailnetError } from '../tailnet-error.ts';
import { formatHostPort, parseForwardSpec, parseHostPort, parseListen, parseServeSpec } from './listen-spec.ts';

describe('parseListen', () => {
  test.each([
    ['127.0.0.1:16579', '127.0.0.1:16579'],
    ['localhost:80', '127.0.0.1:80'],
    ['[::1]:16579', '[::1]:16579'],
    ['127.0.0.1:0', '127.0.0.1:0'],
    ['[::1]:0', '[::1]:0'],
    ['0.0.0.0:65535', '0.0.0.0:65535'],
  ])('%s', (text, expected) => {
    expect(parseListen(text).text).toBe(expected);
  });
  test.each([
    '',
    ':80',
    '127.0.0.1',
    '127.0.0.1:',
    '127.0.0.1:65536',
    '127.0.0.1:-1',
    '::1:80',
    '[::1]',
    'example.com:80',
    '127.0.0.1:00',
  ])('refuses "%s"', (text) => expectCode(() => parseListen(text), 'proxy/bad-listen', text));
});

describe('parseForwardSpec', () => {
  test.each([
    ['127.0.0.1:15432:db:5432', { listen: '127.0.0.1:15432', host: 'db', port: 5432 }],
    ['15432:db:5432', { listen: '127.0.0.1:15432', host: 'db', port: 5432 }],
    ['[::1]:15432:db.example.ts.net:5432', { listen: '[::1]:15432', host: 'db.example.ts.net', port: 5432 }],
    ['127.0.0.1:1:[fd7a:115c:a1e0::2]:5432', { listen: '127.0.0.1:1', host: 'fd7a:115c:a1e0::2', port: 5432 }],
    ['1:[fd7a::2]:2', { listen: '127.0.0.1:1', host: 'fd7a::2', port: 2 }],
    ['localhost:1:100.64.0.2:2', { listen: 'localhost:1', host: '100.64.0.2', port: 2 }],
  ])('%s', (text, expected) => {
    expect(parseForwardSpec(text)).toEqual(expected);
  });
  test.each([
    '',
    'db:5432',
    '1:2:3:4:5',
    'a:b:c',
    '1:fd7a::2:2',
    '127.0.0.1:0:db:1',
    '1:db:0',
    '1:[db]:2',
    '1:db]:2',
    '1::2',
    '1:d b:2',
    '1:d/b:2',
  ])('refuses "%s"', (text) => expectCode(() => parseForwardSpec(text), 'proxy/bad-forward', text));
});

describe('parseServeSpec', () => {
  test.each([
    ['8080:127.0.0.1:3000', { port: 8080, target: { host: '127.0.0.1', port: 3000 } }],
    ['8080:localhost:3000', { port: 8080, target: { host: 'localhost', port: 3000 } }],
    ['8080:[::1]:3000', { port: 8080, target: { host: '::1', port: 3000 } }],
  ])('%s', (text, expected) => {
    expect(parseServeSpec(text)).toEqual(expected);
  });
  test.each([
    '',
    '8080',
    '8080:3000',
    '0:127.0.0.1:1',
    '70000:127.0.0.1:1',
    '8080:::1:3000',
    '8080:127.0.0.1:3000:1',
    'x:127.0.0.1:1',
  ])('refuses "%s"', (text) => expectCode(() => parseServeSpec(text), 'proxy/bad-serve', text));
});

describe('parseHostPort', () => {
  test('is undone by formatHostPort', () => {
    for (const text of ['web:80', '100.64.0.1:65535', '[fd7a::1]:443', 'a_b.c-d:1']) {
      const parsed = parseHostPort(text);
      expect(parsed && formatHostPort(parsed)).toBe(text);
    }
  });
  test.each([
    'web',
    'web:',
    ':80',
    'web:0',
    'web:080',
    'web:65536',
    '[::1:80',
    '::1]:80',
    '[web]:80',
    '[1.2.3.4]:80',
    'we b:80',
    'wéb:80',
    'a@b:80',
    `${'a'.repeat(256)}:80`,
  ])('refuses "%s"', (text) => expect(parseHostPort(text)).toBeUndefined());
});

/** The message must quote the text, so that one can see which of several options is meant. */
function expectCode(run: () => unknown, code: string, text: string): void {
  let caught: unknown;
  try {
    run();
  } catch (error) {
    caught = error;
  }
  expect(caught).toBeInstanceOf(TailnetError);
  expect(caught).toMatchObject({ code, isRetryable: false });
  expect((caught as Error).message).toContain(`"${text}"`);
}
