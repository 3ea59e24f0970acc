import { readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { BAD_CERTIFICATE_TEXTS, type NebulaCertificate, parseCertificates } from '../nebula/certificate.ts';
import { findMtuProblem, type PemSource, parseUserConfig, type UserConfig } from '../nebula/user-config.ts';
import type { TeamClaims } from '../plan/claims.ts';
import { reasonOf } from '../socket/socket-path.ts';

/** The configuration of a Nebula team with the certificates it names. */
export interface NebulaSetup {
  readonly config: UserConfig;
  readonly certificates: readonly NebulaCertificate[];
  readonly authorities: readonly NebulaCertificate[];
  /** Own addresses with their networks, of all certificates: `10.77.0.2/24`. */
  readonly networks: readonly string[];
}

/**
 * Reads `config.yml` of a folder and its certificates.
 * @throws {TailnetError} `team/bad-config` with line and key, `nebula/pki-missing`, `nebula/pki-invalid`.
 */
export function readNebulaSetup(configDir: string): NebulaSetup {
  const path = join(configDir, 'config.yml');
  const name = `${basename(dirname(path))}/config.yml`;
  const parsed = parseUserConfig(readText(path, 'team/bad-config'), path);
  if (parsed.kind === 'bad') {
    const where = parsed.line === 0 ? name : `${name} line ${parsed.line}`;
    throw new TailnetError(
      'team/bad-config',
      `${where}: ${parsed.key === '' ? '' : `"${parsed.key}": `}${parsed.message}`,
    );
  }
  const { config } = parsed;
  const certificates = readCertificates(config.pki.cert, 'pki.cert', name);
  const networks = [...new Set(certificates.flatMap((certificate) => certificate.networks))];
  const problem = findMtuProblem(config, networks);
  if (problem !== undefined) throw new TailnetError('team/bad-config', `${name}: ${problem}`);
  if (config.pki.key.kind === 'file') readText(config.pki.key.path, 'nebula/pki-missing');
  return { config, certificates, authorities: readCertificates(config.pki.ca, 'pki.ca', name), networks };
}

function readCertificates(source: PemSource, key: string, name: string): readonly NebulaCertificate[] {
  if (source.kind === 'token') return [];
  const pem = source.kind === 'inline' ? source.pem : readText(source.path, 'nebula/pki-missing');
  const result = parseCertificates(pem);
  if (result.kind === 'ok') return result.certificates;
  const where = source.kind === 'file' ? `"${source.path}"` : name;
  throw new TailnetError('nebula/pki-invalid', `"${key}" in ${where}: ${BAD_CERTIFICATE_TEXTS[result.reason]}`);
}

function readText(path: string, code: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new TailnetError(code, `Cannot read "${path}" (${reasonOf(error)})`);
  }
}

/** What a Nebula team with this configuration takes from the machine. */
export function claimsOf(team: string, { config, networks }: NebulaSetup): TeamClaims {
  return {
    team,
    kind: 'nebula',
    networks,
    unsafeRoutes: config.tun.unsafeRoutes,
    // Not the name in the file: most files carry that of the example they were made from.
    device: undefined,
    wantsDevice: !config.tun.isDisabled,
    listenPort: config.isLighthouse ? config.listen.port : 0,
    isListenPortFixed: config.isLighthouse,
    proxyPort: undefined,
    forwardPorts: [],
  };
}
