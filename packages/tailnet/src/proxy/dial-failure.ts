import { TailnetError } from '../tailnet-error.ts';
import { SocksReply } from './socks5.ts';

/** Why a dial failed, in the terms of a record, of SOCKS and of HTTP. */
export interface DialFailure {
  /** The error's code, `dial/failed` for an error without one. */
  readonly code: string;
  /** One line for the client. */
  readonly message: string;
  readonly socksReply: number;
  readonly httpStatus: 502 | 503 | 504;
}

const REPLY: Readonly<Record<string, number>> = {
  'dial/unknown-host': SocksReply.hostUnreachable,
  'dial/no-route': SocksReply.networkUnreachable,
  'dial/refused': SocksReply.refused,
  'dial/timeout': SocksReply.timeout,
};

export function describeDialFailure(error: unknown): DialFailure {
  const isKnown = error instanceof TailnetError;
  const code = isKnown ? error.code : 'dial/failed';
  const httpStatus = code === 'dial/timeout' ? 504 : code === 'dial/closed' ? 503 : 502;
  // The message of an error that is not ours may say anything; the client needs to know only that it failed.
  const message = isKnown ? error.message : 'the dial failed';
  return { code, message, socksReply: REPLY[code] ?? SocksReply.failure, httpStatus };
}
