// The parts of HTTP/1.1 that a proxy changes: RFC 9110 §7.6.1 (fields of one hop), RFC 9112 §3.2 (request targets).
import { type HostPort, parseHostPort } from './listen-spec.ts';

const HTTP_PORT = 80;

/** Fields that concern one connection only, in lower case. `Expect` is answered by the parser before we see it. */
const HOP_BY_HOP = new Set([
  'connection',
  'expect',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** A request target in absolute form, cut into where to go and what to ask for there. */
export interface AbsoluteTarget extends HostPort {
  /** As it stands in the target: the value of the Host field, whatever the client's said (RFC 9112 §3.2.2). */
  readonly authority: string;
  /** Origin form. */
  readonly path: string;
}

/** Parses `http://host[:port][/path][?query]`; `undefined` for any other text, credentials and fragments included. */
export function parseAbsoluteTarget(url: string): AbsoluteTarget | undefined {
  const match = /^http:\/\/([^/?#]+)((?:[/?][^#]*)?)$/i.exec(url);
  if (!match) return undefined;
  const authority = match[1] as string;
  const path = match[2] as string;
  const target = parseHostPort(authority) ?? parseHostPort(`${authority.replace(/:$/, '')}:${HTTP_PORT}`);
  return target && { ...target, authority, path: path.startsWith('/') ? path : `/${path}` };
}

/**
 * The fields to pass on: a flat list of names and values as they came, without those of one hop and those that
 * `Connection` names.
 */
export function forwardableHeaders(rawHeaders: readonly string[], connection: string | undefined): string[] {
  const named = connection?.toLowerCase().split(/[\s,]+/) ?? [];
  const headers: string[] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string;
    const lowerCase = name.toLowerCase();
    if (!HOP_BY_HOP.has(lowerCase) && !named.includes(lowerCase)) headers.push(name, rawHeaders[i + 1] as string);
  }
  return headers;
}

/** The same for a request: the Host field comes first and is the target's. */
export function forwardableRequestHeaders(
  rawHeaders: readonly string[],
  connection: string | undefined,
  authority: string,
): string[] {
  const headers = forwardableHeaders(rawHeaders, connection);
  const kept = headers.filter((_, i) => (headers[i & ~1] as string).toLowerCase() !== 'host');
  return ['Host', authority, ...kept];
}
