import { Buffer } from 'node:buffer';
import { type ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { Problem } from '../schema/interface-api.ts';

/** What goes out. */
export interface AnswerBody {
  readonly status: number;
  /** Undefined: there is no body. */
  readonly contentType: string | undefined;
  /** Bytes are shared by all answers that have them; text is quicker where it is short. */
  readonly content: string | Uint8Array;
  /** More fields, name and value in turn. */
  readonly headers: readonly string[];
}

const FIELDS = ['cache-control', 'no-store', 'x-content-type-options', 'nosniff'];

/** Sends a whole answer; `isLast` ends the connection after it. */
export function sendAnswer(
  response: ServerResponse,
  { status, contentType, content, headers }: AnswerBody,
  isLast: boolean,
): void {
  const fields = [...FIELDS, ...headers];
  if (contentType !== undefined) {
    fields.push('content-type', contentType, 'content-length', String(Buffer.byteLength(content)));
  }
  if (isLast) fields.push('connection', 'close');
  response.writeHead(status, fields);
  response.end(content);
}

/** Answers what could not be parsed, where there is no response to write to, and ends the connection. */
export function sendBareProblem(socket: Socket, problem: Problem): void {
  const text = JSON.stringify(problem);
  const fields = [
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}`,
    'content-type: application/problem+json',
    `content-length: ${Buffer.byteLength(text)}`,
    'cache-control: no-store',
    'x-content-type-options: nosniff',
    'connection: close',
  ];
  socket.end(`${fields.join('\r\n')}\r\n\r\n${text}`);
}
