/**
 * Asks a REST daemon of this machine one question and reads its answer (`schema/interface-api.ts`). The daemon is looked
 * for at 127.0.0.1, then at ::1, and nowhere else; no proxy and no redirect leads a token away from this machine, and it
 * is sent to a program of root or of our own user only.
 */

import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { problemShape } from '../schema/interface-api.ts';
import { INTERFACE_CODES } from '../schema/interface-codes.ts';
import type { Shape } from '../schema/shape.ts';
import { type HttpAnswer, RestConnection, type RestOutcome, type RestQuestion } from './rest-connection.ts';
import { checkServerOwner } from './server-owner.ts';

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

export interface RestAnswer<T> {
  /** What the shape knows of it. */
  readonly value: T;
  /** All of it, as parsed from the JSON; undefined for an answer without a body. */
  readonly said: unknown;
}

const CODE_PATTERN = /^(?:rest|tun|subnet|allocation|interface)\/[a-z0-9-]{1,40}$/;

/**
 * Resolves with the answer to a question that was granted.
 * @throws {TailnetError} the code and the detail of a refusal; `rest/not-running`, `rest/timeout`, `rest/bad-answer`,
 * `rest/foreign-server` before a token is sent to it, `cli/interrupted`.
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

interface Answer extends HttpAnswer {
  /** `127.0.0.1:3030`. */
  readonly host: string;
}

async function exchange(question: RestQuestion, target: RestTarget): Promise<Answer> {
  const deadline = AbortSignal.timeout(target.timeoutMs);
  const signal = AbortSignal.any([deadline, target.signal]);
  const refusals: string[] = [];
  try {
    for (const address of ['127.0.0.1', '::1'] as const) {
      const connection = new RestConnection({ address, port: target.port, signal });
      const { host } = connection;
      const outcome = await askOver(connection, question, target.token).finally(() => connection.close());
      if (outcome.kind === 'answer') return { host, ...outcome.answer };
      refusals.push(`${host} (${outcome.reason})`);
    }
  } catch (error) {
    if (target.signal.aborted) throw new TailnetError('cli/interrupted', 'Interrupted before the answer came');
    if (!deadline.aborted) throw error;
    throw new TailnetError('rest/timeout', `No answer of the ${target.daemon} within ${target.timeoutMs / 1000} s`);
  }
  throw new TailnetError('rest/not-running', `The ${target.daemon} is not at ${refusals.join(', nor at ')}`);
}

async function askOver(
  connection: RestConnection,
  question: RestQuestion,
  token: string | undefined,
): Promise<RestOutcome> {
  if (token !== undefined) {
    const greeting = await connection.greet();
    if (greeting.kind === 'no-connection') return greeting;
    const { host } = connection;
    const ownUid = process.geteuid?.();
    checkServerOwner({ host, uid: greeting.owner?.uid, ownUid, platform: process.platform });
  }
  return connection.ask(question, token);
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
