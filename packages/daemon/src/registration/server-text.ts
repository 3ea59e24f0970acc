/**
 * Words of a server on one short line. A server may repeat what it was sent, so everything that looks like a token, a
 * key or a PEM block is taken out, and so is every secret the caller names.
 */
export function quoteServerText(text: string, secrets: readonly string[] = []): string {
  let line = text.slice(0, SCAN_LENGTH_MAX);
  for (const secret of secrets) if (secret !== '') line = line.replaceAll(secret, REDACTED);
  line = line.replace(/-----BEGIN[\s\S]*?(?:-----END[^-]*-----|$)/g, REDACTED);
  line = line.replace(/[A-Za-z0-9+/_=.-]{32,}/g, REDACTED);
  line = line.replace(/[\p{Cc}\p{Cf}\s]+/gu, ' ').trim();
  return `"${line.length > LENGTH_MAX ? `${line.slice(0, LENGTH_MAX)}…` : line}"`;
}

const REDACTED = '[redacted]';
const LENGTH_MAX = 200;
/** Longer than what is shown, so that a secret is not cut in half and shown. */
const SCAN_LENGTH_MAX = 4096;
