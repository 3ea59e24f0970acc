/** The blocks of a PEM file: `-----BEGIN LABEL-----`, base64, `-----END LABEL-----`; text before a block is a comment. */

import { parseBase64 } from '@heddle/proto/bytes/base64';

export interface PemBlock {
  readonly label: string;
  readonly bytes: Uint8Array;
}

export type PemResult =
  | { readonly kind: 'ok'; readonly blocks: readonly PemBlock[] }
  | { readonly kind: 'bad'; readonly reason: 'too-large' | 'too-many' | 'bad-pem' };

const PEM_CHARACTERS_MAX = 1 << 20;
const BLOCK_COUNT_MAX = 128;
const BEGIN = /-----BEGIN ([A-Z0-9 ]{1,64})-----/y;

/**
 * Splits at most 1 Mi characters into at most 128 blocks. What follows the last block must be blank: Nebula takes
 * anything else for a damaged block.
 */
export function parsePemBlocks(text: string): PemResult {
  if (text.length > PEM_CHARACTERS_MAX) return { kind: 'bad', reason: 'too-large' };
  const blocks: PemBlock[] = [];
  let at = 0;
  for (let start = text.indexOf('-----BEGIN '); start >= 0; start = text.indexOf('-----BEGIN ', at)) {
    if (blocks.length === BLOCK_COUNT_MAX) return { kind: 'bad', reason: 'too-many' };
    BEGIN.lastIndex = start;
    const label = BEGIN.exec(text)?.[1];
    const bodyStart = BEGIN.lastIndex;
    const end = label === undefined ? -1 : text.indexOf(`-----END ${label}-----`, bodyStart);
    if (label === undefined || end < 0) return { kind: 'bad', reason: 'bad-pem' };
    const bytes = parseBase64(text.slice(bodyStart, end).replace(/\s+/g, ''));
    if (bytes === undefined) return { kind: 'bad', reason: 'bad-pem' };
    blocks.push({ label, bytes });
    at = end + `-----END ${label}-----`.length;
  }
  return text.slice(at).trim() === '' ? { kind: 'ok', blocks } : { kind: 'bad', reason: 'bad-pem' };
}
