import { expect, it } from 'vitest';
import vector from '../../test/vectors/control/hostnames.json' with { type: 'json' };
import { chooseHostname, sanitizeHostname } from './hostname.ts';

it.each(vector.names as [string, string][])('%j becomes %j, as in the reference client', (hostname, label) => {
  expect(sanitizeHostname(hostname)).toBe(label);
});

it('what servers get has two characters at least', () => {
  expect(['', '日本', 'a', 'My Box.local'].map(chooseHostname)).toEqual(['node', 'node', 'node-a', 'my-box']);
});
