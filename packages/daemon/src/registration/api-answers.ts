import {
  either,
  flag,
  integerOf,
  nullable,
  objectOf,
  oneOf,
  optional,
  type Shape,
  textLike,
  textOf,
} from '../schema/shape.ts';
import { parseConfigYaml } from './config-yaml.ts';
import type { HttpAnswer } from './http-exchange.ts';
import { matchKeyPair } from './nebula-keys.ts';
import { RegistrationError } from './registration-error.ts';

/** What the server calls a node: a number, or a text of letters, digits and hyphens. */
export type NodeId = number | string;

/** What a node runs with. Holds its private key, in `key` and inside `configYaml`. */
export interface NodePackage {
  readonly nodeId: NodeId;
  readonly nodeName: string;
  /** Address in the overlay, maybe with a prefix length. */
  readonly nebulaIp: string;
  readonly isLighthouse: boolean;
  readonly certificate: string;
  readonly key: string;
  readonly caCertificate: string;
  readonly configYaml: string;
  /** End of the certificate as the server writes it; `undefined` when it does not say. */
  readonly expiration: string | undefined;
}

/** A package with the token for later calls. */
export interface Registered extends NodePackage {
  readonly apiToken: string;
}

/** Answer to a heartbeat. */
export interface CheckedIn {
  /** As the server writes it; `undefined` when it does not say. */
  readonly lastCheckin: string | undefined;
}

/** No certificate authority, node or rule set comes near these. */
const PEM_LENGTH_MAX = 262_144;
const CONFIG_LENGTH_MAX = 524_288;

/** One visible line; it reaches a terminal and files. */
const line = textLike(/^[^\p{Cc}\p{Cf}]{1,255}$/u, 'one line of at most 255 characters');
const token = textLike(/^[\x21-\x7e]{1,1024}$/, 'a token of at most 1024 characters');
const pem = (expected: string, pattern: RegExp): Shape<string> => {
  return (value) => {
    const isFit = typeof value === 'string' && value.length <= PEM_LENGTH_MAX && pattern.test(value);
    return isFit ? { kind: 'ok', value } : { kind: 'bad', path: '', expected };
  };
};

export const nodeIdShape: Shape<NodeId> = either(
  integerOf(0, Number.MAX_SAFE_INTEGER),
  textLike(/^[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}[A-Za-z0-9])?$/, 'a number, or letters, digits and hyphens'),
);

const PACKAGE_FIELDS = {
  node_id: nodeIdShape,
  node_name: line,
  nebula_ip: textLike(/^[0-9a-fA-F.:]{2,45}(?:\/[0-9]{1,3})?$/, 'an IP address'),
  is_lighthouse: flag,
  certificate: pem('a certificate in PEM', /-----BEGIN [A-Z0-9 ]+-----/),
  key: pem('a private key in PEM', /-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----/),
  ca_certificate: pem('a certificate in PEM', /-----BEGIN [A-Z0-9 ]+-----/),
  config_yaml: textOf(1, CONFIG_LENGTH_MAX),
  expiration: optional(nullable(textLike(/^[0-9TZ:.+ -]{8,40}$/, 'a time'))),
};

interface WirePackage {
  readonly node_id: NodeId;
  readonly node_name: string;
  readonly nebula_ip: string;
  readonly is_lighthouse: boolean;
  readonly certificate: string;
  readonly key: string;
  readonly ca_certificate: string;
  readonly config_yaml: string;
  readonly expiration?: string | null | undefined;
}

const packageShape: Shape<WirePackage> = objectOf<WirePackage>(PACKAGE_FIELDS);
const registeredShape: Shape<WirePackage & { readonly api_token: string }> = objectOf<
  WirePackage & { readonly api_token: string }
>({ ...PACKAGE_FIELDS, api_token: token });
const checkedInShape: Shape<{
  readonly success?: true | undefined;
  readonly last_checkin?: string | null | undefined;
}> = objectOf<{ readonly success?: true | undefined; readonly last_checkin?: string | null | undefined }>({
  success: optional(oneOf([true])),
  last_checkin: optional(nullable(line)),
});

/** @throws {RegistrationError} `registration/not-a-team-server`, `registration/bad-answer`. */
export function parseRegistered(answer: HttpAnswer, host: string): Registered {
  const wire = readAnswer(answer, registeredShape, host);
  return { ...toPackage(wire, host), apiToken: wire.api_token };
}

/** @throws {RegistrationError} `registration/not-a-team-server`, `registration/bad-answer`. */
export function parseNodePackage(answer: HttpAnswer, host: string): NodePackage {
  return toPackage(readAnswer(answer, packageShape, host), host);
}

/**
 * An answer without a body is one as well.
 * @throws {RegistrationError} `registration/not-a-team-server`, `registration/bad-answer`.
 */
export function parseCheckedIn(answer: HttpAnswer, host: string): CheckedIn {
  if (answer.body.length === 0) return { lastCheckin: undefined };
  return { lastCheckin: readAnswer(answer, checkedInShape, host).last_checkin ?? undefined };
}

function toPackage(wire: WirePackage, host: string): NodePackage {
  if (parseConfigYaml(wire.config_yaml) === undefined) throw badAnswer(host, '"config_yaml" is not a YAML mapping');
  if (matchKeyPair(wire.key, wire.certificate) === 'mismatch') {
    throw badAnswer(host, '"certificate" was made for another key than "key"');
  }
  return {
    nodeId: wire.node_id,
    nodeName: wire.node_name,
    nebulaIp: wire.nebula_ip,
    isLighthouse: wire.is_lighthouse,
    certificate: wire.certificate,
    key: wire.key,
    caCertificate: wire.ca_certificate,
    configYaml: wire.config_yaml,
    expiration: wire.expiration ?? undefined,
  };
}

// The error of JSON.parse quotes its input, which may be a private key: it goes no further.
function readAnswer<T>(answer: HttpAnswer, shape: Shape<T>, host: string): T {
  if (answer.contentType !== 'application/json') {
    const type = answer.contentType === '' ? 'something' : answer.contentType.slice(0, 80);
    const message = `There is no team server at ${host}: it answered with ${JSON.stringify(type)} instead of JSON`;
    throw new RegistrationError('registration/not-a-team-server', message);
  }
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(answer.body));
  } catch {
    throw badAnswer(host, 'it is not complete JSON');
  }
  const result = shape(value);
  if (result.kind === 'ok') return result.value;
  throw badAnswer(host, `${result.path === '' ? 'it' : `"${result.path}"`} is not ${result.expected}`);
}

function badAnswer(host: string, why: string): RegistrationError {
  return new RegistrationError('registration/bad-answer', `Cannot use the answer of ${host}: ${why}`);
}

/** For shapes of files that hold what a server said. */
export const lineShape: Shape<string> = line;
export const tokenShape: Shape<string> = token;
