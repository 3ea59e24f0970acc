/**
 * The user's Nebula configuration: what the supervisor must know of it, and the whole of it as it was written.
 *
 * Only the keys named here are judged. Everything else is Nebula's own business (`nebula -test`).
 */

import { dirname, resolve } from 'node:path';
import { parseAddress } from '@heddle/proto/ip/address';
import { parsePrefix } from '@heddle/proto/ip/prefix';
import { KeyReader } from './key-reader.ts';
import { isPlainMap, type PlainMap, parseYaml } from './yaml-text.ts';

/** Where a certificate or key is: a file (absolute path), in the configuration itself, or in a PKCS #11 token. */
export type PemSource =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'inline'; readonly pem: string }
  | { readonly kind: 'token' };

export interface UserConfig {
  /** The whole file as plain data. May hold the private key: never log it. */
  readonly root: PlainMap;
  readonly pki: { readonly ca: PemSource; readonly cert: PemSource; readonly key: PemSource };
  /** `port` 0 is any free port. */
  readonly listen: { readonly host: string; readonly port: number };
  readonly tun: {
    /** Undefined when Nebula may choose. */
    readonly device: string | undefined;
    readonly isDisabled: boolean;
    readonly mtuBytes: number;
    /** Prefixes behind peers, CIDR texts: Nebula makes kernel routes of them. */
    readonly unsafeRoutes: readonly string[];
  };
  readonly isLighthouse: boolean;
  /** Overlay addresses of the lighthouses. */
  readonly lighthouseHosts: readonly string[];
  /** Undefined when off. `listen` is of the type prometheus only. */
  readonly stats: { readonly type: string; readonly listen: string | undefined } | undefined;
  readonly isSshdEnabled: boolean;
}

export type UserConfigResult =
  | { readonly kind: 'ok'; readonly config: UserConfig }
  | {
      readonly kind: 'bad';
      /** From 1; 0 when the problem is not at a line. */
      readonly line: number;
      /** `tun.mtu`; empty when the file as a whole is bad. */
      readonly key: string;
      /** Quotes keys, never values. */
      readonly message: string;
    };

const PORT_MAX = 65_535;
/** More are not compared with what others have. */
const UNSAFE_ROUTE_COUNT_MAX = 1024;
const MTU_DEFAULT_BYTES = 1300;
const MTU_LIMITS = { min: 68, max: 65_535 };

/** @param fileName The file's path: relative paths in it are taken from its folder. It is not read. */
export function parseUserConfig(yamlText: string, fileName: string): UserConfigResult {
  const yaml = parseYaml(yamlText);
  if (yaml.kind === 'bad') return { ...yaml, key: '' };
  if (!isPlainMap(yaml.value))
    return { kind: 'bad', line: 1, key: '', message: 'The file must hold sections with keys' };
  const reader = new KeyReader(yaml.value);
  const config = readConfig(yaml.value, reader, dirname(resolve(fileName)));
  const { problem } = reader;
  if (problem === undefined) return { kind: 'ok', config };
  return { kind: 'bad', line: yaml.lineOf(problem.path), key: problem.path.join('.'), message: problem.message };
}

const MTU_MIN_BYTES_IPV6 = 1280;

/**
 * What is wrong with the MTU for a certificate with these networks: with IPv6 the kernel refuses less than 1280 bytes
 * (RFC 8200 §5), which Nebula notices only after it has announced its interface.
 * @param networks CIDR texts.
 */
export function findMtuProblem(config: UserConfig, networks: readonly string[]): string | undefined {
  const { mtuBytes, isDisabled } = config.tun;
  const hasIpv6 = networks.some((network) => parsePrefix(network)?.address.family === 6);
  if (isDisabled || !hasIpv6 || mtuBytes >= MTU_MIN_BYTES_IPV6) return undefined;
  return `"tun.mtu" is ${mtuBytes}; with an IPv6 address in the certificate it must be at least ${MTU_MIN_BYTES_IPV6}`;
}

function readConfig(root: PlainMap, reader: KeyReader, folder: string): UserConfig {
  const pki = {
    ca: readPem(reader, 'ca', folder),
    cert: readPem(reader, 'cert', folder),
    key: readPem(reader, 'key', folder),
  };
  const listen = readListen(reader);
  const isLighthouse = reader.flag(['lighthouse', 'am_lighthouse']);
  if (isLighthouse && listen.port === 0) {
    reader.report(['listen', 'port'], 'A lighthouse needs a fixed "listen.port"');
  }
  const tun = {
    device: reader.text(['tun', 'dev']) || undefined,
    isDisabled: reader.flag(['tun', 'disabled']),
    mtuBytes: reader.integer(['tun', 'mtu'], MTU_LIMITS) ?? MTU_DEFAULT_BYTES,
    unsafeRoutes: readUnsafeRoutes(reader.value(['tun', 'unsafe_routes'])),
  };
  const lighthouseHosts = reader.texts(['lighthouse', 'hosts']);
  const isSshdEnabled = reader.flag(['sshd', 'enabled']);
  return { root, pki, listen, tun, isLighthouse, lighthouseHosts, stats: readStats(reader), isSshdEnabled };
}

/** The prefixes of `[{route, via}, …]`; whether they are any is judged where they are compared. */
function readUnsafeRoutes(value: unknown): string[] {
  const entries = Array.isArray(value) ? value.slice(0, UNSAFE_ROUTE_COUNT_MAX) : [];
  const routes = entries.map((entry) =>
    isPlainMap(entry) && Object.hasOwn(entry, 'route') ? entry['route'] : undefined,
  );
  return routes.filter((route) => typeof route === 'string');
}

// As Nebula tells them apart: whatever contains a BEGIN line is the PEM itself.
function readPem(reader: KeyReader, name: 'ca' | 'cert' | 'key', folder: string): PemSource {
  const text = reader.text(['pki', name]);
  if (text === undefined || text === '') {
    reader.report(['pki', name], `"pki.${name}" is missing; it is the path of a file, or PEM text`);
    return { kind: 'inline', pem: '' };
  }
  if (text.includes('-----BEGIN')) return { kind: 'inline', pem: text };
  if (name === 'key' && text.startsWith('pkcs11:')) return { kind: 'token' };
  return { kind: 'file', path: resolve(folder, text) };
}

function readListen(reader: KeyReader): UserConfig['listen'] {
  const host = reader.text(['listen', 'host']) ?? '0.0.0.0';
  // Older guidance wrote "[::]"; of names, one version waits for DNS and another listens everywhere.
  if (host !== '[::]' && parseAddress(host) === undefined) {
    reader.report(['listen', 'host'], '"listen.host" must be an IP address, "0.0.0.0" or "::" for all');
  }
  const port = reader.integer(['listen', 'port'], { min: 0, max: PORT_MAX }) ?? 0;
  return { host: host === '[::]' ? '::' : host, port };
}

function readStats(reader: KeyReader): UserConfig['stats'] {
  const type = reader.text(['stats', 'type']);
  if (type === undefined || type === '' || type === 'none') return undefined;
  return { type, listen: reader.text(['stats', 'listen']) };
}
