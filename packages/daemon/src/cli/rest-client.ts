/**
 * Asks a REST daemon of this machine one question and reads its answer (`schema/interface-api.ts`). The daemon is looked
 * for at 127.0.0.1, then at ::1, and nowhere else; no proxy and no redirect leads a token away from this machine.
 */

import { type IncomingMessage, request as requestHttp } from 'node:http';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { problemShape } from '../schema/interface-api.ts';
import { INTERFACE_CODES } from '../schema/interface-codes.ts';
import type { Shape } from '../schema/shape.ts';

/** Whom to ask, and for how long. */
export interface RestTarget {
  /** For the messages. */
  readonly daemon: 'tun-daemon' | 'subnet-daemon';
  readonly port: number;
  readonly token: string | undefined;
  /** For all of it. */
  readonly timeoutMs: number;
  /** Ends it earlier. */
  readonly signal: AbortSignal;
}

export interface RestQuestion {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** With the query; every part encoded. */
  readonly path: string;
  readonly body: object | undefined;
}

export interface RestAnswer<T> {
  /** What the shape knows of it. */
  readonly value: T;
  /** All of it, as parsed from the JSON; undefined for an answer without a body. */
  readonly said: unknown;
}

const ANSWER_BYTES_MAX = 4 * 1024 * 1024;
const CODE_PATTERN = /^(?:rest|tun|subnet|allocation|interface)\/[a-z-]{1,40}$/;

/**
 * Resolves with the answer to a question that was granted.
 * @throws {TailnetError} the code and the detail of a refusal; `rest/not-running`, `rest/timeout`, `rest/bad-answer`,
 * `cli/interrupted`.
 */
export async function askRest<T>(question: RestQuestion, shape: Shape<T>, target: RestTarget): Promise<RestAnswer<T>> {
  const answer = await exchange(question, target);
  if (answer.status >= 400) throw toRefusal(answer, target);
  const isEmpty = answer.status === 204 || answer.status === 205;
  if (answer.status >= 300 || (!isEmpty && answer.mediaType !== 'application/json')) throw strange(answer, target);
  const said = isEmpty ? undefined : parseJson(answer, target);
  const result = shape(said);
  if (result.kind === 'ok') return { value: result.value, said };
  const where = result.path === '' ? '' : `${result.path}: `;
  const message = `The answer of the ${target.daemon} is not understood (${where}${result.expected} was expected)`;
  throw new TailnetError('rest/bad-answer', message);
}

interface Answer {
  /** `127.0.0.1:3030`. */
  readonly host: string;
  readonly status: number;
  /** In lower case, without parameters. */
  readonly mediaType: string;
  readonly body: Buffer;
}

async function exchange(question: RestQuestion, target: RestTarget): Promise<Answer> {
  const deadline = AbortSignal.timeout(target.timeoutMs);
  const signal = AbortSignal.any([deadline, target.signal]);
  const refusals: string[] = [];
  try {
    for (const address of ['127.0.0.1', '::1']) {
      const outcome = await send(question, { ...target, address, signal });
      if (outcome.kind === 'answer') return outcome.answer;
      refusals.push(`${outcome.host} (${outcome.reason})`);
    }
  } catch (error) {
    if (target.signal.aborted) throw new TailnetError('cli/interrupted', 'Interrupted before the answer came');
    if (!deadline.aborted) throw error;
    throw new TailnetError('rest/timeout', `No answer of the ${target.daemon} within ${target.timeoutMs / 1000} s`);
  }
  throw new TailnetError('rest/not-running', `The ${target.daemon} is not at ${refusals.join(', nor at ')}`);
}

type Outcome =
  | { readonly kind: 'answer'; readonly answer: Answer }
  /** The question was not sent. */
  | { readonly kind: 'no-connection'; readonly host: string; readonly reason: string };

function send(
  { method, path, body }: RestQuestion,
  { address, port, token, signal }: RestTarget & { readonly address: string },
): Promise<Outcome> {
  const host = address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
  const text = body === undefined ? undefined : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    let isConnected = false;
    const outgoing = requestHttp({ host: address, port, method, path, agent: false, signal, headers: headersOf() });
    outgoing.on('socket', (socket) => {
      socket.once('connect', () => {
        isConnected = true;
      });
    });
    outgoing.on('error', (error: NodeJS.ErrnoException) => {
      const reason = error.code ?? error.name;
      if (isConnected || signal.aborted) reject(lost(host, reason));
      else resolve({ kind: 'no-connection', host, reason });
    });
    outgoing.on('upgrade', (_incoming, socket) => {
      socket.destroy();
      reject(lost(host, 'upgrade'));
    });
    outgoing.on('response', (incoming) => {
      readBody(incoming, host).then(
        (bytes) => resolve({ kind: 'answer', answer: toAnswer(host, incoming, bytes) }),
        (error: NodeJS.ErrnoException) => {
          outgoing.destroy();
          reject(error instanceof TailnetError ? error : lost(host, error.code ?? error.name));
        },
      );
    });
    outgoing.end(text);
  });

  function headersOf(): Record<string, string> {
    return {
      accept: 'application/json, application/problem+json',
      'accept-encoding': 'identity',
      connection: 'close',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(text === undefined
        ? {}
        : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(text)) }),
    };
  }
}

async function readBody(incoming: IncomingMessage, host: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let byteCount = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    byteCount += chunk.length;
    if (byteCount > ANSWER_BYTES_MAX)
      throw new TailnetError('rest/bad-answer', `The answer of ${host} is longer than ${ANSWER_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function toAnswer(host: string, { statusCode, headers }: IncomingMessage, body: Buffer): Answer {
  const mediaType = (headers['content-type'] ?? '').split(';', 1)[0] ?? '';
  return { host, status: statusCode ?? 0, mediaType: mediaType.trim().toLowerCase(), body };
}

/** An answer of 400 or more: the words of the daemon, if it is the daemon that speaks. */
function toRefusal(answer: Answer, target: RestTarget): TailnetError {
  if (answer.mediaType !== 'application/problem+json') return strange(answer, target);
  const problem = problemShape(parseJson(answer, target));
  if (problem.kind === 'bad') return strange(answer, target);
  const { code, title, detail } = problem.value;
  const isOurs = Object.hasOwn(INTERFACE_CODES, code) || CODE_PATTERN.test(code);
  return isOurs ? new TailnetError(code, detail === '' ? title : detail) : strange(answer, target);
}

function parseJson(answer: Answer, target: RestTarget): unknown {
  try {
    return JSON.parse(answer.body.toString('utf8'));
  } catch {
    throw strange(answer, target);
  }
}

function strange({ host, status, mediaType }: Answer, { daemon }: RestTarget): TailnetError {
  const what = `HTTP ${status}, ${mediaType === '' ? 'no type' : mediaType}`;
  return new TailnetError('rest/bad-answer', `What answers at ${host} is not a ${daemon} of this version (${what})`);
}

function lost(host: string, reason: string): TailnetError {
  const message = reason.startsWith('HPE_')
    ? `What listens at ${host} does not speak HTTP (${reason})`
    : `The answer of ${host} broke off (${reason})`;
  return new TailnetError('rest/bad-answer', message);
}
