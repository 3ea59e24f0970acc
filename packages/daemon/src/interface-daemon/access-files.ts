import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readOperators } from '../config/operators.ts';
import { ensureTokenFile } from '../config/token-file.ts';
import { describeError } from '../rest/problem.ts';
import type { RestLog } from '../rest/request-handler.ts';

export interface AccessFilesOptions {
  /** Where `daemon.yml` is. */
  readonly configRoot: string;
  /** Made if it is missing; undefined: there is no token. */
  readonly tokenFile: string | undefined;
  readonly log: RestLog;
}

/** Who may change things beside root, as two files say: the operators and whoever has the token. */
export class AccessFiles {
  /** Stays the same set; what is in it changes. */
  readonly operatorUids: ReadonlySet<number>;
  readonly #options: AccessFilesOptions;
  readonly #uids: Set<number>;
  #token: string | undefined;

  /** @throws {TailnetError} `team/bad-daemon-file`, `rest/bad-token-file`. */
  constructor(options: AccessFilesOptions) {
    this.#options = options;
    this.#uids = new Set(this.#readOperators());
    this.operatorUids = this.#uids;
    this.#token = this.#readToken();
  }

  get token(): string | undefined {
    return this.#token;
  }

  /** Reads both again. Of a file that is bad what it said before stays true, and the log has why. */
  reload(): void {
    this.#attempt('operators', () => {
      const uids = this.#readOperators();
      this.#uids.clear();
      for (const uid of uids) this.#uids.add(uid);
    });
    this.#attempt('token', () => {
      this.#token = this.#readToken();
    });
  }

  #attempt(what: string, read: () => void): void {
    try {
      read();
    } catch (error) {
      this.#options.log('warn', `Kept the ${what} of before`, { reason: describeError(error) });
    }
  }

  #readOperators(): ReadonlySet<number> {
    return readOperators(join(this.#options.configRoot, 'daemon.yml'), () => readFileSync('/etc/passwd', 'utf8'));
  }

  #readToken(): string | undefined {
    const { tokenFile } = this.#options;
    return tokenFile === undefined ? undefined : ensureTokenFile(tokenFile);
  }
}
