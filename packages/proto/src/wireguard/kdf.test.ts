import { expect, test } from 'vitest';
import vector from '../../test/vectors/wireguard/kdf.json' with { type: 'json' };
import { bytesOf } from '../../test/wireguard-end.ts';
import { formatHex } from '../bytes/hex.ts';
import { nobleProvider } from '../crypto/noble-provider.ts';
import { deriveKeys } from './kdf.ts';

test.each(vector.cases as [string, string, string[]][])(
  'derives the published outputs of key "%s", input "%s"',
  (key, input, outputs) => {
    const derived = deriveKeys(nobleProvider, bytesOf(key), bytesOf(input), 3);
    expect(derived.map((output) => formatHex(output))).toEqual(outputs);
    const two = deriveKeys(nobleProvider, bytesOf(key), bytesOf(input), 2);
    expect(two.map((output) => formatHex(output))).toEqual([...outputs.slice(0, 2), '']);
  },
);
