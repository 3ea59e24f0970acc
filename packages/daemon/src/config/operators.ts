import { readFileSync, statSync } from 'node:fs';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { parse } from 'yaml';
import { either, integerOf, listOf, objectOf, optional, type Shape, textLike } from '../schema/shape.ts';
import { reasonOf } from '../socket/socket-path.ts';

interface DaemonFile {
  readonly operators: readonly (string | number)[] | undefined;
}

const uid = integerOf(0, 4_294_967_294);

const fileShape: Shape<DaemonFile> = objectOf<DaemonFile>({
  operators: optional(listOf(either(uid, textLike(/^[A-Za-z_][A-Za-z0-9_.-]{0,31}$/, 'a user name')), 256)),
});

/**
 * The users who may change teams beside root: `operators: [alice, 1000]` in `daemon.yml` of the config root. No file means
 * nobody. Windows does not tell who connects, so it has no operators.
 * @param passwd Text of passwd(5), where names are looked up.
 * @throws {TailnetError} `team/bad-daemon-file` for one that cannot be read, that others can write, or with an unknown name.
 */
export function readOperators(
  path: string,
  passwd: () => string,
  platform: NodeJS.Platform = process.platform,
): ReadonlySet<number> {
  const text = readOwnFile(path, platform);
  if (text === undefined) return new Set();
  const { operators = [] } = parseFile(text, path);
  if (platform === 'win32' && operators.length > 0) throw badFile(path, 'on Windows only administrators can connect');
  const users = operators.some((name) => typeof name === 'string') ? parsePasswd(passwd()) : new Map<string, number>();
  return new Set(
    operators.map((name) => {
      const found = typeof name === 'number' ? name : users.get(name);
      if (found === undefined) throw badFile(path, `there is no user "${name}"`);
      return found;
    }),
  );
}

function readOwnFile(path: string, platform: NodeJS.Platform): string | undefined {
  try {
    const { uid: owner, mode } = statSync(path);
    // The modes that Node makes up on Windows say nothing.
    if (platform !== 'win32' && ((owner !== 0 && owner !== process.geteuid?.()) || (mode & 0o022) !== 0)) {
      throw badFile(path, 'other users can change it');
    }
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (reasonOf(error) === 'ENOENT') return undefined;
    throw error instanceof TailnetError ? error : badFile(path, reasonOf(error));
  }
}

function parseFile(text: string, path: string): DaemonFile {
  let json: unknown;
  try {
    json = parse(text, { maxAliasCount: 0 }) ?? {};
  } catch {
    throw badFile(path, 'it is not YAML');
  }
  const result = fileShape(json);
  if (result.kind === 'ok') return result.value;
  throw badFile(path, `"${result.path}" must be ${result.expected}`);
}

/** The number of each user in a text of passwd(5): `name:x:uid:gid:…`. */
export function parsePasswd(text: string): ReadonlyMap<string, number> {
  const fields = text.split('\n').map((line) => line.split(':'));
  return new Map(fields.flatMap(([name, , id]) => (name && /^[0-9]+$/.test(id ?? '') ? [[name, Number(id)]] : [])));
}

function badFile(path: string, what: string): TailnetError {
  return new TailnetError('team/bad-daemon-file', `Cannot use "${path}": ${what}`);
}
