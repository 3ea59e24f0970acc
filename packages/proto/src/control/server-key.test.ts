import { expect, it } from 'vitest';
import { formatPublicKey } from '../keys/public-key.ts';
import { parseServerKey } from './server-key.ts';

const ZERO = `mkey:${'00'.repeat(32)}`;
const KEY = 'mkey:31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62';

it('the answer of a server gives its key', () => {
  const key = parseServerKey(`{"legacyPublicKey":"${ZERO}","publicKey":"${KEY}"}\n`);
  if (typeof key === 'string') throw new Error(key);
  expect(formatPublicKey('machine', key)).toBe(KEY);
});

it('a server without the Noise protocol is unsupported', () => {
  for (const text of ['', '\n', 'ab'.repeat(32), '{}', `{"publicKey":"${ZERO}"}`, '{"publicKey":"mkey:12"}']) {
    expect(parseServerKey(text), text).toBe('unsupported');
  }
});

it('a page of something else is told apart', () => {
  for (const text of ['<!doctype html><html>', 'capability version must be set', '[]', 'null', '"x"']) {
    expect(parseServerKey(text), text).toBe('not-json');
  }
});
