/**
 * The values of a connection that stand in files or are addresses, read and checked. What a secret file holds is never
 * part of a message.
 */

import { Buffer } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { reasonOf } from '../socket/socket-path.ts';

/** The origin of a coordination server. @throws {TailnetError} `usage/bad-login-server`. */
export function parseControlUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isPlain = url !== undefined && (url.pathname === '/' || url.pathname === '') && url.search === '';
  if (isPlain && (url.protocol === 'https:' || url.protocol === 'http:') && url.username === '') return url.origin;
  const message = 'The login server is not a URL like https://headscale.example.com (no path, no user name)';
  throw new TailnetError('usage/bad-login-server', message);
}

/** @throws {TailnetError} `connect/auth-key-file`. */
export function readAuthKeyFile(path: string): string {
  return checkAuthKey(readText(path, 'connect/auth-key-file', 'auth key file'), `"${path}"`);
}

/**
 * One auth key without the white space around it.
 * @param source Where it came from, for the message.
 * @throws {TailnetError} `connect/auth-key-file`.
 */
export function checkAuthKey(text: string, source: string): string {
  const key = text.trim();
  if (key === '') throw new TailnetError('connect/auth-key-file', `There is no auth key in ${source}`);
  if (/\s/.test(key) || key.length > 1024) {
    throw new TailnetError('connect/auth-key-file', `What is in ${source} is not one auth key`);
  }
  return key;
}

/** @throws {TailnetError} `connect/proxy-token-file`. */
export function readProxyTokenFile(path: string): string {
  const token = readText(path, 'connect/proxy-token-file', 'proxy token file').trim();
  // RFC 1929: a SOCKS5 password has 1 to 255 bytes.
  if (token !== '' && !/\s/.test(token) && Buffer.byteLength(token) <= 255) return token;
  throw new TailnetError('connect/proxy-token-file', `What is in "${path}" is not one token of 1 to 255 bytes`);
}

/** PEM text. @throws {TailnetError} `connect/tls-ca-file`. */
export function readCaFile(path: string): string {
  const text = readText(path, 'connect/tls-ca-file', 'CA file');
  if (text.includes('-----BEGIN CERTIFICATE-----')) return text;
  throw new TailnetError('connect/tls-ca-file', `There is no PEM certificate in "${path}"`);
}

function readText(path: string, code: string, what: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new TailnetError(code, `Cannot read the ${what} "${path}" (${reasonOf(error)})`);
  }
}
