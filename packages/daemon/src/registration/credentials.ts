import { flag, nullable, objectOf, oneOf, optional, type Shape, textLike, textOf } from '../schema/shape.ts';
import { lineShape, type NodeId, nodeIdShape, tokenShape } from './api-answers.ts';
import { readWithCopy } from './team-files.ts';
import type { TeamFolder } from './team-folder.ts';

/** How a machine runs its teams: a service unit each, or one daemon for all. */
export type NodeMode = 'server' | 'desktop';

/** `credentials.json`: who this node is for which server. Mode 0600. */
export interface Credentials {
  readonly api_base: string;
  readonly org_slug: string;
  readonly node_id: NodeId;
  readonly node_name: string;
  readonly nebula_ip?: string | undefined;
  readonly is_lighthouse?: boolean | undefined;
  readonly mode?: NodeMode | undefined;
  /** End of the certificate, as the server writes it. */
  readonly expiration?: string | null | undefined;
  readonly registered_at?: string | undefined;
  /** Plain HTTP beyond loopback was asked for. */
  readonly allow_http?: boolean | undefined;
  /** PEM of an authority trusted for this server. */
  readonly tls_ca?: string | undefined;
  /** Where the token is; `file` when missing. */
  readonly token_storage?: 'keyring' | 'file' | undefined;
  /** Missing when it is in the keyring. */
  readonly api_token?: string | undefined;
}

/** PEM of some authorities. */
const TLS_CA_LENGTH_MAX = 262_144;

export const credentialsShape: Shape<Credentials> = objectOf<Credentials>({
  api_base: textOf(1, 2048),
  org_slug: lineShape,
  node_id: nodeIdShape,
  node_name: lineShape,
  nebula_ip: optional(lineShape),
  is_lighthouse: optional(flag),
  mode: optional(oneOf(['server', 'desktop'])),
  expiration: optional(nullable(lineShape)),
  registered_at: optional(lineShape),
  allow_http: optional(flag),
  tls_ca: optional(textOf(1, TLS_CA_LENGTH_MAX)),
  token_storage: optional(oneOf(['keyring', 'file'])),
  api_token: optional(tokenShape),
});

/** `auth-revoked.json`: while it is there the server is not asked again. */
export interface Revocation {
  /** ISO 8601. */
  readonly revoked_at: string;
  /** `401 Unauthorized`. */
  readonly reason: string;
  readonly node_id: NodeId;
}

export const revocationShape: Shape<Revocation> = objectOf<Revocation>({
  revoked_at: textLike(/^[0-9TZ:.+-]{10,40}$/, 'a time'),
  reason: lineShape,
  node_id: nodeIdShape,
});

/** Reads what the folder knows about the node; `undefined` when it was never registered. @throws {RegistrationError} `registration/damaged-file` and those of reading. */
export function readCredentials(folder: TeamFolder): Credentials | undefined {
  return readWithCopy(folder, 'credentials.json', (text) => parseJson(text, credentialsShape))?.value;
}

/** A document as it is stored. */
export function formatJson(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/** `undefined` for a text that is damaged. */
export function parseJson<T>(text: string, shape: Shape<T>): T | undefined {
  try {
    const result = shape(JSON.parse(text));
    return result.kind === 'ok' ? result.value : undefined;
  } catch {
    return undefined;
  }
}
