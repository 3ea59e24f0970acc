/**
 * The body of a request: one JSON object of at most 16 KiB, in UTF-8, not compressed. What the length field says is
 * believed before anything is read; a body without one is counted as it comes.
 */

import type { IncomingMessage } from 'node:http';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import type { Shape } from '../schema/shape.ts';
import { countFields } from './count-fields.ts';

export const BODY_BYTES_MAX = 16_384;
/** Of what nobody wants: so much is read and forgotten, so that the client gets to see the answer. */
const DISCARDED_BYTES_MAX = 1_048_576;

/**
 * Reads and checks the body; an empty one stands for `{}`.
 * @param admit Called before the first byte is waited for: tells the client to go on, if it asked.
 * @throws {TailnetError} `rest/unsupported-type`, `rest/too-large`, `rest/bad-json`, `rest/bad-field`, and
 *   `rest/bad-request` when the rest of it does not come.
 */
export async function readJsonBody<B>(request: IncomingMessage, shape: Shape<B>, admit: () => void): Promise<B> {
  if (!hasBody(request)) return checkFields({}, shape);
  checkLength(request);
  const isChunked = request.headers['content-length'] === undefined;
  if (!isChunked) checkType(request);
  admit();
  const bytes = await collect(request);
  if (bytes.length === 0) return checkFields({}, shape);
  if (isChunked) checkType(request);
  return checkFields(parseJson(bytes), shape);
}

/**
 * Refuses what two programs might take for two bodies.
 * @throws {TailnetError} `rest/bad-request` for an encoding other than chunks, and for two types.
 */
export function checkFraming({ headers, rawHeaders }: IncomingMessage): void {
  const { 'transfer-encoding': encoding, 'content-type': type } = headers;
  if (encoding !== undefined && encoding.toLowerCase() !== 'chunked') {
    throw new TailnetError('rest/bad-request', 'The only transfer encoding there is here is chunked');
  }
  if (type !== undefined && countFields(rawHeaders, 'content-type') > 1) {
    throw new TailnetError('rest/bad-request', 'A request has at most one field Content-Type');
  }
}

/** @throws {TailnetError} `rest/too-large` if the request says that its body is. */
export function checkLength({ headers }: IncomingMessage): void {
  if (Number(headers['content-length'] ?? 0) > BODY_BYTES_MAX) throw tooLarge();
}

/** Reads what is left of a body and forgets it, at most 1 MiB; after it the connection can be used again. */
export function discardBody(request: IncomingMessage): void {
  if (request.readableEnded || !hasBody(request)) return;
  let count = 0;
  request.on('data', (chunk: Uint8Array) => {
    count += chunk.length;
    if (count > DISCARDED_BYTES_MAX) request.socket.destroy();
  });
  request.on('error', () => {});
}

/** Ends the wait for a body of which the rest will not come, or has the reason ready for who will wait. */
export function failBody(request: IncomingMessage, reason: string): void {
  const error = new TailnetError('rest/bad-request', reason);
  failures.set(request, error);
  waiting.get(request)?.(error);
}

/**
 * Checks an object by its shape.
 * @throws {TailnetError} `rest/bad-field`, which names the field and what belongs there, never what was sent.
 */
export function checkFields<T>(value: unknown, shape: Shape<T>): T {
  const result = shape(value);
  if (result.kind === 'ok') return result.value;
  const where = result.path === '' ? 'The body does not fit' : `Bad "${result.path}"`;
  throw new TailnetError('rest/bad-field', `${where}: expected ${result.expected}`);
}

const waiting = new WeakMap<IncomingMessage, (error: TailnetError) => void>();
const failures = new WeakMap<IncomingMessage, TailnetError>();

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

function checkType({ headers }: IncomingMessage): void {
  const [type = '', ...parameters] = (headers['content-type'] ?? '').toLowerCase().split(';');
  const isUtf8 = parameters.every((parameter) => {
    const [name = '', value = ''] = parameter.split('=', 2);
    return name.trim() !== 'charset' || value.trim().replaceAll('"', '') === 'utf-8';
  });
  if (type.trim() !== 'application/json' || !isUtf8) {
    throw new TailnetError('rest/unsupported-type', 'A body needs the field Content-Type: application/json');
  }
  if ((headers['content-encoding'] ?? 'identity').toLowerCase() !== 'identity') {
    throw new TailnetError('rest/unsupported-type', 'A body must not be compressed');
  }
}

function collect(request: IncomingMessage): Promise<Uint8Array> {
  return new Promise<Uint8Array>((resolve, reject) => {
    const chunks: Uint8Array[] = [];
    let count = 0;
    const failure = failures.get(request);
    if (failure !== undefined) reject(failure);
    waiting.set(request, reject);
    request.on('data', (chunk: Uint8Array) => {
      count += chunk.length;
      if (count > BODY_BYTES_MAX) reject(tooLarge());
      else chunks.push(chunk);
    });
    request.on('end', () => resolve(joinChunks(chunks, count)));
    const gone = () => reject(new TailnetError('rest/bad-request', 'The connection ended before the body did'));
    request.on('error', gone);
    request.on('close', gone);
  });
}

function joinChunks(chunks: readonly Uint8Array[], length: number): Uint8Array {
  const [first] = chunks;
  if (chunks.length === 1 && first !== undefined) return first;
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw new TailnetError('rest/bad-json', 'The body is not JSON in UTF-8');
  }
}

function tooLarge(): TailnetError {
  return new TailnetError('rest/too-large', `The body has more than ${BODY_BYTES_MAX} bytes`);
}
