/** When the certificates of a team end: Nebula itself says nothing about its own while it runs. */

import type { NebulaCertificate } from './certificate.ts';

/** `own`: a certificate of this machine; `ca`: an authority it depends on. */
export type CertificateOwner = 'own' | 'ca';

export type CertificateExpiry =
  | { readonly kind: 'valid'; readonly notAfterUnixMs: number }
  | {
      readonly kind: 'expiring';
      readonly which: CertificateOwner;
      readonly notAfterUnixMs: number;
      /** The notice that is due: the smallest remaining time of the list that has been reached. Log each once. */
      readonly noticeMs: number;
    }
  | { readonly kind: 'expired'; readonly which: CertificateOwner; readonly notAfterUnixMs: number }
  /** Nebula calls it expired; most often the clock is wrong. */
  | { readonly kind: 'not-yet-valid'; readonly which: CertificateOwner; readonly notBeforeUnixMs: number };

const DAY_MS = 86_400_000;
const NOTICE_DAYS = [30, 7, 1];

/**
 * The state of the one that ends first. Notices are due at 30, 7 and 1 days and at a tenth of the lifetime before the
 * end; those of days only where they are at most a third of the lifetime.
 *
 * @param certificates What `pki.cert` holds, not empty: Nebula needs each of them valid.
 * @param caCertificates What `pki.ca` holds. Only the issuers of the own ones count; when none of them is there, the
 *   authority that lasts longest, because Nebula starts with any valid one.
 */
export function expiryOf(
  certificates: readonly NebulaCertificate[],
  caCertificates: readonly NebulaCertificate[],
  nowUnixMs: number,
): CertificateExpiry {
  const relevant = [
    ...certificates.map((certificate) => ({ which: 'own' as const, certificate })),
    ...relevantAuthorities(certificates, caCertificates).map((certificate) => ({ which: 'ca' as const, certificate })),
  ].sort((a, b) => a.certificate.notAfterUnixMs - b.certificate.notAfterUnixMs);
  const first = relevant[0];
  if (first === undefined) throw new RangeError('No certificate given');
  const { notAfterUnixMs } = first.certificate;
  if (nowUnixMs > notAfterUnixMs) return { kind: 'expired', which: first.which, notAfterUnixMs };
  const early = relevant.find(({ certificate }) => nowUnixMs < certificate.notBeforeUnixMs);
  if (early !== undefined) {
    return { kind: 'not-yet-valid', which: early.which, notBeforeUnixMs: early.certificate.notBeforeUnixMs };
  }
  for (const { which, certificate } of relevant) {
    const noticeMs = dueNotice(certificate, nowUnixMs);
    if (noticeMs !== undefined) {
      return { kind: 'expiring', which, notAfterUnixMs: certificate.notAfterUnixMs, noticeMs };
    }
  }
  return { kind: 'valid', notAfterUnixMs };
}

function relevantAuthorities(
  certificates: readonly NebulaCertificate[],
  caCertificates: readonly NebulaCertificate[],
): readonly NebulaCertificate[] {
  const issuers = new Set(certificates.map(({ issuer }) => issuer));
  const own = caCertificates.filter(({ fingerprint }) => issuers.has(fingerprint));
  if (own.length > 0 || caCertificates.length === 0) return own;
  return [caCertificates.reduce((last, each) => (each.notAfterUnixMs > last.notAfterUnixMs ? each : last))];
}

function dueNotice({ notBeforeUnixMs, notAfterUnixMs }: NebulaCertificate, nowUnixMs: number): number | undefined {
  const lifetimeMs = notAfterUnixMs - notBeforeUnixMs;
  const notices = NOTICE_DAYS.map((days) => days * DAY_MS).filter((noticeMs) => noticeMs * 3 <= lifetimeMs);
  const reached = [...notices, lifetimeMs / 10].filter((noticeMs) => notAfterUnixMs - nowUnixMs <= noticeMs);
  return reached.length === 0 ? undefined : Math.min(...reached);
}
