import { basename, dirname, resolve } from 'node:path';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { type Document, LineCounter, parseDocument } from 'yaml';
import { flag, integerOf, listOf, objectOf, optional, type Shape, textOf } from '../schema/shape.ts';

/** `tailnet.yml` of a team (docs/guide/teams.md). File names in it are absolute here. */
export interface TailnetConfig {
  readonly loginServer: string;
  readonly authKeyFile: string | undefined;
  readonly hostname: string | undefined;
  /** `off`, or `host:port`; undefined takes a free port. */
  readonly proxy: string | undefined;
  readonly proxyTokenFile: string | undefined;
  readonly forwards: readonly string[];
  readonly serves: readonly string[];
  readonly tlsCa: string | undefined;
  readonly acceptsRoutes: boolean;
  readonly isUdpEnabled: boolean;
  readonly udpPort: number | undefined;
}

interface Fields {
  readonly login_server: string;
  readonly auth_key_file: string | undefined;
  readonly hostname: string | undefined;
  readonly proxy: string | undefined;
  readonly proxy_token_file: string | undefined;
  readonly forwards: readonly string[] | undefined;
  readonly serves: readonly string[] | undefined;
  readonly tls_ca: string | undefined;
  readonly accept_routes: boolean | undefined;
  readonly udp: boolean | undefined;
  readonly udp_port: number | undefined;
}

const word = optional(textOf(1, 1024));

const FIELDS: { readonly [K in keyof Fields]-?: Shape<Fields[K]> } = {
  login_server: textOf(1, 1024),
  auth_key_file: word,
  hostname: word,
  proxy: word,
  proxy_token_file: word,
  forwards: optional(listOf(textOf(1, 1024), 64)),
  serves: optional(listOf(textOf(1, 1024), 64)),
  tls_ca: word,
  accept_routes: optional(flag),
  udp: optional(flag),
  udp_port: optional(integerOf(0, 65_535)),
};

const configShape: Shape<Fields> = objectOf<Fields>(FIELDS);

/** Aliases in a file of a dozen lines are an attack or a mistake. */
const ALIAS_COUNT_MAX = 10;

/**
 * Reads the text of a `tailnet.yml`.
 * @param path Of the file: for messages, and what its relative file names start from.
 * @throws {TailnetError} `team/bad-config` with line and key.
 */
export function parseTailnetConfig(text: string, path: string): TailnetConfig {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const lineOf = (offset: number | undefined): number => lines.linePos(offset ?? 0).line;
  const [error] = document.errors;
  if (error !== undefined) throw badConfig(path, lineOf(error.pos[0]), error.message);
  const json = toPlain(document, path);
  const lineOfKey = (key: string): number => {
    const node = document.getIn(key.split('.'), true) as { range?: readonly [number, ...unknown[]] } | undefined;
    return lineOf(node?.range?.[0]);
  };
  const isMap = typeof json === 'object' && json !== null && !Array.isArray(json);
  for (const key of Object.keys(isMap ? json : {})) {
    if (Object.hasOwn(FIELDS, key)) continue;
    throw badConfig(path, lineOfKey(key), `unknown key "${key}"; known are ${Object.keys(FIELDS).join(', ')}`);
  }
  const result = configShape(json);
  if (result.kind === 'bad') {
    const what = result.path === '' ? 'expected keys and values' : `"${result.path}" must be ${result.expected}`;
    throw badConfig(path, lineOfKey(result.path), what);
  }
  return toConfig(result.value, dirname(path));
}

function toPlain(document: Document, path: string): unknown {
  try {
    return document.toJS({ maxAliasCount: ALIAS_COUNT_MAX });
  } catch {
    throw badConfig(path, 1, `more than ${ALIAS_COUNT_MAX} uses of an alias`);
  }
}

function toConfig(fields: Fields, folder: string): TailnetConfig {
  const file = (name: string | undefined): string | undefined =>
    name === undefined ? undefined : resolve(folder, name);
  return {
    loginServer: fields.login_server,
    authKeyFile: file(fields.auth_key_file),
    hostname: fields.hostname,
    proxy: fields.proxy,
    proxyTokenFile: file(fields.proxy_token_file),
    forwards: fields.forwards ?? [],
    serves: fields.serves ?? [],
    tlsCa: file(fields.tls_ca),
    acceptsRoutes: fields.accept_routes ?? false,
    isUdpEnabled: fields.udp ?? true,
    udpPort: fields.udp_port,
  };
}

function badConfig(path: string, line: number, what: string): TailnetError {
  return new TailnetError('team/bad-config', `${basename(dirname(path))}/${basename(path)} line ${line}: ${what}`);
}
