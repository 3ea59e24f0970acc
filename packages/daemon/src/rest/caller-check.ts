/**
 * Who may ask what: every local user may read; root, the daemon's own user, the operators and the holder of the token may
 * change things. The user is what the kernel says about the other end of the connection. A token that is sent must be
 * right, whoever sends it and whatever for: a program that relies on it is to find out.
 */

import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import type { Caller } from '../interfaces/interface-service.ts';
import { countFields } from './count-fields.ts';
import { PiecewiseSocket } from './piecewise-socket.ts';
import type { Route } from './route.ts';

/** What the kernel says about who is connected. */
export interface ClientIdentity {
  readonly uid: number;
}

/** Asks the kernel; undefined when it does not tell, or when the client has gone. */
export type Identify = (socket: Socket) => ClientIdentity | undefined | Promise<ClientIdentity | undefined>;

export interface CallerCheckOptions {
  readonly identify: Identify;
  /** Users beside root and our own who may change things. */
  readonly isOperator: (uid: number) => boolean;
  /** Asked for each request that brings one. Undefined: there is none, and any that is sent is wrong. */
  readonly token: () => string | undefined;
}

/** Of somebody whom nobody has asked for. */
const READER: Caller = { uid: undefined };

export class CallerCheck {
  readonly #options: CallerCheckOptions;

  constructor(options: CallerCheckOptions) {
    this.#options = options;
  }

  /**
   * Asks the kernel before it returns, while the client is still there; nothing is asked for reading.
   * @throws {TailnetError} `rest/bad-request`, `rest/bad-token`, at once. The promise rejects with `rest/no-identity`, `rest/forbidden`.
   */
  check(request: IncomingMessage, route: Route): Caller | Promise<Caller> {
    const { authorization } = request.headers;
    if (authorization !== undefined) {
      if (countFields(request.rawHeaders, 'authorization') > 1) {
        throw new TailnetError('rest/bad-request', 'A request has at most one field Authorization');
      }
      this.#checkToken(authorization);
    }
    if (route.method === 'GET' || authorization !== undefined) return READER;
    const identity = this.#options.identify(innerSocket(request.socket));
    return Promise.resolve(identity).then((found) => this.#admit(found));
  }

  #checkToken(authorization: string): void {
    const [, sent] = /^Bearer +(\S+)$/i.exec(authorization) ?? [];
    const own = this.#options.token();
    const isRight = own !== undefined && sent !== undefined && timingSafeEqual(digest(sent), digest(own));
    if (!isRight) throw new TailnetError('rest/bad-token', 'The token of the request is not that of the daemon');
  }

  #admit(identity: ClientIdentity | undefined): Caller {
    if (identity === undefined) {
      throw new TailnetError('rest/no-identity', 'The kernel does not tell whose this connection is');
    }
    const { uid } = identity;
    if (uid === 0 || uid === process.geteuid?.() || this.#options.isOperator(uid)) return { uid };
    throw new TailnetError('rest/forbidden', `User ${uid} is neither root nor an operator`);
  }
}

function innerSocket(socket: Duplex): Socket {
  return socket instanceof PiecewiseSocket ? socket.inner : (socket as Socket);
}

function digest(token: string): Uint8Array {
  return createHash('sha256').update(token).digest();
}
