/**
 * The keyring of the person who runs heddle, by the system's own program. A secret enters and leaves that program by its
 * standard streams; the arguments only name the entry.
 *
 * Root has none: its services run without the session that could open one, so its secrets stay in files.
 */

import type { CommandRunner } from './command-runner.ts';

/** Which secret. */
export interface KeyringEntry {
  /** `TEAM/NODE@HOST`: unique, and telling in the keyring's own window. */
  readonly account: string;
}

/** A place for secrets outside of our files. No method throws: a keyring that is locked or gone is an everyday thing. */
export interface Keyring {
  /** True when the secret can be read back. */
  store(entry: KeyringEntry, secret: string): Promise<boolean>;
  /** `undefined` when there is none, or the keyring does not open. */
  lookup(entry: KeyringEntry): Promise<string | undefined>;
  remove(entry: KeyringEntry): Promise<void>;
}

export interface KeyringOptions {
  readonly platform: NodeJS.Platform;
  /** Effective user; `undefined` on Windows. */
  readonly uid: number | undefined;
  readonly run: CommandRunner;
}

/** The keyring of this system, or `undefined`: then files keep the secrets. */
export function findKeyring({ platform, uid, run }: KeyringOptions): Keyring | undefined {
  if (uid === undefined || uid === 0) return undefined;
  if (platform === 'linux') return verified(createSecretTool(run));
  if (platform === 'darwin') return verified(createSecurity(run));
  return undefined;
}

const SERVICE = 'heddle';
/** Long enough for a person to unlock it. */
const TIMEOUT_MS = 30_000;
const OUTPUT_BYTES_MAX = 16_384;
/** Nothing that a quoted word of `security -i` could end at. */
const ACCOUNT = /^[A-Za-z0-9._:@/[\]-]{1,200}$/;

interface Backend {
  put(entry: KeyringEntry, secret: string): Promise<void>;
  lookup(entry: KeyringEntry): Promise<string | undefined>;
  remove(entry: KeyringEntry): Promise<void>;
}

/** Believes in a stored secret only after reading it: `security -i` ends with status 0 whatever happened. */
function verified(backend: Backend): Keyring {
  return {
    async store(entry, secret) {
      if (!ACCOUNT.test(entry.account)) return false;
      await backend.put(entry, secret);
      return (await backend.lookup(entry)) === secret;
    },
    lookup: async (entry) => (ACCOUNT.test(entry.account) ? backend.lookup(entry) : undefined),
    remove: async (entry) => (ACCOUNT.test(entry.account) ? backend.remove(entry) : undefined),
  };
}

// libsecret's secret-tool(1): `store` reads the secret from standard input, `lookup` prints it without a newline.
function createSecretTool(run: CommandRunner): Backend {
  const call = (args: readonly string[], input: string) =>
    run({ command: 'secret-tool', args, input, timeoutMs: TIMEOUT_MS, outputBytesMax: OUTPUT_BYTES_MAX });
  const attributes = ({ account }: KeyringEntry): string[] => ['service', SERVICE, 'account', account];
  return {
    async put(entry, secret) {
      await call(['store', `--label=heddle ${entry.account}`, ...attributes(entry)], secret);
    },
    async lookup(entry) {
      const outcome = await call(['lookup', ...attributes(entry)], '');
      return outcome.kind === 'exited' && outcome.status === 0 ? withoutNewline(outcome.stdout) : undefined;
    },
    async remove(entry) {
      await call(['clear', ...attributes(entry)], '');
    },
  };
}

// security(1): with -i the commands come by standard input, so that not even the secret of `-X` (hexadecimal) is an argument.
function createSecurity(run: CommandRunner): Backend {
  const call = (args: readonly string[], input: string) =>
    run({ command: '/usr/bin/security', args, input, timeoutMs: TIMEOUT_MS, outputBytesMax: OUTPUT_BYTES_MAX });
  return {
    async put({ account }, secret) {
      const hex = Buffer.from(secret, 'utf8').toString('hex');
      await call(['-i'], `add-generic-password -U -s "${SERVICE}" -a "${account}" -X ${hex}\n`);
    },
    async lookup({ account }) {
      const outcome = await call(['find-generic-password', '-s', SERVICE, '-a', account, '-w'], '');
      return outcome.kind === 'exited' && outcome.status === 0 ? withoutNewline(outcome.stdout) : undefined;
    },
    async remove({ account }) {
      await call(['delete-generic-password', '-s', SERVICE, '-a', account], '');
    },
  };
}

function withoutNewline(text: string): string | undefined {
  const secret = text.replace(/\r?\n$/, '');
  return secret === '' ? undefined : secret;
}
