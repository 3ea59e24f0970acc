import { concatBytes } from '../bytes/equal.ts';
import type { CryptoProvider } from '../crypto/provider.ts';

/**
 * HKDF over HMAC-BLAKE2s as WireGuard uses it: `count` outputs of 32 bytes from a key and an input.
 * (docs/spec/wireguard.md#key-derivation)
 */
export function deriveKeys(
  crypto: Pick<CryptoProvider, 'hmacBlake2s'>,
  key: Uint8Array,
  input: Uint8Array,
  count: 1 | 2 | 3,
): [Uint8Array, Uint8Array, Uint8Array] {
  const secret = crypto.hmacBlake2s(key, input);
  const outputs: [Uint8Array, Uint8Array, Uint8Array] = [EMPTY, EMPTY, EMPTY];
  let last: Uint8Array = EMPTY;
  for (let i = 0; i < count; i++) {
    last = crypto.hmacBlake2s(secret, concatBytes(last, Uint8Array.of(i + 1)));
    outputs[i] = last;
  }
  secret.fill(0);
  return outputs;
}

const EMPTY = new Uint8Array(0);
