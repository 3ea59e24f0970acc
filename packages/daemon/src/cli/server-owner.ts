/** Whether a token may be sent to the program that answers. Pure. */

import { TailnetError } from '@heddle/tailnet/tailnet-error';

/** Who answers, and where that was asked. */
export interface AnsweringProgram {
  /** For the message: `127.0.0.1:3030`. */
  readonly host: string;
  /** Undefined where the kernel does not tell. */
  readonly uid: number | undefined;
  readonly ownUid: number | undefined;
  readonly platform: NodeJS.Platform;
}

/**
 * Passes a program of root or of our own user. Any user may listen at the port while the daemon is down, and would collect
 * the token. Linux always tells who it is. macOS tells it to root alone, and other systems to nobody: there, what the
 * kernel does not tell is let pass.
 * @throws {TailnetError} `rest/foreign-server`.
 */
export function checkServerOwner({ host, uid, ownUid, platform }: AnsweringProgram): void {
  if (uid === 0 || (uid !== undefined && uid === ownUid)) return;
  if (uid === undefined && platform !== 'linux') return;
  const whose =
    uid === undefined
      ? `It cannot be known whose program is at ${host}`
      : `The program at ${host} belongs to user ${uid}`;
  throw new TailnetError('rest/foreign-server', `${whose}: the token was not sent`);
}
