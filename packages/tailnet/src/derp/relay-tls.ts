import { createHash, type X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isIP, type Socket } from 'node:net';
import * as tls from 'node:tls';
import type { DerpNode } from '@heddle/proto/control/derp-map';
import { TailnetError } from '../tailnet-error.ts';

const PIN_PREFIX = 'sha256-raw:';
/** A derper adds a certificate of this subject to its chain that only carries the relay's key. */
const META_SUBJECT = /^CN=derpkey[0-9a-f]{64}$/;
const CHAIN_LENGTH_MAX = 8;

/**
 * Speaks TLS with a relay node over a connected socket, and verifies the node before any byte of ours is sent
 * (docs/spec/derp.md#tls). The socket is destroyed on failure.
 * @throws {TailnetError} `derp/tls-certificate` when the node is not who the map says, `derp/not-tls` when the server's
 * first bytes are not TLS, `derp/tls-handshake` for any other failure.
 */
export async function secureRelay(socket: Socket, node: DerpNode, tlsCa: string | undefined): Promise<tls.TLSSocket> {
  const secured = tls.connect(tlsOptions(socket, node, tlsCa));
  secured.on('error', () => {});
  await new Promise<void>((resolve, reject) => {
    secured.once('secureConnect', resolve);
    secured.once('error', (error) => reject(toTlsError(error, secured, node)));
    secured.once('close', () => reject(handshakeFailed(node, undefined)));
  });
  const problem = node.certName.startsWith(PIN_PREFIX) ? checkPin(secured, node) : undefined;
  if (problem === undefined) return secured;
  secured.destroy();
  throw certificateRefused(node, problem, undefined);
}

function tlsOptions(socket: Socket, node: DerpNode, tlsCa: string | undefined): tls.ConnectionOptions {
  const isVerifiedHere = node.certName.startsWith(PIN_PREFIX);
  const name = node.certName === '' ? node.hostName : node.certName;
  return {
    socket,
    // A server name must not be an address (RFC 6066 §3).
    ...(isIP(node.hostName) === 0 ? { servername: node.hostName } : {}),
    rejectUnauthorized: !node.isInsecureForTests && !isVerifiedHere,
    checkServerIdentity: (_host, certificate) => tls.checkServerIdentity(name, certificate),
    ...(tlsCa === undefined ? {} : { ca: [...trustedRoots(), tlsCa] }),
  };
}

/** Node replaces its default roots by `ca`: they are named again, with those of the environment. */
function trustedRoots(): readonly string[] {
  const { getCACertificates } = tls as { getCACertificates?: (type: 'default') => string[] };
  if (getCACertificates !== undefined) return getCACertificates('default');
  const extraPath = process.env['NODE_EXTRA_CA_CERTS'];
  if (extraPath === undefined || extraPath === '') return tls.rootCertificates;
  try {
    return [...tls.rootCertificates, readFileSync(extraPath, 'utf8')];
  } catch {
    // Node itself only warns about a file that it cannot read.
    return tls.rootCertificates;
  }
}

/** The pin replaces the check by authorities; it wins over `InsecureForTests`, being the stricter of the two. */
function checkPin(secured: tls.TLSSocket, node: DerpNode): string | undefined {
  const chain = presentedChain(secured).filter((certificate) => !META_SUBJECT.test(certificate.subject));
  const [certificate] = chain;
  if (certificate === undefined || chain.length !== 1) return `${chain.length} certificates where one is pinned`;
  const digest = createHash('sha256').update(certificate.raw).digest('hex');
  if (digest !== node.certName.slice(PIN_PREFIX.length).toLowerCase()) return 'another certificate than the pinned one';
  const now = Date.now();
  if (now < Date.parse(certificate.validFrom) || now > Date.parse(certificate.validTo)) {
    return `the pinned certificate is valid from ${certificate.validFrom} to ${certificate.validTo}`;
  }
  const isNamed = isIP(node.hostName) !== 0 || certificate.checkHost(node.hostName) !== undefined;
  return isNamed ? undefined : `the pinned certificate is not for "${node.hostName}"`;
}

function presentedChain(secured: tls.TLSSocket): X509Certificate[] {
  const chain: X509Certificate[] = [];
  let certificate = secured.getPeerX509Certificate();
  while (certificate !== undefined && chain.length < CHAIN_LENGTH_MAX) {
    if (chain.some((seen) => seen.fingerprint256 === certificate?.fingerprint256)) break;
    chain.push(certificate);
    certificate = certificate.issuerCertificate;
  }
  return chain;
}

function toTlsError(error: NodeJS.ErrnoException, secured: tls.TLSSocket, node: DerpNode): TailnetError {
  if (secured.authorizationError) return certificateRefused(node, error.message, error);
  if (error.code === 'ERR_SSL_WRONG_VERSION_NUMBER' || error.code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG') {
    const message = `Relay "${node.hostName}" does not speak TLS`;
    return new TailnetError('derp/not-tls', message, { cause: error });
  }
  return handshakeFailed(node, error);
}

function certificateRefused(node: DerpNode, problem: string, cause: unknown): TailnetError {
  const message = `Certificate of relay "${node.hostName}" is refused: ${problem}`;
  return new TailnetError('derp/tls-certificate', message, { cause });
}

function handshakeFailed(node: DerpNode, cause: unknown): TailnetError {
  const message = `TLS handshake with relay "${node.hostName}" failed`;
  return new TailnetError('derp/tls-handshake', message, { isRetryable: true, cause });
}
