import { createHash, timingSafeEqual } from 'node:crypto';

/** Who may use a proxy. Made by {@link createCredentials}. */
export interface Credentials {
  /** True when the name (if one is demanded) and the token match; takes the same time for every wrong answer. */
  isAccepted(user: string, token: string): boolean;
}

/** `undefined` when no token is set: then everyone is welcome, and only loopback may be listened on. */
export function createCredentials(user: string | undefined, token: string | undefined): Credentials | undefined {
  if (token === undefined) return undefined;
  const userHash = user === undefined ? undefined : hash(user);
  const tokenHash = hash(token);
  return {
    isAccepted(givenUser, givenToken) {
      const isUser = userHash === undefined || timingSafeEqual(userHash, hash(givenUser));
      const isToken = timingSafeEqual(tokenHash, hash(givenToken));
      return isUser && isToken;
    },
  };
}

/** Checks an HTTP `Proxy-Authorization` header of the scheme Basic (RFC 7617). */
export function isBasicAccepted(credentials: Credentials, header: string | undefined): boolean {
  const encoded = /^Basic +([A-Za-z0-9+/=]+)$/i.exec(header ?? '')?.[1];
  if (encoded === undefined) return false;
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return colon >= 0 && credentials.isAccepted(text.slice(0, colon), text.slice(colon + 1));
}

/** Equal lengths for the comparison, so that not even the length of the token shows in its time. */
function hash(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
