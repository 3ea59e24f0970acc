import { isIPv4 } from 'node:net';
import { RegistrationError } from './registration-error.ts';

/** Where a team server is. */
export interface ApiBase {
  /** Without a slash at the end. */
  readonly url: string;
  /** With port; for messages. */
  readonly host: string;
}

const LENGTH_MAX = 2048;

/**
 * Reads the address of a team server; a path in front of `/api` is kept. Plain HTTP is for loopback, or where it was
 * asked for by name: tokens and private keys travel in the open then. The text is never quoted, it may hold a password.
 * @throws {RegistrationError} `registration/bad-api-base`, `registration/plain-http`.
 */
export function parseApiBase(text: string, allowsPlainHttp: boolean): ApiBase {
  const url = text.length <= LENGTH_MAX && URL.canParse(text) ? new URL(text) : undefined;
  const isBare =
    url !== undefined && url.search === '' && url.hash === '' && url.username === '' && url.password === '';
  if (!isBare || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    const message = 'The API base is not a URL like https://vpn.example.com (no user name, query or fragment)';
    throw new RegistrationError('registration/bad-api-base', message);
  }
  if (url.protocol === 'http:' && !allowsPlainHttp && !isLoopback(url.hostname)) {
    const message = `The API base at "${url.host}" is plain http: tokens and keys would travel readable for everybody`;
    throw new RegistrationError('registration/plain-http', message);
  }
  return { url: `${url.origin}${url.pathname.replace(/\/+$/, '')}`, host: url.host };
}

// The URL parser has made every spelling of an IPv4 address dotted decimals already.
function isLoopback(hostname: string): boolean {
  if (hostname === 'localhost' || hostname === '[::1]') return true;
  return isIPv4(hostname) && hostname.startsWith('127.');
}
