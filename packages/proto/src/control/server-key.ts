import { isZeroKey, type MachinePublicKey, parsePublicKey } from '../keys/public-key.ts';
import { isRecord, textOf } from './json-value.ts';

/** Largest answer to `GET /key` that is read. */
export const SERVER_KEY_BYTES_MAX: number = 64 * 1024;

/**
 * Reads the answer to `GET /key?v=`. `not-json` is a page of something else; `unsupported` a server that knows no
 * Noise, or refuses our version by an empty body.
 */
export function parseServerKey(text: string): MachinePublicKey | 'not-json' | 'unsupported' {
  if (text.trim() === '' || /^\s*[0-9a-f]{64}\s*$/i.test(text)) return 'unsupported';
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return 'not-json';
  }
  if (!isRecord(json)) return 'not-json';
  const key = parsePublicKey('machine', textOf(json['publicKey']));
  return key === undefined || isZeroKey(key) ? 'unsupported' : key;
}
