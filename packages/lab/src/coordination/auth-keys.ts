import { randomBytes } from 'node:crypto';

/** Pre-auth keys at one time. */
export const AUTH_KEY_COUNT_MAX = 1_024;

export interface AuthKeyOptions {
  /** May admit more than one machine. Default true. */
  readonly isReusable?: boolean;
  /** Its nodes vanish when they log out or stay away. Default false. */
  readonly isEphemeral?: boolean;
  /** Default: never. */
  readonly expiresUnixMs?: number;
}

/** Why a key admits nobody: the text that the node shows to its user, as Headscale words it. */
export type AuthKeyError = 'invalid pre auth key' | 'authkey expired' | 'authkey already used';

interface AuthKey {
  readonly isReusable: boolean;
  readonly isEphemeral: boolean;
  readonly expiresUnixMs: number;
  isUsed: boolean;
}

/** The pre-auth keys of the tailnet. They are secrets: never logged, and not part of any answer. */
export class AuthKeys {
  readonly #keys = new Map<string, AuthKey>();

  /** @param text The key itself; a random one when `undefined`. @throws {RangeError} when there are too many keys. */
  create(text: string | undefined, options: AuthKeyOptions): string {
    if (this.#keys.size >= AUTH_KEY_COUNT_MAX) throw new RangeError(`more than ${AUTH_KEY_COUNT_MAX} auth keys`);
    const key = text ?? `labkey-${randomBytes(24).toString('hex')}`;
    this.#keys.set(key, {
      isReusable: options.isReusable ?? true,
      isEphemeral: options.isEphemeral ?? false,
      expiresUnixMs: options.expiresUnixMs ?? Number.POSITIVE_INFINITY,
      isUsed: false,
    });
    return key;
  }

  /** Spends the key for one new machine. */
  use(text: string): { readonly isEphemeral: boolean } | AuthKeyError {
    const key = this.#keys.get(text);
    if (key === undefined) return 'invalid pre auth key';
    if (key.expiresUnixMs <= Date.now()) return 'authkey expired';
    if (key.isUsed && !key.isReusable) return 'authkey already used';
    key.isUsed = true;
    return { isEphemeral: key.isEphemeral };
  }
}
