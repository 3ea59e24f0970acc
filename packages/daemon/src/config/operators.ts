import { closeSync, constants, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { parse } from 'yaml';
import { either, integerOf, listOf, objectOf, optional, type Shape, textLike } from '../schema/shape.ts';
import { reasonOf } from '../socket/socket-path.ts';
import { isOursAlone } from './owner-check.ts';

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
 * @throws {TailnetError} `team/bad-daemon-file` for one that cannot be read or has more than 64 KiB, that others can change,
 * itself or in its folder, or with an unknown name.
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

/** More than 256 names ever take. */
const FILE_BYTES_MAX = 0x10000;

// What is looked at is what is read, whatever becomes of the path meanwhile.
function readOwnFile(path: string, platform: NodeJS.Platform): string | undefined {
  let fd: number | undefined;
  try {
    // A pipe would be waited for without O_NONBLOCK, which Windows does not have.
    fd = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw badFile(path, 'it is not a file');
    if (!isOursAlone(stat, platform)) throw badFile(path, 'other users can change it');
    const folder = dirname(path);
    // They could put another file of ours in its place.
    if (!isOursAlone(statSync(folder), platform)) throw badFile(path, `other users can change "${folder}"`);
    return readText(fd, path);
  } catch (error) {
    if (reasonOf(error) === 'ENOENT') return undefined;
    throw error instanceof TailnetError ? error : badFile(path, reasonOf(error));
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

function readText(fd: number, path: string): string {
  const buffer = Buffer.alloc(FILE_BYTES_MAX + 1);
  let byteCount = 0;
  for (;;) {
    const count = readSync(fd, buffer, byteCount, buffer.length - byteCount, null);
    if (count === 0) break;
    byteCount += count;
  }
  if (byteCount > FILE_BYTES_MAX) throw badFile(path, `it has more than ${FILE_BYTES_MAX} bytes`);
  return buffer.toString('utf8', 0, byteCount);
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
