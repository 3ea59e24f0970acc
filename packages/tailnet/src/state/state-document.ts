/**
 * The text of `state.json` (docs/spec/state.md#document): a JSON object of `format`, `version`, `controlUrl`,
 * `machineKey`, `nodeKey`, and `checksum` = hex SHA-256 over the other values joined by newlines, because one flipped
 * digit of a key is still a key.
 */

import { createHash } from 'node:crypto';

/** What one node must remember. The keys are secrets in their `privkey:` form. */
export interface StateDocument {
  /** Normalised by {@link normalizeControlUrl}. */
  readonly controlUrl: string;
  readonly machineKey: string;
  readonly nodeKey: string;
}

export type StateDocumentResult =
  | { readonly kind: 'ok'; readonly document: StateDocument }
  /** Not readable as the document it was. */
  | { readonly kind: 'damaged' }
  /** Sound JSON, of some other program. */
  | { readonly kind: 'foreign' }
  /** Ours, of a later version of this program. */
  | { readonly kind: 'newer' };

const FORMAT = 'heddle-state';
const VERSION = 1;
const KEY = /^privkey:[0-9a-f]{64}$/;

export function formatStateDocument(document: StateDocument): string {
  const { controlUrl, machineKey, nodeKey } = document;
  const fields = { format: FORMAT, version: VERSION, controlUrl, machineKey, nodeKey, checksum: checksumOf(document) };
  return `${JSON.stringify(fields, null, 2)}\n`;
}

export function parseStateDocument(text: string): StateDocumentResult {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { kind: 'damaged' };
  }
  if (typeof json !== 'object' || json === null) return { kind: 'foreign' };
  const fields = json as Readonly<Record<string, unknown>>;
  if (fields['format'] !== FORMAT) return { kind: 'foreign' };
  if (typeof fields['version'] === 'number' && fields['version'] > VERSION) return { kind: 'newer' };
  const { controlUrl, machineKey, nodeKey, checksum } = fields;
  if (typeof controlUrl !== 'string' || typeof machineKey !== 'string' || typeof nodeKey !== 'string') {
    return { kind: 'damaged' };
  }
  const document = { controlUrl, machineKey, nodeKey };
  if (fields['version'] !== VERSION || checksum !== checksumOf(document)) return { kind: 'damaged' };
  if (!KEY.test(machineKey) || !KEY.test(nodeKey)) return { kind: 'damaged' };
  return { kind: 'ok', document };
}

/** Scheme, host and port in one spelling, so that two ways to write a server are one server. */
export function normalizeControlUrl(url: string): string {
  try {
    return new URL(url).origin;
  } catch {
    return url;
  }
}

function checksumOf(document: StateDocument): string {
  const text = [FORMAT, VERSION, document.controlUrl, document.machineKey, document.nodeKey].join('\n');
  return createHash('sha256').update(text).digest('hex');
}
