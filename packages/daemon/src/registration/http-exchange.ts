/**
 * One request and its whole answer, bounded in time and size. A redirect is an answer like any other: it is never
 * followed, because that would carry a token to a server nobody named.
 */

import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { rootCertificates } from 'node:tls';
import { RegistrationError } from './registration-error.ts';

/** A request whose headers may hold a token. */
export interface HttpRequest {
  readonly method: 'GET' | 'POST';
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
  /** PEM of an authority trusted beside those of Node.js. */
  readonly tlsCa: string | undefined;
  /** A longer answer fails the exchange. */
  readonly answerBytesMax: number;
  readonly timeoutMs: number;
  /** Ends the exchange earlier; it then fails with the signal's reason. */
  readonly signal: AbortSignal | undefined;
}

/** A complete answer. */
export interface HttpAnswer {
  readonly status: number;
  /** Media type in lower case, without parameters; empty when none was sent. */
  readonly contentType: string;
  /** As sent. */
  readonly retryAfter: string | undefined;
  readonly body: Buffer;
}

/** Sends a request; tests replace it. */
export type HttpExchange = (request: HttpRequest) => Promise<HttpAnswer>;

const HEADER_BYTES_MAX = 16_384;

/**
 * Sends one request over a connection of its own.
 * @throws {RegistrationError} `registration/timeout`, `registration/unreachable`, `registration/connection-lost`,
 * `registration/tls-certificate`, `registration/answer-too-large`, `registration/not-a-team-server`.
 */
export async function exchangeHttp(request: HttpRequest): Promise<HttpAnswer> {
  request.signal?.throwIfAborted();
  const deadline = AbortSignal.timeout(request.timeoutMs);
  const signal = request.signal === undefined ? deadline : AbortSignal.any([deadline, request.signal]);
  const progress = { isConnected: false };
  try {
    return await send(request, signal, progress);
  } catch (error) {
    request.signal?.throwIfAborted();
    const host = new URL(request.url).host;
    if (deadline.aborted) throw timeoutError(host, progress.isConnected);
    throw toExchangeError(error, host);
  }
}

/** Before there is a connection nothing can have happened on the server. */
interface Progress {
  isConnected: boolean;
}

function send(request: HttpRequest, signal: AbortSignal, progress: Progress): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const start = request.url.startsWith('https:') ? requestHttps : requestHttp;
    const outgoing = start(request.url, {
      method: request.method,
      headers: withLength(request),
      agent: false,
      maxHeaderSize: HEADER_BYTES_MAX,
      signal,
      // Said outright, so that NODE_TLS_REJECT_UNAUTHORIZED cannot switch it off.
      rejectUnauthorized: true,
      ...(request.tlsCa === undefined ? {} : { ca: [...rootCertificates, request.tlsCa] }),
    });
    const connected = request.url.startsWith('https:') ? 'secureConnect' : 'connect';
    outgoing.on('socket', (socket) =>
      socket.once(connected, () => {
        progress.isConnected = true;
      }),
    );
    outgoing.on('error', reject);
    outgoing.on('upgrade', (_answer, socket) => {
      socket.destroy();
      reject(notATeamServer(new URL(request.url).host));
    });
    outgoing.on('response', (incoming) => {
      const chunks: Buffer[] = [];
      let byteCount = 0;
      incoming.on('error', reject);
      incoming.on('data', (chunk: Buffer) => {
        byteCount += chunk.length;
        if (byteCount > request.answerBytesMax) outgoing.destroy(tooLarge(request));
        else chunks.push(chunk);
      });
      incoming.on('end', () =>
        resolve({
          status: incoming.statusCode ?? 0,
          contentType: (incoming.headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '',
          retryAfter: incoming.headers['retry-after'],
          body: Buffer.concat(chunks),
        }),
      );
    });
    outgoing.end(request.body);
  });
}

// Identity only: a compressed answer could be small on the wire and endless in memory.
function withLength({ headers, body }: HttpRequest): Record<string, string> {
  const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
  return { ...headers, ...length, 'accept-encoding': 'identity', connection: 'close' };
}

function tooLarge(request: HttpRequest): RegistrationError {
  const message = `The answer of ${new URL(request.url).host} is longer than ${request.answerBytesMax} bytes`;
  return new RegistrationError('registration/answer-too-large', message);
}

function notATeamServer(host: string): RegistrationError {
  const message = `There is no team server at ${host}: it does not speak the protocol of this URL (http or https)`;
  return new RegistrationError('registration/not-a-team-server', message);
}

const UNREACHABLE: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ENOTFOUND: 'no such host',
  EAI_AGAIN: 'the name could not be resolved',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'the network is unreachable',
  ETIMEDOUT: 'connection timed out',
};
const CERTIFICATE_CODE = /CERT|SELF_SIGNED|UNABLE_TO_|SIGNATURE/;

function timeoutError(host: string, isConnected: boolean): RegistrationError {
  return isConnected
    ? new RegistrationError('registration/timeout', `Timed out waiting for the answer of ${host}`, {
        isRetryable: true,
      })
    : new RegistrationError('registration/unreachable', `Cannot reach ${host}: connection timed out`, {
        isRetryable: true,
      });
}

function toExchangeError(error: unknown, host: string): RegistrationError {
  if (error instanceof RegistrationError) return error;
  const code = systemCodeOf(error);
  const reason = UNREACHABLE[code];
  if (reason !== undefined) {
    const options = { isRetryable: true, cause: error };
    return new RegistrationError('registration/unreachable', `Cannot reach ${host}: ${reason}`, options);
  }
  if (CERTIFICATE_CODE.test(code)) {
    const message = `The certificate of ${host} is not trusted: ${code}`;
    return new RegistrationError('registration/tls-certificate', message, { cause: error });
  }
  // Errors of the HTTP parser carry the raw bytes, so they are no cause.
  if (code.startsWith('HPE_') || code === 'EPROTO' || code.startsWith('ERR_SSL')) return notATeamServer(host);
  const message = `The connection to ${host} was lost${code === '' ? '' : ` (${code})`}`;
  return new RegistrationError('registration/connection-lost', message, { isRetryable: true });
}

/** Happy eyeballs fails with one error for each address; the first tells enough. */
function systemCodeOf(error: unknown): string {
  const single = error instanceof AggregateError ? (error.errors[0] as unknown) : error;
  const code = (single as { code?: unknown } | undefined)?.code;
  return typeof code === 'string' ? code : '';
}
